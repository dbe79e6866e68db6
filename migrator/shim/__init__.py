"""Imported by application processes: psycopg and migrator.model, nothing else."""
