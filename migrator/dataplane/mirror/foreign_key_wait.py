"""Reports a mirror partition that has long been waiting because a foreign key on Limitless refuses its batch.

Most such waits are over in milliseconds: another partition writes the row, or deletes it. One that refers to another
tenant's row, or to the row of a tenant that does not follow classic, never ends by itself: classic's key may allow it,
the key on Limitless holds the shard key too. No tenant is quarantined then, since any part of the batch may be needed
by the rest; but after the option `wait_told_s` status, gates and the breaker's monitor say what is waited for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from migrator.control import stall
from migrator.dataplane.mirror import rows_sql
from migrator.dataplane.mirror.apply import apply
from migrator.dataplane.mirror.batch import target_keys
from migrator.dataplane.mirror.partition import Partition
from migrator.db.error_text import violated_name
from migrator.db.text_values import fetch
from migrator.model.table import qualify

SHOWN = 5


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key on Limitless: *columns* of *table* refer to *parent_columns* of *parent*; schema and name each."""

    name: str
    table: tuple[str, str]
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]


@dataclass(slots=True)
class Wait:
    """Since when (monotonic) a partition waits, and when that was told last; it does not wait: None."""

    since: float | None = None
    told: float = 0.0

    def over(self) -> None:
        self.since = None

    async def report(self, p: Partition, error: psycopg.errors.ForeignKeyViolation) -> None:
        """Note that *p* waits; tell classic what for, when that has lasted for long. Its next position clears it.

        Raises:
            psycopg.Error: a side failed.
        """
        now = time.monotonic()
        if self.since is None:
            self.since = self.told = now
        if now - self.told < p.options.wait_told_s:
            return
        self.told = now
        key = await _key(p, error)
        rows = await _misfits(p, key) if key is not None else Misfits()
        said = describe(key, rows, now - self.since, violated_name(error))
        await stall.store(p.control, p.part, p.stand.epoch, said)


@dataclass(frozen=True, slots=True)
class Misfits:
    """Rows because of which a batch is refused, as far as they are known: how many, by tenant (None: of a reference
    table). *missing*: rows of the batch whose parent is not on Limitless. *kept*: rows on Limitless whose parent is to
    be
    deleted."""

    missing: Mapping[str | None, int] = field(default_factory=dict)
    kept: Mapping[str | None, int] = field(default_factory=dict)


def describe(key: ForeignKey | None, rows: Misfits, seconds: float, name: str = "") -> str:
    """Return what a partition waits for and what to do about it; of values, names of tenants only. Pure.

    Args:
        name: of the key, as the error gives it.
    """
    waited = f"it has waited {seconds:.0f} s because of a foreign key on Limitless (23503)"
    if key is None:
        return f"{waited}: {name or 'the error does not name it'}. Look on classic for the row that it misses"
    table, parent = qualify(*key.table), qualify(*key.parent)
    refers = f"{table} ({', '.join(key.columns)}) refers by {key.name} to {parent} ({', '.join(key.parent_columns)})"
    drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(*key.table), sql.Identifier(key.name))
    until = f"until the decommission makes it again, drop the key on Limitless: {drop.as_string(None)}"
    if rows.missing:
        return (
            f"{waited}: {refers}, and {_whose(rows.missing)} to a row that is missing there. It stays missing"
            " if it is another tenant's row, or of a tenant that is not mirrored: correct the referring row on"
            f" classic, or, {until}"
        )
    if rows.kept:
        return (
            f"{waited}: {refers}, and {_whose(rows.kept)} to a row that classic has deleted. Rows of a"
            " quarantined tenant stay until it is copied again: correct the cause, then: migrator mirror retry TENANT;"
            f" or, {until}"
        )
    return f"{waited}: {refers}. Look on classic for the row that it misses, or, {until}"


def _whose(rows: Mapping[str | None, int]) -> str:
    """Return "1 row (tenant 5) refers", or "3 rows (tenant 5, tenant 7) refer"."""
    count = sum(rows.values())
    names = [f"tenant {tenant}" if tenant is not None else "a reference table" for tenant in rows]
    shown = ", ".join(names[:SHOWN]) + (f", … ({len(names)} in all)" if len(names) > SHOWN else "")
    return f"{count} rows ({shown}) refer" if count > 1 else f"1 row ({shown}) refers"


_KEY = """
SELECT k.conname::text, n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
       pn.nspname::text, p.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place)
  FROM pg_catalog.pg_constraint named  -- of a part of a table, perhaps
  JOIN pg_catalog.pg_constraint k ON k.oid = CASE named.conparentid WHEN 0 THEN named.oid ELSE named.conparentid END
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
 WHERE k.contype = 'f' AND named.conname = %s AND n.nspname = ANY (%s)
 ORDER BY c.relname = %s DESC, k.conparentid <> 0, 2, 3
 LIMIT 1
"""


async def _key(p: Partition, error: psycopg.Error) -> ForeignKey | None:
    """Return the foreign key that *error* names; None when it names none. Of a table, a shard knows parts only."""
    schemas = sorted({t.schema for t in p.tables.values()})
    cursor = await p.limitless.execute(_KEY, (violated_name(error), schemas, error.diag.table_name or ""))
    row = await cursor.fetchone()
    if row is None:
        return None
    name, schema, table, columns, parent_schema, parent, parent_columns = row
    return ForeignKey(name, (schema, table), tuple(columns), (parent_schema, parent), tuple(parent_columns))


async def _misfits(p: Partition, key: ForeignKey) -> Misfits:
    """Return the rows because of which the batch was refused.

    Asked in a transaction that writes the batch once more and is rolled back: keys of this tool's check at its end.
    """
    tables = {(t.schema, t.name): t for t in p.tables.values()}
    child, parent = tables.get(key.table), tables.get(key.parent)
    if child is None or parent is None:
        return Misfits()
    missing: dict[str | None, int] = {}
    kept: dict[str | None, int] = {}
    with contextlib.suppress(psycopg.IntegrityError):  # a key that checks at once: then only its name is known
        async with p.limitless.transaction(force_rollback=True):
            await apply(p.limitless, p.held_back)
            for batch in p.held_back:
                if batch.table == child and batch.upserts:
                    query = rows_sql.without_parent(child, key.columns, parent, key.parent_columns)
                    missing = _by_tenant(await fetch(p.limitless, query, target_keys(child, batch.upserts)))
                if batch.table == parent and batch.deletes and set(key.parent_columns) <= set(parent.target_key):
                    query = rows_sql.still_referring(child, key.columns, parent, key.parent_columns)
                    kept = _by_tenant(await fetch(p.limitless, query, target_keys(parent, batch.deletes)))
    return Misfits(missing, kept)


def _by_tenant(rows: Iterable[tuple[str | None, ...]]) -> dict[str | None, int]:
    return {tenant: int(count or 0) for tenant, count in rows}
