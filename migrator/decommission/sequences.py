"""From which number on may Limitless hand out keys?

Above everything classic ever handed out (`last_value`) and above everything anybody wrote by hand (the largest
value of the columns a sequence feeds), plus the plan's headroom. Limitless has no setval: ALTER SEQUENCE …
RESTART (AWS: Aurora Limitless, CREATE SEQUENCE and ALTER SEQUENCE). Its routers take numbers in chunks, so what each
router hands out next is checked and not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.errors import InvariantBroken, NoGo

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """A sequence as classic has it.

    Attributes:
        used: last number handed out; None when it never was called.
        column_max: largest value in the columns it feeds; None when they are empty.
        limit: largest number it may hand out (on Limitless).
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


def restart_at(facts: SequenceFacts, headroom: int) -> int:
    """Return the first number Limitless may hand out.

    Raises:
        NoGo: the sequence would be exhausted, or counts down.
    """
    if facts.increment < 1:
        raise NoGo("decommission", [f"sequence {facts.qualified} counts down; restart it by hand"])
    start = max(facts.used or 0, facts.column_max or 0) + headroom + facts.increment
    if start > facts.limit:
        raise NoGo(
            "decommission",
            [f"sequence {facts.qualified} would start at {start}, above its limit {facts.limit}; widen it or lower "
             "decommission.sequence_headroom"],
        )  # fmt: skip
    return start


_SEQUENCES = """
SELECT n.nspname, c.relname, s.seqmax, s.seqincrement
  FROM pg_sequence s
  JOIN pg_class c ON c.oid = s.seqrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%s)
 ORDER BY n.nspname, c.relname
"""

# Of Limitless: a router's own pg_sequence shows the state of that router alone.
_LIMITS = """
SELECT schema_name, sequence_name, maxvalue
  FROM rds_aurora.limitless_distributed_sequence
 WHERE schema_name = ANY (%s)
"""
_CHUNKS = """
SELECT subcluster_id, active_minvalue
  FROM rds_aurora.limitless_sequence_metadata
 WHERE schema_name = %s AND sequence_name = %s AND active_minvalue < %s
 ORDER BY subcluster_id
"""

# Columns a sequence feeds: it is owned by them (serial, identity), or their default calls it.
_COLUMNS = """
SELECT tn.nspname, tc.relname, a.attname
  FROM pg_depend d
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  JOIN pg_class tc ON tc.oid = a.attrelid
  JOIN pg_namespace tn ON tn.oid = tc.relnamespace
 WHERE d.classid = 'pg_class'::regclass AND d.objid = %(sequence)s::regclass AND d.deptype IN ('a', 'i')
   AND d.refobjsubid > 0
 UNION
SELECT tn.nspname, tc.relname, a.attname
  FROM pg_depend d
  JOIN pg_attrdef f ON f.oid = d.objid
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  JOIN pg_class tc ON tc.oid = a.attrelid
  JOIN pg_namespace tn ON tn.oid = tc.relnamespace
 WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
   AND d.refobjid = %(sequence)s::regclass
"""


def read(classic: Connection, limitless: Connection, schemas: list[str]) -> list[SequenceFacts]:
    """Return the facts of every sequence that exists on both sides."""
    there = {(s, n): int(limit) for s, n, limit in limitless.execute(_LIMITS, (schemas,))}
    found = []
    for schema, name, _, increment in classic.execute(_SEQUENCES, (schemas,)).fetchall():
        if (schema, name) not in there:
            continue
        identifier = sql.Identifier(schema, name)
        row = classic.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(identifier)).fetchone()
        used = int(row[0]) if row and row[1] else None
        largest = [
            _column_max(classic, *column)
            for column in classic.execute(_COLUMNS, {"sequence": identifier.as_string(classic)}).fetchall()
        ]
        values = [v for v in largest if v is not None]
        limit = there[(schema, name)]
        found.append(SequenceFacts(schema, name, used, max(values) if values else None, limit, int(increment)))
    return found


def _column_max(conn: Connection, schema: str, table: str, column: str) -> int | None:
    statement = sql.SQL("SELECT max({})::bigint FROM {}").format(sql.Identifier(column), sql.Identifier(schema, table))
    row = conn.execute(statement).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def restart(limitless: Connection, facts: SequenceFacts, headroom: int) -> int:
    """Move one sequence on Limitless and return the first number there; running it again does the same again.

    Raises:
        InvariantBroken: a router still hands out numbers that classic may have used.
    """
    start = restart_at(facts, headroom)
    identifier = sql.Identifier(facts.schema, facts.name)
    limitless.execute(sql.SQL("ALTER SEQUENCE {} RESTART WITH {}").format(identifier, sql.Literal(start)))
    # Each router by what the cluster says of it, the one at hand by what it does.
    behind = limitless.execute(_CHUNKS, (facts.schema, facts.name, start)).fetchall()
    if behind:
        told = ", ".join(f"router {router} at {first}" for router, first in behind)
        raise InvariantBroken(f"sequence {facts.qualified} was restarted at {start}, and is behind on: {told}")
    row = limitless.execute("SELECT nextval(%s::regclass)", (identifier.as_string(limitless),)).fetchone()
    first = int(row[0]) if row else 0
    if first < start:
        raise InvariantBroken(f"sequence {facts.qualified} handed out {first} after a restart at {start}")
    return first
