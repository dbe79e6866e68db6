"""How much memory do all processes of the rehearsal hold together?

Proportional shares (PSS) where the kernel tells them: PostgreSQL's processes share their buffers, and adding up
resident sizes would count those once per process.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")


def descendants(roots: list[int]) -> set[int]:
    """Return *roots* and every process below them; empty where there is no /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    if not PROC.is_dir():
        return set()
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name in parentheses may hold spaces; the parent is the second field after it.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children[parent].append(int(entry.name))
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children[pid]
    return found


def memory_mb(roots: list[int]) -> float | None:
    """Return the megabytes of *roots* and their descendants; None where it cannot be told."""
    total_kb = 0
    for pid in descendants(roots):
        with contextlib.suppress(OSError):
            total_kb += _pss_kb(PROC / str(pid))
    return total_kb / 1024 if total_kb else None


def _pss_kb(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (PermissionError, StopIteration):
        # Another account's process: its resident size counts shared pages too, which errs on the safe side.
        status = (process / "status").read_text().splitlines()
        return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), 0)
