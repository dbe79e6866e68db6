"""Compares the rights of both sides, and gives Limitless those of classic."""
