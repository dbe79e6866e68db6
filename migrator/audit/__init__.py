"""Phase 1: what would break on Limitless, and which statements would ask every shard?"""
