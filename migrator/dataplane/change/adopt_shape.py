"""Adopts what was changed of captured tables past the guard, on classic, or on Limitless directly.

Capture's triggers did not change, so every write was journalled; what an ALTER TABLE did to rows that exist was not.
So the key of every row of such a table is journalled once more, in the transaction that gives mirrors, copies and
validators its new descriptor. Limitless gets what it lacks before, and loses what classic has dropped, so that it can
take every row; defaults, NOT NULL and checks follow when no mirror works with the old shape any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import psycopg
from psycopg import sql

from migrator.catalog.objects import partition_root, type_name
from migrator.catalog.values import Column, TableShape
from migrator.control import journal
from migrator.control.log import decide
from migrator.control.tables import captured_tables, relation_oids
from migrator.dataplane.capture import watch
from migrator.dataplane.capture.every_key import captured_by, journal_every_key
from migrator.dataplane.change.adoption import Left, Task, bounded, copy_cost, keep_writers_out, limit_pause
from migrator.dataplane.change.progress import Connection, Work
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.errors import NoGo, PlanInvalid
from migrator.model.capture import Difference
from migrator.model.expression import same_expression
from migrator.model.table import Table
from migrator.plan.tables import describe_table
from migrator.provision.sides import Sides

_SHAPE = frozenset(("columns", "constraints"))
_LABELS = ("labels",)


@dataclass(slots=True)
class Watched:
    """What the capture watch says, sorted: what can be adopted, by table, enum and partitioned table; and the rest."""

    tables: dict[str, list[Difference]] = field(default_factory=dict)
    enums: dict[tuple[str, str], Difference] = field(default_factory=dict)
    trees: dict[str, list[Difference]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    @property
    def adoptable(self) -> Iterator[Difference]:
        for found in (*self.tables.values(), *self.trees.values(), self.enums.values()):
            yield from found


def watched(conn: Connection) -> Watched:
    """Sort what differs from what capture was built for.

    A recorded loss that these differences do not explain is among the rest.
    """
    found = Watched()
    captured = captured_tables(conn)
    oids = {int(oid): captured[number].qualified for number, oid in relation_oids(conn).items() if number in captured}
    for d in watch.differences(conn):
        root = oids.get(partition_root(conn, d.oid) or 0) if d.kind == "table" else None
        if d.kind == "table" and d.code == "changed" and root is not None and set(d.facets) <= _SHAPE:
            found.tables.setdefault(root, []).append(d)
        elif d.kind == "table" and d.code == "new" and root is not None:
            found.trees.setdefault(root, []).append(d)
        elif d.kind == "table" and d.code == "gone" and (left := captured_by(conn, d.oid)) in captured:
            found.trees.setdefault(captured[left].qualified, []).append(d)
        elif d.kind == "type" and d.code == "changed" and d.facets == _LABELS:
            if (name := type_name(conn, d.oid)) is not None:
                found.enums[name] = d
        else:
            found.rest.append(d.text)
    explained = {text for d in found.adoptable for text in _texts(d)}
    found.rest += [text for text in journal.lost(conn) if text not in explained and text not in found.rest]
    return found


def _texts(found: Difference) -> Iterator[str]:
    """Yield what the watch may have said of a difference, when fewer facets of it differed."""
    yield found.text
    for count in range(1, len(found.facets)):
        for facets in combinations(found.facets, count):
            yield Difference(found.code, found.kind, found.name, facets, found.oid).text


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A captured table, and the statements that bring Limitless to its shape: before rows of it come, and after."""

    table: Table
    again: bool
    noted: tuple[Difference, ...]
    first: tuple[sql.Composed, ...] = ()
    last: tuple[sql.Composed, ...] = ()


@dataclass(slots=True)
class Found:
    """What to do about captured tables; *backwards*: SQL that classic lacks, for `schema apply`."""

    reshaped: list[Reshaped] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)


def find(work: Work, sides: Sides, seen: Watched) -> Found:
    """Decide about every captured table; `work.tables` describes those that can be adopted as they are now."""
    found = Found()
    old = dict(work.tables)
    for name in seen.tables:
        try:
            now = describe_table(work.classic, work.planned, name)
        except PlanInvalid as error:
            _left(work, found, name, "; ".join(error.problems))
            continue
        why = _cannot(old[name], now) or _needed(name, now, old.values())
        if why:
            _left(work, found, name, why)
        else:
            work.tables[name] = now
    wanted = sides.wanted(list(work.tables.values()))
    there = sides.existing(wanted.catalog)
    refused = {left.subject for left in found.left}
    for name, shape in wanted.catalog.tables.items():
        if name not in there.tables and name in old:  # dropped there: it is made again, and filled
            noted = tuple(seen.tables.get(name, ()))
            found.reshaped.append(Reshaped(work.tables[name], True, noted))
        elif name in there.tables and f"table {name}" not in refused and name in old:
            differ = _compare(work, shape, there.tables[name], old[name], name in seen.tables, found)
            noted = tuple(seen.tables.get(name, ()))
            if noted or differ.first or differ.last:
                found.reshaped.append(
                    Reshaped(
                        work.tables[name], bool(noted) or differ.again, noted, tuple(differ.first), tuple(differ.last)
                    )
                )
    return found


def _left(work: Work, found: Found, name: str, text: str) -> None:
    found.left.append(
        Left(f"table {name}", f"table {name}: {text}", f"Put it back as it was, {copy_cost(work.classic)}")
    )


def _cannot(old: Table, now: Table) -> str:
    """Say why a table cannot go on with its new shape; '' when it can. Pure."""
    if now.key != old.key:
        return f"its key is ({', '.join(now.key)}) now; rows are known by ({', '.join(old.key)}) on Limitless"
    if (now.kind, now.tenant_column, now.tenant_source, now.tenant_type) != (
        old.kind,
        old.tenant_column,
        old.tenant_source,
        old.tenant_type,
    ):
        was = f"{old.tenant_source} ({old.tenant_type})"
        return f"its tenant key is {now.tenant_source} ({now.tenant_type}) now, and was {was}"
    if now.path != old.path:
        return "the foreign key, or the columns, that lead to its tenant are others now"
    types = {c.name: c.there for c in now.columns}
    changed = [
        f"{c.name} is {types[c.name]}, was {c.there}" for c in old.columns if types.get(c.name, c.there) != c.there
    ]
    if changed:
        return f"the type of a column is another: {', '.join(changed)}; Limitless changes no column's type in place"
    generated = {c.name: c.generated for c in now.columns}
    made = [c.name for c in old.columns if generated.get(c.name, c.generated) != c.generated]
    return f"column {', '.join(made)} is generated by the server now, or is not any more" if made else ""


def _needed(name: str, now: Table, tables: Iterable[Table]) -> str:
    """Say which column other tables' tenants are found by and is missing now; '' when none is. Pure."""
    there = {c.name for c in now.columns}
    for table in tables:
        at = table.qualified
        for hop in table.path:
            gone = [c for c in hop.parent_columns if hop.parent == name and c not in there]
            gone += [c for c in hop.columns if at == name and c not in there]
            if gone:
                return f"column {', '.join(gone)}, by which the tenant of {table.qualified} is found, is missing"
            at = hop.parent
    return ""


@dataclass(slots=True)
class _Differ:
    first: list[sql.Composed] = field(default_factory=list)
    last: list[sql.Composed] = field(default_factory=list)
    again: bool = False


def _compare(work: Work, wanted: TableShape, there: TableShape, old: Table, changed: bool, found: Found) -> _Differ:
    """Return what makes Limitless' table as wanted."""
    differ = _Differ()
    alter = sql.SQL("ALTER TABLE {} ").format(sql.Identifier(wanted.schema, wanted.name))
    known = {c.name for c in old.columns}
    existing = {c.name: c for c in there.columns}
    for column in wanted.columns:
        other = existing.pop(column.name, None)
        name = sql.Identifier(column.name)
        if other is None:
            differ.again = True
            differ.first.append(alter + _add(column))
            other = _added(column)
        if other.type != column.type or bool(other.generated) != bool(column.generated):
            if not changed:
                _left(
                    work,
                    found,
                    wanted.qualified,
                    f"column {column.name} is {other.type} on Limitless, {column.type} on classic",
                )
            continue
        if other.not_null and not column.not_null:
            differ.first.append(alter + sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(name))
        elif column.not_null and not other.not_null:
            differ.last.append(alter + sql.SQL("ALTER COLUMN {} SET NOT NULL").format(name))
        if not column.generated and not same_expression(other.default, column.default):
            what = (
                sql.SQL("SET DEFAULT {}").format(sql.SQL(column.default)) if column.default else sql.SQL("DROP DEFAULT")
            )
            differ.last.append(alter + sql.SQL("ALTER COLUMN {} ").format(name) + what)
    for extra in existing.values():
        if extra.name in known:  # classic has dropped it, so no mirror or copy can read a row to write it
            differ.first.append(alter + sql.SQL("DROP COLUMN {}").format(sql.Identifier(extra.name)))
        else:
            found.backwards.append((alter + _add(extra)).as_string(None) + _rest(extra))
    _checks(wanted, there, changed, alter, differ, found)
    return differ


def _checks(
    wanted: TableShape, there: TableShape, changed: bool, alter: sql.Composed, differ: _Differ, found: Found
) -> None:
    checks = {c.name: c for c in there.checks}
    for check in wanted.checks:
        other = checks.pop(check.name, None)
        name = sql.Identifier(check.name)
        if other is not None and same_expression(other.condition, check.condition) and other.validated:
            continue
        if other is not None:
            differ.first.append(alter + sql.SQL("DROP CONSTRAINT {}").format(name))
        differ.last.append(alter + sql.SQL("ADD CONSTRAINT {} CHECK {}").format(name, sql.SQL(check.condition)))
    for extra in checks.values():
        if changed:  # classic has dropped it
            differ.first.append(alter + sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(extra.name)))
        else:
            text = (
                f"table {wanted.qualified}: CHECK {extra.name} exists on Limitless only, and may refuse classic's rows"
            )
            found.left.append(
                Left(f"table {wanted.qualified}", text, "Drop it there, or add it to both sides with schema apply")
            )


def _add(column: Column) -> sql.Composed:
    parts: list[sql.Composable] = [sql.Identifier(column.name), sql.SQL(column.type)]
    if column.collation:
        parts.append(sql.SQL("COLLATE {}").format(sql.Identifier(*column.collation)))
    if column.generated:
        parts.append(sql.SQL("GENERATED ALWAYS AS ({}) STORED").format(sql.SQL(column.default or "NULL")))
    return sql.SQL("ADD COLUMN {}").format(sql.SQL(" ").join(parts))


def _rest(column: Column) -> str:
    """Return default and NOT NULL of a column that classic lacks."""
    default = f" DEFAULT {column.default}" if column.default and not column.generated else ""
    return default + (" NOT NULL" if column.not_null else "")


def _added(column: Column) -> Column:
    """Return a column as `_add` makes it: rows come with the journal, NOT NULL and the default after them."""
    return Column(column.name, column.type, False, column.default if column.generated else None, column.generated)


# -- what is done --------------------------------------------------------------------------------------


def first_tasks(found: Found) -> list[Task]:
    every = [("alter_on_limitless", "let Limitless take every row of", r, r.first) for r in found.reshaped]
    return [_altering(*one) for one in every if one[-1]]


def describe_tasks(found: Found, seen: Watched, write_pause_s: float) -> list[Task]:
    """Return the tasks on classic: partitions that came or went, then shapes."""
    return [
        *(
            Task(
                "follow",
                f"capture the partitions of {root} that were attached, with their rows",
                partial(_follow, root=root, adopted=seen.trees[root], write_pause_s=write_pause_s),
            )
            for root in sorted(seen.trees)
        ),
        *(
            Task(
                "describe",
                f"journal every row of {r.table.qualified} again, and let mirrors work with its shape",
                partial(_describe, reshaped=r, write_pause_s=write_pause_s),
            )
            for r in found.reshaped
            if r.again
        ),
    ]


def last_tasks(found: Found) -> list[Task]:
    every = [("finish_on_limitless", "give Limitless the shape of", r, r.last) for r in found.reshaped]
    return [_altering(*one) for one in every if one[-1]]


def _altering(name: str, words: str, reshaped: Reshaped, statements: Sequence[sql.Composed]) -> Task:
    return Task(name, f"{words} {reshaped.table.qualified}", partial(_alter, reshaped=reshaped, statements=statements))


def _alter(work: Work, reshaped: Reshaped, statements: Sequence[sql.Composed]) -> None:
    name = reshaped.table.qualified

    def act(conn: Connection) -> None:
        for statement in statements:
            conn.execute(statement)

    with work.alone(f"change {name} on Limitless"):
        try:
            work.patiently("limitless", name, act)
        except (*BUSY, psycopg.OperationalError):
            raise
        except psycopg.Error as error:
            raise NoGo(
                f"change {name}",
                [f"Limitless refuses it: {server_message(error)}"],
                hint="Correct it on classic, or change it there by hand; then run this again.",
            ) from None


def _follow(work: Work, root: str, adopted: Sequence[Difference], write_pause_s: float) -> None:
    def act(conn: Connection) -> None:
        conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
        limit_pause(conn, write_pause_s)
        conn.execute("SELECT migrator.follow_leaves(%s)", (root,))
        decide(conn, work.who, "schema.adopted", root, "partitions that came or went past the guard")
        end_loss(conn, work.who, adopted)

    with bounded(f"capture the partitions of {root}", write_pause_s):
        work.patiently("classic", root, act)


def _describe(work: Work, reshaped: Reshaped, write_pause_s: float) -> None:
    """Store the new descriptor and journal every key, in one transaction.

    Raises:
        NoGo: the table has changed meanwhile, or it takes too long; nothing was changed.
    """
    name, words = reshaped.table.qualified, f"adopt the shape of {reshaped.table.qualified}"

    def act(conn: Connection) -> None:
        keep_writers_out(conn, reshaped.table, words, write_pause_s)
        if describe_table(conn, work.planned, name) != reshaped.table:
            raise NoGo(words, [f"{name} has been changed since it was looked at"], hint="Run this again.")
        work.describe(conn, reshaped.table)
        for d in reshaped.noted:
            conn.execute("SELECT migrator.note_facets(%s::oid, '{columns,constraints}')", (d.oid,))
        journal_every_key(conn, reshaped.table)
        decide(conn, work.who, "schema.adopted", name, f"table {name} is mirrored as classic has it now")
        end_loss(conn, work.who, reshaped.noted)

    with work.alone(words), bounded(words, write_pause_s):
        work.patiently("classic", words, act)


def end_loss(conn: Connection, who: str, adopted: Iterable[Difference]) -> None:
    """Take what is *adopted* out of the recorded loss, in the transaction that adopts it.

    Mirrors go on when nothing is left of it and capture is as it should be again.
    """
    journal.explain_loss(conn, [text for d in adopted for text in _texts(d)])
    if journal.is_explained(conn) and not watch.differences(conn):
        journal.forget_loss(conn)
        decide(conn, who, "capture.adopted", "everything", "what was changed past the guard is on both sides now")
