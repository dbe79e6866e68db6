"""Collects the migrations of files and folders, in their tool's order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from migrator.errors import UsageError
from migrator.scripts.folder import CODE, expand, leads_back, order_key
from migrator.scripts.input_file import read_text
from migrator.scripts.migration import STDIN, Migration, Place, Problem, is_migration, read_migrations

PIPE = "-"
"""The path that stands for standard input."""

_ELSEWHERE = re.compile(
    r"\.(?:mysql|mariadb|sqlite3?|mssql|sqlserver|oracle|cockroach(?:db)?|h2|db2)\.(?:\w+\.)?sql$", re.IGNORECASE
)
_PRINTS = {
    ".py": "python manage.py sqlmigrate APP NAME, or alembic upgrade FROM:TO --sql",
    ".rb": "the log of rails db:migrate in another environment",
    ".xml": "liquibase update-sql",
}


@dataclass(frozen=True, slots=True)
class Collected:
    """Migrations in order; `notes` say what was left out, and why."""

    migrations: tuple[Migration, ...]
    notes: tuple[str, ...] = ()


def collect(paths: Sequence[Path], stdin: str | None = None, tables: Collection[str] = ()) -> Collected:
    """Return the migrations of *paths*, files or folders, in the order given; those of one folder in their tool's.

    Args:
        stdin: what `-` among the paths stands for.
        tables: names of tools' own tables, besides those that are known.

    Raises:
        UsageError: a file cannot be read, or a folder holds none.
    """
    found: list[Migration] = []
    notes: list[str] = []
    for path in _in_order(paths):
        if str(path) == PIPE:
            found += read_migrations(stdin or "", STDIN, tables)
        elif path.is_dir():
            migrations, left_out = _folder(path, tables)
            found += migrations
            notes += left_out
        else:
            found += _file(path, tables)
    twice = {m.name for m in found if sum(m.name == other.name for other in found) > 1} if len(paths) > 1 else set()
    if twice:
        raise UsageError(f"given twice: {', '.join(sorted(twice))}")
    return Collected(tuple(found), tuple(notes))


def _in_order(paths: Sequence[Path]) -> list[Path]:
    """Return *paths* in their order, but migrations that stand together in one folder as their tool orders them: a
    shell gives V10 before V2."""
    if len({path.parent for path in paths}) == 1 and all(is_migration(p.name) and not p.is_dir() for p in paths):
        return sorted(paths, key=lambda path: order_key(PurePath(path.name)))
    return list(paths)


def name_of(path: Path) -> str:
    """Return what a file is known by: its path from here, with slashes; from elsewhere, the whole."""
    whole = path.absolute()
    here = Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def _file(path: Path, tables: Collection[str]) -> list[Migration]:
    """Return the migrations of a file that was named.

    Raises:
        UsageError: it cannot be read, or leads back by its name.
    """
    if path.exists() and leads_back(PurePath(path.name), {p.name for p in path.parent.iterdir()}):
        raise UsageError(f"{path} leads back by its name", hint="Give the file that leads forward.")
    if path.suffix.lower() in CODE:
        raise UsageError(f"{path} is written in {path.suffix[1:]}, not in SQL", hint=_advice(path.suffix))
    return _read(path, tables)


def _read(path: Path, tables: Collection[str]) -> list[Migration]:
    text, problems = read_text(path)
    name = name_of(path)
    if problems and (not text or "not UTF-8" in problems[0]):
        if not text and problems[0].endswith("is empty"):
            return [Migration(name, name, "", known=is_migration(name))]
        raise UsageError(problems[0])
    return read_migrations(text, name, tables, path.read_bytes())


def _folder(folder: Path, tables: Collection[str]) -> tuple[list[Migration], list[str]]:
    code = [p for p in _code(folder) if is_migration(p.name) and not leads_back(PurePath(p.name), ())]
    try:
        reading = expand(folder)
    except UsageError:
        if not code:
            raise
        raise UsageError(
            f"the migrations in {folder} are written in {', '.join(sorted({p.suffix[1:] for p in code}))}, not in SQL",
            hint=_advice(code[0].suffix),
        ) from None
    others = [path for path in reading.files if _ELSEWHERE.search(path.name)]
    notes = [f"{path} is left out: its name says that it is for another database" for path in others]
    read = {path: _read(path, tables) for path in reading.files if path not in others}
    if any(is_migration(path.name) for path in read) and not (folder / "sqitch.plan").exists():
        others = [path for path in read if not is_migration(path.name) and not any(m.known for m in read[path])]
        for path in others:
            notes.append(f"{path} is left out: its name is not one of a migration, as others in {folder} have")
            del read[path]
    order = list(read)
    if all(b"migrate:up" in m.data for found in read.values() for m in found):
        order.sort(key=lambda p: p.name)  # dbmate compares names, not numbers
    if code:
        order = sorted([*order, *code], key=lambda p: order_key(p.relative_to(folder)))
    found = [m for path in order for m in (read[path] if path in read else [_in_code(path)])]
    return _lately_repeated(found), notes


def _lately_repeated(migrations: list[Migration]) -> list[Migration]:
    """Return them with those that Flyway repeats at the end."""
    return sorted(migrations, key=lambda m: PurePath(m.path).name.startswith("R__"))


def _code(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__pycache__", "node_modules")) for part in path.relative_to(folder).parts)
        if path.suffix.lower() in CODE and path.is_file() and not hidden and not path.name.endswith(".d.ts"):
            yield path


def _in_code(path: Path) -> Migration:
    """Return a migration in another language, which stands in its place and cannot be read."""
    name = name_of(path)
    problem = Problem(Place(name), f"it is written in {path.suffix[1:]}, not in SQL: {_advice(path.suffix)}")
    return replace(Migration(name, name, "", data=path.read_bytes()), problems=(problem,))


def _advice(suffix: str) -> str:
    prints = _PRINTS.get(suffix.lower(), "the tool")
    return f"Give the SQL that it means on standard input, as printed by {prints}."
