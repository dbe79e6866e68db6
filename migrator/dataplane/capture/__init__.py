"""Capture: journals of dirty keys on classic, and the triggers that fill them."""
