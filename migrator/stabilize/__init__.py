"""Phase 5: 90 days in which classic stays usable."""
