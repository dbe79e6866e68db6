"""Connections to PostgreSQL, fixed SQL, and the errors of servers."""
