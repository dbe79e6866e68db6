"""What a migration needs, from facts of every size."""
