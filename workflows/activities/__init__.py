"""Thin shells around migrator, one module per phase package."""
