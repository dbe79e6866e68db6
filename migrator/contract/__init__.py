"""Whether a client of the contract in SQL (docs/contract.md, control/contract.sql) keeps its promises.

promise.py: what is promised, and what was found; client.py: a client under test, as a process; scene.py: two scratch
databases, a mirror that can be held, a shim as the other process; trials.py, endings.py: one trial for each promise;
run.py: all of them; speaker.py: the shim itself, as a client under test.
"""
