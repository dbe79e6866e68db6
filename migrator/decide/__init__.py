"""Phase 1: whether to shard this database, and how. `facts` are read from an audit, `judge` compares the options."""
