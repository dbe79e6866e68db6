"""Servers on this machine: embedded PostgreSQL, the Limitless stand-in, a Temporal dev server, faults."""
