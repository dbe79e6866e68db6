"""Phase 2: what must exist on Limitless?"""
