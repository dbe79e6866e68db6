"""What a migration needs, asked on real servers."""
