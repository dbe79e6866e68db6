"""Compares both sides exactly. Shares no code with mirror and backfill, only connections and names."""
