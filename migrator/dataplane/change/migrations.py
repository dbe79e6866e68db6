"""Applies migrations of a tool, one after the other, and keeps on classic which are done.

What a migration asks for is applied as any file of changes is; then one transaction notes it in the tool's table and
among those that are done. So a run that was interrupted goes on with the migration it was at, and each is noted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import PurePath
from typing import Literal, NamedTuple

from migrator.control.history import add_report, reports_of
from migrator.control.locks import only_change
from migrator.control.log import decide
from migrator.control.tables import captured_tables
from migrator.dataplane.change.apply import apply, plan_changes
from migrator.dataplane.change.progress import Connection, Work
from migrator.dataplane.change.refusals import Joined, refusals
from migrator.dataplane.change.tool_history import History, note, read_history, try_notes
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.table import split_qualified
from migrator.scripts.migration import Migration, Place, Problem

_KIND = "schema.migration"
_COMMON = frozenset({"migration.sql", "up.sql"})

State = Literal["done", "pending", "changed"]


class Done(NamedTuple):
    """A migration that is done, as it was then."""

    name: str
    digest: str
    at: str


class Sorted(NamedTuple):
    """A migration, and whether it is done; `why` says by whom, or what it was.

    `source`: what its statements are known by; another one when it is done again, so that none counts as done.
    """

    migration: Migration
    state: State
    why: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did.

    Attributes:
        finished: changes, in words.
        held: statements that held already.
        migrations: (name, "applied" or "done before" or "noted as done").
    """

    finished: tuple[str, ...]
    held: int
    migrations: tuple[tuple[str, str], ...]


def done_before(conn: Connection) -> list[Done]:
    """Return the migrations that this tool has applied, or was told to be done, the oldest first."""
    rows = reports_of(conn, _KIND)
    return [Done(r["body"]["name"], r["body"]["digest"], f"{r['at'].astimezone(UTC):%Y-%m-%d %H:%M}") for r in rows]


def sort_out(migrations: Sequence[Migration], done: Sequence[Done], history: History | None) -> list[Sorted]:
    """Return each migration with its state. Pure.

    A file that is given from elsewhere, as another path, is known by its name and content.
    """
    last = {d.name: d for d in done}
    seen = {(_short(d.name), d.digest): d for d in done}
    found = []
    for migration in migrations:
        times = sum(d.name == migration.name for d in done) if migration.again else 0
        source = f"{migration.name} ({times + 1})" if times else migration.name
        kept = seen.get((_short(migration.name), migration.digest)) or last.get(migration.name)
        if migration.again:
            kept = last.get(migration.name) or kept
        if not migration.known:
            found.append(Sorted(migration, "pending", source=source))
        elif kept is not None and kept.digest == migration.digest:
            found.append(Sorted(migration, "done", f"since {kept.at} UTC"))
        elif kept is not None and not migration.again:
            found.append(Sorted(migration, "changed", f"it is done since {kept.at} UTC, and has changed since"))
        elif kept is None and history is not None and history.tool.is_done(migration, history.rows):
            changed = history.tool.is_changed(migration, history.rows) and not migration.again
            why = f"it is done by {history.words}, and its checksum there is another"
            found.append(Sorted(migration, "changed", why) if changed else Sorted(migration, "done", history.words))
        else:
            found.append(Sorted(migration, "pending", source=source))
    return found


def _short(name: str) -> str:
    """Return the part of a name that is the same wherever its folder is."""
    path, mark, part = name.partition("::")
    parts = PurePath(path).parts
    return "/".join(parts[-2:] if parts and parts[-1].partition("#")[0] in _COMMON else parts[-1:]) + mark + part


def look(
    work: Work, migrations: Sequence[Migration], tables: Sequence[str] = ()
) -> tuple[list[Sorted], History | None]:
    """Return the state of each migration, and the tool's table where there is one.

    Raises:
        PreconditionFailed: nothing is captured.
    """
    work.tables = work.tables or {t.qualified: t for t in captured_tables(work.classic).values()}
    if not work.tables:
        raise PreconditionFailed(
            "no table is captured", hint="Dual write has not begun: change classic directly, then provision."
        )
    history = read_history(work.classic, schemas_of(work), migrations, tables)
    return sort_out(migrations, done_before(work.classic), history), history


def schemas_of(work: Work, tables: Sequence[str] = ()) -> list[str]:
    """Return the schemas in which a tool's table may be; those of *tables*, which an operator named, come first."""
    named = [split_qualified(table)[0] for table in tables if "." in table]
    return list(dict.fromkeys((*named, *work.plan.tables.schemas, "public")))


def problems_of(
    work: Work,
    found: Sequence[Sorted],
    history: History | None,
    tables: Sequence[str] = (),
    *,
    together: bool = False,
) -> list[Problem]:
    """Return everything that is wrong with migrations that are to be applied; nothing is changed.

    The first is tried on both sides as a whole. Of those after it, which need what it makes, the texts are judged.

    Args:
        tables: names of the tool's own table, where it is not the usual one.
        together: try all of them on both sides, as if they were one file.
    """
    pending = pending_of(found)
    told = [
        Problem(
            Place(s.migration.path),
            f"{s.why}: bring it back as it was, or write another migration (--done"
            f" {s.migration.name} says that both sides are as it says now)",
        )
        for s in found
        if s.state == "changed"
    ]
    if history is not None and pending:
        told += [Problem(Place(pending[0].path), text) for text in history.problems]
    told += refusals(pending, tuple(work.tables.values()), tuple(work.plan.tables.schemas))
    tried = [m for m in (pending if together else pending[:1]) if not m.problems and not (m.known and m.empty)]
    if tried:
        joined = Joined(tried)
        try:
            plan_changes(work, joined.text, next(s.source for s in found if s.migration is tried[0]))
        except NoGo as error:
            told += joined.problems(error.blockers)
    if not told:
        for migration, why in try_notes(work.classic, pending, history, schemas_of(work, tables)):
            place = migration.notes[0].place if migration.notes else Place(migration.path)
            told.append(Problem(place, why))
    return list(dict.fromkeys(told))


def pending_of(found: Sequence[Sorted]) -> list[Migration]:
    return [s.migration for s in found if s.state == "pending"]


def mark_done(work: Work, migrations: Sequence[Migration], upto: str, tables: Sequence[str] = ()) -> list[str]:
    """Keep every migration up to *upto*, with it, as done, as it is now, without applying it; return their names.

    Raises:
        UsageError: none is called so.
    """
    names = [m.name for m in migrations]
    ends = [n for n, m in enumerate(migrations) if upto in (m.name, PurePath(m.path).name, _short(m.name))]
    if not ends:
        raise UsageError(f"no migration is called {upto}", hint=f"The last one is {names[-1]}." if names else "")
    found, _ = look(work, migrations, tables)
    kept = [s for s in found[: ends[-1] + 1] if s.state != "done" and s.migration.known]
    with work.classic.transaction():
        for one in kept:
            _keep(work, one.migration, "told to be done")
    return [one.migration.name for one in kept]


def apply_migrations(work: Work, migrations: Sequence[Migration], tables: Sequence[str] = ()) -> Outcome:
    """Apply what is not done yet, in order. A second run finds nothing to do; one that was killed goes on.

    Args:
        tables: names of the tool's own table, where it is not the usual one.

    Raises:
        NoGo: with every problem; those before it are done, and say so.
        ClusterUnavailable: another run changes schemas, a lock, a mirror or a copy did not end in time.
        PreconditionFailed: nothing is captured.
    """
    alone(work)
    found, history = look(work, migrations, tables)
    problems = problems_of(work, found, history, tables)
    if problems:
        raise NoGo("schema apply", [str(p) for p in problems], hint="Nothing was changed.")
    finished: list[str] = []
    held = 0
    said: list[tuple[str, str]] = []
    pending = len(pending_of(found))
    for one in found:
        migration = one.migration
        if one.state == "done":
            said.append((migration.name, "done before"))
            continue
        applied = sum(state != "done before" for _, state in said)
        if pending > 1:
            work.tell(f"migration {applied + 1} of {pending}: {migration.name}")
        if not migration.empty or not migration.known:
            try:
                done = apply(work, migration.text, one.source)
            except NoGo as error:
                if not applied:
                    raise
                hint = f"{applied} of {pending} migrations are done. {error.hint}"
                raise NoGo(f"schema apply {migration.name}", error.blockers, hint=hint) from None
            finished += done.finished
            held += done.held
        if migration.known:
            _note(work, migration, history, schemas_of(work, tables))
        said.append((migration.name, "applied"))
    return Outcome(tuple(finished), held, tuple(said))


def alone(work: Work) -> None:
    """Wait until no other run changes schemas, for as long as this one has patience; none begins until this one ends.

    Raises:
        ClusterUnavailable: one still runs.
    """
    if only_change(work.turns):
        return
    work.tell(f"another schema change is running; waiting up to {work.timeout_s:.0f} s")
    if not only_change(work.turns, work.timeout_s):
        raise ClusterUnavailable(
            "classic",
            f"another schema change is still running after {work.timeout_s:.0f} s",
            "See it with: migrator schema status; run this again when it is done.",
        )


def _note(work: Work, migration: Migration, history: History | None, schemas: Sequence[str]) -> None:
    work.watch("note", "begin")
    try:
        with work.classic.transaction():
            note(work.classic, migration, history, schemas)
            _keep(work, migration, "applied")
    except LookupError as error:
        raise NoGo(
            f"schema apply {migration.name}",
            [f"its changes are made, and its tool cannot be told: {error}"],
            hint="Correct the tool's table and run this again: it goes on with this note.",
        ) from None
    work.watch("note", "done")


def _keep(work: Work, migration: Migration, how: str) -> None:
    add_report(work.classic, _KIND, {"name": migration.name, "digest": migration.digest, "by": work.who, "how": how})
    decide(work.classic, work.who, "schema.migrated", migration.name, how)
