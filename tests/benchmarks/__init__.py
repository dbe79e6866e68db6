"""Figures, printed with -s; limits asserted."""
