"""Phase 3: how do the rows from before capture get to Limitless?"""
