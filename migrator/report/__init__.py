"""Facts to HTML and JSON."""
