"""Chooses and orders the files of a folder of migrations, and leaves out those that lead back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from migrator.errors import UsageError

SUFFIXES = (".sql", ".pgsql", ".psql", ".ddl")
CODE = frozenset({".rb", ".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".php", ".java", ".kt", ".exs", ".cs", ".xml"})
"""Suffixes in which other tools write migrations."""

_BACK = r"down|downs|undo|revert|rollback"
_BACK_FILE = re.compile(rf"(?:^|\.)(?:{_BACK})$", re.IGNORECASE)
_BACK_PERHAPS = re.compile(rf"^(?P<stem>.+)[_-](?:{_BACK})$", re.IGNORECASE)
_FLYWAY_UNDO = re.compile(r"^U\d[\w.]*?__")
_FLYWAY = re.compile(r"^[VB](?P<version>\d+(?:[._]\d+)*)__")
_FLYWAY_AGAIN = re.compile(r"^R__")
_BACK_FOLDERS = frozenset(_BACK.split("|"))
_SQITCH_CHECKS = "verify"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a folder, in order; `back` leads back, `others` are files of other sorts, by suffix."""

    files: tuple[Path, ...]
    back: tuple[Path, ...] = ()
    others: dict[str, int] = field(default_factory=dict)


def expand(path: Path) -> Reading:
    """Return what is read of *path*, a file or a folder of migrations.

    Raises:
        UsageError: a folder without SQL, or the folder of a pg_dump archive.
    """
    if not path.is_dir():
        if leads_back(PurePath(path.name), {p.name for p in path.parent.iterdir()} if path.exists() else ()):
            return Reading((), (path,))
        return Reading((path,))
    if (path / "toc.dat").exists():
        raise UsageError(
            f"{path} is a pg_dump archive in directory format",
            hint="Give the output of pg_dump --schema-only --format=plain, or pg_restore --schema-only -f schema.sql.",
        )
    found = sorted(p for p in path.rglob("*") if p.is_file() and not any(q.startswith(".") for q in _below(p, path)))
    plan = path / "sqitch.plan"
    order = _sqitch_order(plan.read_text(encoding="utf-8", errors="replace")) if plan.exists() else {}
    reading = arrange([PurePath(*_below(p, path)) for p in found], order)
    if not reading.files and not reading.back:
        raise UsageError(f"{path} is a directory without a file of SQL ({', '.join(SUFFIXES)})")
    return Reading(tuple(path / p for p in reading.files), tuple(path / p for p in reading.back), dict(reading.others))


def arrange(paths: Sequence[PurePath], order: dict[str, int] | None = None) -> Reading:
    """Put the files of a folder in order. *order*: place of a file by its name without suffix, where a tool says so."""
    order = order or {}
    names: dict[PurePath, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    files, back, others = [], [], Counter[str]()
    for path in paths:
        if not is_sql(path):
            others[path.suffix or path.name] += 1
        elif leads_back(path, names[path.parent]) or (order and _SQITCH_CHECKS in path.parts[:-1]):
            back.append(path)
        else:
            files.append(path)
    files.sort(key=lambda p: (order.get(_stem(p), len(order)), order_key(p)))
    return Reading(tuple(Path(p) for p in files), tuple(Path(p) for p in back), dict(others))


def is_sql(path: PurePath) -> bool:
    return path.name.removesuffix(".gz").lower().endswith(SUFFIXES)


def leads_back(path: PurePath, beside: Sequence[str] | set[str]) -> bool:
    """Return whether the name of a file says that it undoes; *beside*: names of the files beside it."""
    stem = _stem(path)
    if _BACK_FILE.search(stem) or _FLYWAY_UNDO.match(path.name):
        return True
    if any(part.lower() in _BACK_FOLDERS for part in path.parts[:-1]):
        return True
    perhaps = _BACK_PERHAPS.match(stem)
    # `add_drop_down.sql` leads forward; `7_orders_down.sql` beside `7_orders_up.sql` or `7_orders.sql` does not.
    return perhaps is not None and any(
        _stem(PurePath(other)).lower() in {perhaps["stem"].lower() + end for end in ("", "_up", "-up", "_deploy")}
        for other in beside
    )


def _stem(path: PurePath) -> str:
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def _below(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts


def order_key(path: PurePath) -> tuple[object, ...]:
    """Numbers count as numbers: 2 comes before 10. Flyway's versions come first, what it repeats last."""
    flyway = _FLYWAY.match(path.name)
    if flyway is not None:
        return (0, tuple(int(n) for n in re.split(r"[._]", flyway["version"])), _natural(str(path)))
    return (2 if _FLYWAY_AGAIN.match(path.name) else 1, (), _natural("/".join(path.parts)))


def _natural(text: str) -> tuple[tuple[int, int | str], ...]:
    return tuple((0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", text) if t)


def _sqitch_order(plan: str) -> dict[str, int]:
    """Return change → place of a sqitch.plan: a change is the first word of a line that is no pragma and no tag."""
    lines = (line.strip() for line in plan.splitlines())
    names = [line.split()[0] for line in lines if line and line[0] not in "%#@"]
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
