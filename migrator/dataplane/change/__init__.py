"""Phase 3: how does a change of the schema reach both sides while rows flow?"""
