"""Renders facts as HTML pages and drawings."""
