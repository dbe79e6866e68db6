"""Tells people: which conditions stand, who is told of them, and what is sent."""
