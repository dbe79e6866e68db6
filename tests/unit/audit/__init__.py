"""Phase 1 without a server."""
