"""Is everything there that a migration needs, now? Reads only, and asks each server apart.

One file of `checks/` is one group of checks; a file put there is found by itself (`check.every`).
"""
