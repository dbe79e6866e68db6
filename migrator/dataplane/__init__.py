"""Brings every row of classic to Limitless and keeps it equal: capture, mirror, backfill, schema changes, repair."""
