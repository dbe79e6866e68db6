"""Phase 3: every row of classic on Limitless too, and kept there: capture, mirror, backfill, schema changes, repair."""
