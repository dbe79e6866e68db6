"""Is every line that carries the protocol held by a test? Lines taken out one at a time, and who must notice.

python -m tests.mutation                      all of them, in a copy of the tree
python -m tests.mutation --only ring-holds    one, or those whose name begins so
"""
