"""Phase 3: which rows changed? Dirty-key journals and the triggers that fill them."""
