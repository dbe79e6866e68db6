"""The backfill: copies the rows that are older than capture to Limitless."""
