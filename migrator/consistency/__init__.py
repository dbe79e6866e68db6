"""Are both sides equal? Shares no code with mirror and backfill, only connections and names."""
