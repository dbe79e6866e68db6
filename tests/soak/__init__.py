"""Histories of migrations, counted and replayed."""
