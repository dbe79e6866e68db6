"""Reads and writes the plan file."""
