"""Serves the board, health and the webhook over HTTP. It needs classic to say something new, and nothing else."""
