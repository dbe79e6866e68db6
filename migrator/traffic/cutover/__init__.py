"""Phase 4: may this tenant move, and does it suffer after it has?"""
