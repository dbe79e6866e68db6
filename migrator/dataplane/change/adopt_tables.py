"""Adopts tables that were made on classic directly: they are captured with the rows they hold.

Limitless gets the empty table first. Then one transaction on classic locks the table against writers, gives it its
journal and triggers, and journals the key of every row: to the mirrors, all rows were written just then. So nothing
has to be copied beside the journal, no tenant leaves the mirrored set, and what a mirror has reached stays true: the
state of classic at one snapshot. The application may read the table on Limitless when its rows are there.

Writers of the table wait for as long as that transaction takes, some seconds per million rows; it gives up when it
takes longer than allowed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from psycopg import sql

from migrator.catalog import objects
from migrator.control.log import decide
from migrator.control.tables import captured_tables, owner
from migrator.dataplane.capture.every_key import journal_every_key
from migrator.dataplane.capture.names import table_identifier
from migrator.dataplane.capture.new_table import capture_new, lock_above
from migrator.dataplane.capture.reinstall import built
from migrator.dataplane.change.adoption import Left, Task, bounded, keep_writers_out
from migrator.dataplane.change.create import filled
from migrator.dataplane.change.create_statement import options
from migrator.dataplane.change.progress import Connection, Work
from migrator.errors import NoGo, PlanInvalid
from migrator.model.table import Table
from migrator.plan.captured import parse_entry, with_captured
from migrator.plan.schema import TablePlan, Tables
from migrator.plan.tables import describe_table
from migrator.provision.ddl_sql import Step
from migrator.provision.sides import Sides

_SAID = re.compile(r"^[ \t]*(?:--)?[ \t]*migrator:", re.MULTILINE)

_SAY = (
    " Say it in the plan ([tables.table.{entry}]), or on classic:"
    " COMMENT ON TABLE {table} IS 'migrator: kind = reference'"
)


@dataclass(slots=True)
class Found:
    """Which tables can be adopted, parents first, what Limitless needs for them, and what is left."""

    tables: list[Table] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    entries: dict[str, TablePlan] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)


def find(work: Work, sides: Sides, names: Collection[str]) -> Found:
    """Decide about every table of *names* (qualified), which classic has and does not capture."""
    found = Found()
    made: dict[str, objects.Made] = {}
    for name in sorted(names):
        table = objects.made(work.classic, name)
        if table is not None:  # it may be gone by now
            made[name] = table
            _entry(work, name, made[name].comment, found)
    refused = {left.subject for left in found.left}
    described = {}
    for name in sorted(n for n in made if f"table {n}" not in refused):
        new = _describe(work, name, made[name], found)
        if new is not None:
            described[name] = new
    _accept(work, sides, described, found)
    return found


def is_named(work: Work, name: str) -> bool:
    """Whether the plan, or its comment, says what this table becomes."""
    table = objects.made(work.classic, name)
    return name in work.plan.tables.table or (table is not None and _SAID.search(table.comment) is not None)


def entries_of(work: Work, found: Found) -> Tables:
    """Return what the plan says about tables, with those that are captured and those that can be adopted."""
    known = with_captured(work.plan.tables, work.tables.values())
    return known.model_copy(update={"table": {**known.table, **found.entries}})


def _left(found: Found, name: str, text: str, advice: str) -> None:
    found.left.append(Left(f"table {name}", f"table {name}: {text}", advice))


def _entry(work: Work, name: str, comment: str, found: Found) -> None:
    """Take what the table's comment says about it, or else the plan."""
    given, problems = options(_SAID.sub("-- migrator:", comment))
    named = work.plan.tables.table.get(name)
    try:
        entry = (
            parse_entry(
                {
                    "kind": "sharded",
                    **{n: [c.strip() for c in v.split(",")] if n == "key" else v for n, v in given.items()},
                }
            )
            if given
            else named
        )
    except PlanInvalid as error:
        entry, problems = None, [*problems, *error.problems]
    if problems:
        _left(found, name, f"its comment does not say what it is: {'; '.join(problems)}", "Correct the comment")
    elif named is not None and entry != named:
        _left(found, name, "the plan and its comment say different things about it", "Correct one of them")
    elif entry is not None and entry.kind == "excluded":
        _left(found, name, "the plan's file excludes it, the stored plan does not", "Run: migrator plan apply PLAN")
    elif entry is not None:
        found.entries[name] = entry


def _describe(work: Work, name: str, made: objects.Made, found: Found) -> Table | None:
    """Describe a table as capture would; None when it cannot be captured, which is said."""
    if not made.logged:
        _left(
            found,
            name,
            "it is UNLOGGED, and empty after a crash of classic",
            f"ALTER TABLE {table_identifier(name).as_string(work.classic)} SET LOGGED, or exclude it in the plan",
        )
        return None
    role = owner(work.classic, made.schema)
    if role is not None and not role[1]:
        _left(
            found,
            name,
            f"tables of schema {made.schema} belong to {role[0]}, whom the tool's role may not act as",
            f"GRANT {sql.Identifier(role[0]).as_string(work.classic)} to it",
        )
        return None
    try:
        return describe_table(work.classic, entries_of(work, found), name)
    except PlanInvalid as error:
        told = "; ".join(error.problems)
        advice = "Correct it on classic, or exclude it in the plan"
        if " say what it is" in told:
            advice += "." + _SAY.format(entry=f'"{name}"', table=table_identifier(name).as_string(work.classic))
        _left(found, name, told, advice)
        return None


def _accept(work: Work, sides: Sides, described: Mapping[str, Table], found: Found) -> None:
    """Take every table whose parents are captured, or can be adopted, and that Limitless can hold."""
    known = list(work.tables.values())
    before = sides.look(known)
    waiting = dict(sorted(described.items()))
    while waiting:
        ready = [t for t in waiting.values() if not {h.parent for h in t.path} & waiting.keys()]
        for table in ready or list(waiting.values()):
            del waiting[table.qualified]
            missing = [h.parent for h in table.path if h.parent not in {t.qualified for t in known}]
            now = sides.look([*known, table])
            new = now.since(before)
            problems = [str(b) for b in sorted(new.blockers)]
            there = table.qualified in sides.there.tables
            if there:
                problems += [f"Limitless has it already, and {d}" for d in sorted(new.differences)]
            if missing:
                _left(
                    found,
                    table.qualified,
                    f"its tenant comes from {', '.join(missing)}, not captured",
                    "Adopt that first",
                )
            elif problems:
                _left(found, table.qualified, "; ".join(problems), "Correct it, or exclude the table in the plan")
            elif there and filled(work.limitless, table.qualified):
                _left(found, table.qualified, "Limitless has a table of this name, with rows", "Empty or drop it there")
            else:
                known.append(table)
                before = now
                found.tables.append(table)
                found.steps.update(new.steps)


def tasks(work: Work, found: Found, write_pause_s: float) -> list[Task]:
    """Return the tasks on classic."""
    entries = entries_of(work, found)
    return [
        Task(
            "capture",
            f"capture table {t.qualified} with the rows it holds",
            partial(_capture, wanted=t, entries=entries, write_pause_s=write_pause_s),
        )
        for t in found.tables
    ]


def _capture(work: Work, wanted: Table, entries: Tables, write_pause_s: float) -> None:
    """Capture a table that holds rows, and journal the key of each.

    Raises:
        NoGo: it has changed meanwhile, takes too long, or the write mode is another; nothing was changed on classic.
    """
    name, words = wanted.qualified, f"capture table {wanted.qualified}"

    def act(conn: Connection) -> None:
        keep_writers_out(conn, wanted, words, write_pause_s)
        lock_above(conn, wanted)
        table = describe_table(conn, entries, name)
        if table != wanted:
            raise NoGo(words, [f"{name} has been changed since it was looked at"], hint="Run this again.")
        parts, _ = built(conn, captured_tables(conn))
        capture_new(conn, table, parts)
        journal_every_key(conn, table)
        decide(conn, work.who, "schema.adopted", name, f"table {name} is captured, with the rows it held")

    with bounded(words, write_pause_s):
        work.patiently("classic", words, act)
    work.tables[name] = wanted
