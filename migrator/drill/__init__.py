"""What is practised in production: a rollback there and back, and one while Temporal cannot be reached."""
