"""Adopts types, sequences, functions, views and whatever else stands beside tables.

What classic has and Limitless lacks is made there, as provisioning makes it; a function's body and a view's columns
follow classic's. An enum's values come to the side that lacks them, in the place that they have on the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import psycopg
from psycopg import sql

from migrator.catalog.values import Catalog, Type
from migrator.control.journal import note_labels
from migrator.dataplane.change.adoption import Left, Task
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.enum_values import place
from migrator.dataplane.change.progress import Connection, Work
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.errors import NoGo
from migrator.inventory.facts import Difference
from migrator.model.table import qualify
from migrator.provision.ddl_sql import Step, steps
from migrator.provision.one import make
from migrator.provision.sides import Sides


@dataclass(slots=True)
class Found:
    """What to do about objects beside tables; *backwards*: SQL that classic lacks, for `schema apply`."""

    tasks: list[Task] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)


def making(made: Sequence[Step]) -> list[Task]:
    """Return the tasks that make on Limitless what it lacks, in order; functions together, and views."""
    tasks = []
    for alike, group in groupby(made, key=lambda s: s.best_effort):
        if alike:
            found = list(group)
            labels = ", ".join(s.label for s in found)
            tasks.append(Task("make_on_limitless", f"make {labels} on Limitless", partial(make_any, found=found)))
        else:
            tasks += [
                Task("make_on_limitless", f"make {s.label} on Limitless", partial(make_step, step=s)) for s in group
            ]
    return tasks


def make_step(work: Work, step: Step) -> None:
    def act(conn: Connection) -> None:
        make(conn, step.record, step.statements, dict(step.settings))

    try:
        work.patiently("limitless", step.label, act)
    except (*BUSY, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        raise NoGo(f"make {step.label}", [f"Limitless refuses it: {server_message(error)}"]) from None


def make_any(work: Work, found: Sequence[Step]) -> None:
    """Make what can be made: functions and views may need each other in any order. The rest is told, and left."""
    waiting, refused = list(found), dict[str, str]()
    while waiting:
        again = []
        for step in waiting:
            try:
                make_step(work, step)
            except NoGo as error:
                again.append(step)
                refused[step.label] = "; ".join(error.blockers)
        if len(again) == len(waiting):
            for step in again:
                work.tell(f"{step.label}: {refused[step.label]}")
            return
        waiting = again


def find(sides: Sides, wanted: Catalog, differences: Sequence[Difference], taken: Collection[str]) -> Found:
    """Decide about everything that the inventory names and that is no new table of classic. Pure.

    Args:
        taken: subjects that are adopted already.
    """
    found = Found()
    there = {(t.schema, t.name): t for t in sides.there.types}
    for kind in sides.classic.types:
        other = there.get((kind.schema, kind.name))
        if other is not None and other != kind and kind.labels:
            _labels(found, kind, other)
    labelled = {f"type {t.schema}.{t.name}" for t in sides.classic.types if t.labels}
    here = {f"{r.kind.lower()} {r.identity}": r for r in wanted.routines}
    for difference in differences:
        sort = difference.subject.partition(" ")[0]
        if difference.subject in taken or difference.code == "table-not-captured":
            continue
        if difference.code == "differs" and difference.subject in labelled:
            continue  # above
        if difference.code == "differs" and difference.subject in here:
            found.tasks.append(_renewal(sides, wanted, difference.subject))
        elif difference.code == "only-on-limitless" and sort in ("type", "sequence"):
            _backwards(found, sides.there, difference)
        else:
            found.left.append(Left(difference.subject, difference.text, difference.advice))
    return found


# -- values of enums -----------------------------------------------------------------------------------


def _labels(found: Found, here: Type, there: Type) -> None:
    name = qualify(here.schema, here.name)
    missing = [v for v in here.labels if v not in there.labels]
    extra = [v for v in there.labels if v not in here.labels]
    common = [v for v in here.labels if v in there.labels]
    if common != [v for v in there.labels if v in here.labels]:
        found.left.append(
            Left(
                f"type {name}",
                f"type {name}: classic and Limitless have its values in different orders",
                "Rows are sorted by it on both sides: make a type with the right order, and move the column to it with"
                " schema apply",
            )
        )
        return
    labels = list(there.labels)
    for value in here.labels:
        if value in missing:
            neighbour, after = _beside(here.labels, labels, value)
            labels.insert(labels.index(neighbour) + after if neighbour else 0, value)
            act = partial(_add_value, name=name, value=value, neighbour=neighbour, after=after)
            found.tasks.append(Task("label_on_limitless", f"add value {value!r} to type {name} on Limitless", act))
    for value in there.labels:
        if value in extra:
            neighbour, after = place(labels, value)
            found.backwards.append(_value_sql(name, value, neighbour, after).as_string(None))


def _beside(wanted: Sequence[str], there: Sequence[str], value: str) -> tuple[str, bool]:
    """Return the value that is *there* and next to *value* in *wanted*, and whether *value* comes behind it."""
    at = wanted.index(value)
    before = [v for v in wanted[:at] if v in there]
    behind = [v for v in wanted[at + 1 :] if v in there]
    return (before[-1], True) if before else (behind[0], False) if behind else ("", True)


def _value_sql(name: str, value: str, neighbour: str, after: bool) -> sql.Composed:
    where: sql.Composable = sql.SQL("")
    if neighbour:
        where = sql.SQL(" {} {}").format(sql.SQL("AFTER" if after else "BEFORE"), sql.Literal(neighbour))
    return sql.SQL("ALTER TYPE {} ADD VALUE IF NOT EXISTS {}{}").format(table_name(name), sql.Literal(value), where)


def _add_value(work: Work, name: str, value: str, neighbour: str, after: bool) -> None:
    work.limitless.execute(_value_sql(name, value, neighbour, after))


def note_values(conn: Connection, schema: str, name: str) -> None:
    """Take over into what the capture watch knows that an enum has other values; Limitless has them too."""
    note_labels(conn, sql.Identifier(schema, name).as_string(conn))


# -- functions and views -------------------------------------------------------------------------------


def _renewal(sides: Sides, wanted: Catalog, subject: str) -> Task:
    """Return the task that gives Limitless classic's form of a function, procedure or view."""
    only = Catalog(
        schemas=frozenset(), routines=tuple(r for r in wanted.routines if f"{r.kind.lower()} {r.identity}" == subject)
    )
    [step] = steps(only, Catalog())
    return Task("renew_on_limitless", f"give Limitless classic's {subject}", partial(_renew, step=step))


def _renew(work: Work, step: Step) -> None:
    kind = step.record.kind
    statements: list[sql.Composed | sql.SQL] = list(step.statements)
    if kind == "view":  # one with other columns cannot be replaced
        name = sql.Identifier(step.record.schema, step.record.name)
        statements.insert(0, sql.SQL("DROP VIEW IF EXISTS {}").format(name))

    def act(conn: Connection) -> None:
        make(conn, step.record, statements, dict(step.settings))

    try:
        work.patiently("limitless", step.label, act)
    except (*BUSY, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        raise NoGo(
            f"renew {step.label}",
            [f"Limitless refuses it: {server_message(error)}"],
            hint="Drop it there, then run this again.",
        ) from None


# -- what Limitless alone has --------------------------------------------------------------------------


def _backwards(found: Found, there: Catalog, difference: Difference) -> None:
    """Have a type or a sequence that Limitless alone has made on classic."""
    only = Catalog(
        types=tuple(t for t in there.types if difference.subject == f"type {t.schema}.{t.name}"),
        sequences=tuple(s for s in there.sequences if difference.subject == f"sequence {s.schema}.{s.name}"),
    )
    texts = [text for step in steps(only, Catalog()) for text in _texts(step)]
    if texts:
        found.backwards += texts
    else:
        found.left.append(Left(difference.subject, difference.text, difference.advice))


def _texts(step: Step) -> Iterator[str]:
    for statement in step.statements:
        yield statement.as_string(None)
