"""Sizes: the tenants, the target, and the time that classic's capacity lasts."""
