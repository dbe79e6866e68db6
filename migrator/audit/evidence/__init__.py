"""What is known about the database under audit: from a live cluster, from files, from the gather script."""
