"""Restarts sequences on Limitless above every number that classic has used.

That is beyond every number classic handed out (`last_value`) and beyond every one written explicitly (the most extreme
value of the columns a sequence feeds), plus the plan's headroom. Limitless has no setval: ALTER SEQUENCE …
RESTART (AWS: Aurora Limitless, CREATE SEQUENCE and ALTER SEQUENCE). Its routers take numbers in chunks, so what each
router hands out next is checked and not assumed.

Reading a column may read a whole table, so that is done before the pause (`read`, then `restart`). In the pause only
what changed since is looked at (`read_again`), and a sequence is moved once more only when its headroom is used up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog import read as catalog
from migrator.control.answers import answers
from migrator.errors import InvariantBroken, NoGo
from migrator.model.capability import Capability
from migrator.model.table import Table, qualify
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """A sequence as classic has it.

    Attributes:
        used: last number handed out; None when it was never called.
        column_max: the farthest value, in the direction it counts, in the integer columns whose default is this
            sequence alone or that own it; None when they are empty or there are none. What a sequence goes into
            otherwise (text, an expression, a function, two tables) says nothing about its numbers: `used` decides.
        limit: the last number it may hand out (on Limitless).
    """

    schema: str
    name: str
    used: int | None
    column_max: int | None
    limit: int
    increment: int = 1

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


def _farthest(facts: SequenceFacts) -> int:
    """Return the last number that is taken; 0 when none is."""
    taken = [v for v in (facts.used, facts.column_max) if v is not None]
    return min([0, *taken]) if facts.increment < 0 else max([0, *taken])


def restart_at(facts: SequenceFacts, headroom: int) -> int:
    """Return the first number Limitless may hand out.

    Raises:
        NoGo: the sequence would be exhausted.
    """
    down = facts.increment < 0
    start = _farthest(facts) + (-headroom if down else headroom) + facts.increment
    if start < facts.limit if down else start > facts.limit:
        raise NoGo(
            "decommission",
            [f"sequence {facts.qualified} would start at {start}, {'below' if down else 'above'} its limit "
             f"{facts.limit}; widen it or lower decommission.sequence_headroom"],
        )  # fmt: skip
    return start


def must_move(facts: SequenceFacts, first: int, headroom: int) -> bool:
    """Return whether a sequence whose first number on Limitless is *first* has to start elsewhere by now. Pure.

    Half of the headroom may be used up between the preparation and the pause.
    """
    left = first - _farthest(facts) if facts.increment > 0 else _farthest(facts) - first
    return left <= headroom // 2


_CHUNKS = """
SELECT subcluster_id, active_minvalue
  FROM rds_aurora.limitless_sequence_metadata
 WHERE schema_name = %s AND sequence_name = %s AND active_minvalue < %s
 ORDER BY subcluster_id
"""

Column = tuple[str, str, str]
"""Schema, table and column."""


def read(classic: Connection, limitless: Connection, schemas: list[str]) -> list[SequenceFacts]:
    """Return the facts of every sequence that exists on both sides; reads whole columns where no index helps."""
    return [
        replace(facts, column_max=_extreme(classic, facts, columns, "", ()))
        for facts, columns in _both(classic, limitless, schemas)
    ]


def read_again(
    classic: Connection,
    limitless: Connection,
    schemas: list[str],
    before: Mapping[str, int | None],
    tables: Sequence[Table],
    tenants: Sequence[TenantId],
    reference: bool,
) -> list[SequenceFacts]:
    """Return the facts as they are now, for the price of what changed since they were read.

    Both sides are equal by now, and Limitless has every row by its tenant, so the columns are read there.

    Args:
        before: `column_max` of each sequence as `read` found it, by qualified name; a sequence that is not there is
            read whole.
        tenants: those with a change since; *reference*: the other tables may have changed too.
    """
    kinds = {t.qualified: t for t in tables}
    found = []
    for facts, columns in _both(classic, limitless, schemas):
        if facts.qualified not in before:
            found.append(replace(facts, column_max=_extreme(classic, facts, columns, "", ())))
            continue
        values = [before[facts.qualified]]
        for column in columns:
            table = kinds.get(qualify(column[0], column[1]))
            if table is None or (not table.sharded and not reference) or (table.sharded and not tenants):
                continue
            where = table.tenant_column if table.sharded and table.tenant_column else ""
            values.append(_extreme(limitless, facts, [column], where, tenants, table.tenant_type or "text"))
        known = [v for v in values if v is not None]
        pick = min if facts.increment < 0 else max
        found.append(replace(facts, column_max=pick(known) if known else None))
    return found


def _both(classic: Connection, limitless: Connection, schemas: list[str]) -> list[tuple[SequenceFacts, list[Column]]]:
    """Return every sequence of both sides with the columns it feeds, its `column_max` yet to be read."""
    declared = answers(limitless).works(Capability.SEQUENCE_LIMITS)
    there = {s.qualified: s.limit for s in catalog.sequences(limitless, schemas, declared=declared)}
    facts = []
    for sequence in catalog.sequences(classic, schemas):
        if sequence.qualified not in there:
            continue
        identifier = sql.Identifier(*sequence.qualified)
        row = classic.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(identifier)).fetchone()
        used = int(row[0]) if row and row[1] else None
        columns = details.fed_columns(classic, identifier)
        limit = there[sequence.qualified]
        facts.append((SequenceFacts(*sequence.qualified, used, None, limit, sequence.increment), columns))
    return facts


def _extreme(
    conn: Connection,
    facts: SequenceFacts,
    columns: Sequence[Column],
    tenant_column: str,
    tenants: Sequence[TenantId],
    tenant_type: str = "text",
) -> int | None:
    """Return the farthest value of *columns*; with *tenant_column* among the rows of *tenants* only."""
    where: sql.Composable = sql.SQL("")
    if tenant_column:
        where = sql.SQL(" WHERE {} = ANY ({}::text[]::{}[])").format(
            sql.Identifier(tenant_column), sql.Literal(list(tenants)), sql.SQL(tenant_type)
        )
    values = []
    for schema, table, column in columns:
        statement = sql.SQL("SELECT {}({})::bigint FROM {}{}").format(
            sql.SQL("min" if facts.increment < 0 else "max"),
            sql.Identifier(column),
            sql.Identifier(schema, table),
            where,
        )
        row = conn.execute(statement).fetchone()
        if row and row[0] is not None:
            values.append(int(row[0]))
    if not values:
        return None
    return min(values) if facts.increment < 0 else max(values)


def restart(limitless: Connection, facts: SequenceFacts, headroom: int) -> int:
    """Move one sequence on Limitless and return the first number there; running it again does the same again.

    Raises:
        InvariantBroken: a router still hands out numbers that classic may have used.
    """
    start = restart_at(facts, headroom)
    identifier = sql.Identifier(facts.schema, facts.name)
    limitless.execute(sql.SQL("ALTER SEQUENCE {} RESTART WITH {}").format(identifier, sql.Literal(start)))
    # Each router by what the cluster says of it, if it does; the one at hand by what it does.
    told = facts.increment > 0 and answers(limitless).works(Capability.SEQUENCE_CHUNKS)
    behind = limitless.execute(_CHUNKS, (facts.schema, facts.name, start)).fetchall() if told else []
    if behind:
        where = ", ".join(f"router {router} at {first}" for router, first in behind)
        raise InvariantBroken(f"sequence {facts.qualified} was restarted at {start}, and is behind on: {where}")
    row = limitless.execute("SELECT nextval(%s::regclass)", (identifier.as_string(limitless),)).fetchone()
    first = int(row[0]) if row else 0
    if first > start if facts.increment < 0 else first < start:
        raise InvariantBroken(f"sequence {facts.qualified} handed out {first} after a restart at {start}")
    return first
