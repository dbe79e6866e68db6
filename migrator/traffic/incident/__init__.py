"""3 a.m.: everybody back to classic, without Temporal and without Limitless."""
