"""Repeats statements that applications ran on classic, on both sides, and says where Limitless does worse.

Where they come from: from_log.py, from_statistics.py, and the shim's tee (migrator.shim.tee); all of them write a
trace (migrator.model.trace). Which of them may be repeated says guard.py, when and how replay.py, what became of them
statistics.py, rows.py and plans.py.
"""
