"""Rolls reads back to classic in an incident, without Temporal and without Limitless."""
