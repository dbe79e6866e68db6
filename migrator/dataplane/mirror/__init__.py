"""Phase 3: how does Limitless follow classic?"""
