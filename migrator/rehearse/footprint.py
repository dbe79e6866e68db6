"""Measures the memory that all processes of the rehearsal hold together.

Proportional shares (PSS) where the kernel tells them, else what a process has to itself (USS): PostgreSQL's processes
share their buffers, and adding up resident sizes would count those once per process.
"""

from __future__ import annotations

import contextlib

import psutil


def descendants(roots: list[int]) -> set[int]:
    """Return those of *roots* that run, and every process below them."""
    found: set[int] = set()
    for pid in roots:
        with contextlib.suppress(psutil.Error):
            found |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return found


def memory_mb(roots: list[int]) -> float | None:
    """Return the megabytes of *roots* and their descendants; None where it cannot be measured."""
    total = 0
    for pid in descendants(roots):
        with contextlib.suppress(psutil.Error):
            total += _share_bytes(psutil.Process(pid))
    return total / (1 << 20) if total else None


def _share_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        # Another account's process: its resident size counts shared pages too, which errs on the safe side.
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", full.uss))
