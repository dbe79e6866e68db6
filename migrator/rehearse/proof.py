"""The independent proof that nothing was lost: its own SQL, nothing imported from what moved the data.

Three questions, each answered with counts and a sample of what is wrong:

* `compare`: do both sides hold the same rows, text by text, while nothing writes?
* `check_writes`: is every acknowledged write of the ledgers on Limitless, or replaced by a later one?
* `check_reads`: did every read see what had been acknowledged when it began, to its own process and to others? What
  was written without waiting for that, only reads of the same session have to see (level `session`), or none.

A write whose answer was lost may have happened or not; `compare` shows that it is the same on both sides.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from migrator.rehearse.ledger import Ledger, Outcome, RowKey, Write

SETTINGS = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1; SET search_path = pg_catalog;"
    " SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"
)

ROWS: dict[str, dict[str, str]] = {
    "app.currencies": {
        "classic": "SELECT ''::text, code::text, concat_ws('|', code, name, rate) FROM app.currencies",
    },
    "app.accounts": {
        "classic": "SELECT tenant_id::text, tenant_id::text, to_jsonb(a)::text FROM app.accounts AS a",
    },
    "app.users": {
        "classic": "SELECT tenant_id::text, id::text, concat_ws('|', id, tenant_id, quote_nullable(email),"
        " quote_nullable(full_name), quote_nullable(tags), created_at) FROM app.users",
    },
    "app.orders": {
        # Not column by column: a deployment adds some in the middle.
        "classic": "SELECT tenant_id::text, id::text, to_jsonb(o)::text FROM app.orders AS o",
    },
    "app.order_items": {
        "classic": "SELECT o.tenant_id::text, i.id::text, concat_ws('|', i.id, o.tenant_id, i.order_id, i.sku,"
        " i.quantity, i.price, i.attributes) FROM app.order_items AS i JOIN app.orders AS o ON o.id = i.order_id",
        "limitless": "SELECT tenant_id::text, id::text, concat_ws('|', id, tenant_id, order_id, sku,"
        " quantity, price, attributes) FROM app.order_items",
    },
}
"""Tenant, key and one text of all columns, per table; written out by hand on purpose."""

RELEASED_ROWS: dict[str, dict[str, str]] = {
    "app.shipments": {
        "classic": "SELECT o.tenant_id::text, s.id::text, concat_ws('|', s.id, o.tenant_id, s.order_id, s.carrier,"
        " s.state, s.version, s.sent_at) FROM app.shipments AS s JOIN app.orders AS o ON o.id = s.order_id",
        "limitless": "SELECT tenant_id::text, id::text, concat_ws('|', id, tenant_id, order_id, carrier,"
        " state, version, sent_at) FROM app.shipments",
    },
}
"""The same of the table that a deployment brings in the middle."""

COUNT: dict[str, str] = {
    "app.currencies": "SELECT count(*) FROM app.currencies",
    "app.accounts": "SELECT count(*) FROM app.accounts",
    "app.users": "SELECT count(*) FROM app.users",
    "app.orders": "SELECT count(*) FROM app.orders",
    "app.order_items": "SELECT count(*) FROM app.order_items",
    "app.shipments": "SELECT count(*) FROM app.shipments",
}
"""A join must not hide a row from the comparison: counted without it."""

VERSIONS: dict[str, str] = {
    "currencies": "SELECT '', code::text, (rate * 1000000)::bigint % 10000 FROM app.currencies",
    "accounts": "SELECT tenant_id::text, tenant_id::text, (settings ->> 'v')::bigint FROM app.accounts",
    "users": "SELECT tenant_id::text, id::text, substr(tags[1], 2)::bigint FROM app.users",
    "orders": "SELECT tenant_id::text, id::text, (details ->> 'v')::bigint FROM app.orders",
    "order_items": "SELECT tenant_id::text, id::text, (attributes ->> 'v')::bigint FROM app.order_items",
}
"""On Limitless: which version of every row is there."""

RELEASED_VERSIONS: dict[str, str] = {
    "orders.revision": "SELECT tenant_id::text, id::text, revision FROM app.orders",
    "orders.returned": "SELECT tenant_id::text, id::text, (state = 'returned')::int FROM app.orders",
    "shipments": "SELECT tenant_id::text, id::text, version FROM app.shipments",
}
"""The same of what the new release of the application writes, by the ledger's names."""

SAMPLE = 10


@dataclass(slots=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        rows: rows of classic, by table.
        divergent: rows missing, extra or different on Limitless, by table.
    """

    rows: dict[str, int] = field(default_factory=dict)
    divergent: dict[str, int] = field(default_factory=dict)
    sample: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def divergent_rows(self) -> int:
        return sum(self.divergent.values())


@dataclass(slots=True)
class WritesChecked:
    """The result of `check_writes`.

    Attributes:
        acknowledged: transactions that were acknowledged.
        changes: rows they changed.
        lost: acknowledged transactions of which a row is neither present nor replaced by a later write.
        phantom: rows that show a change which was certainly not committed.
        unknown: transactions whose answer was lost, or that were cut off by the end of their process.
    """

    acknowledged: int = 0
    changes: int = 0
    rows: int = 0
    lost: int = 0
    phantom: int = 0
    unknown: int = 0
    sample: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ReadsChecked:
    """The result of `check_reads`, counted row by row.

    Attributes:
        missed: writes of the reading process itself.
        in_session: reads of a session, with its token.
        missed_in_session: writes of theirs that those did not see; counted in `missed` too.
        missed_of_others: writes acknowledged to another process.
        counted_at_once: as the processes counted themselves.
    """

    reads: int = 0
    rows: int = 0
    missed: int = 0
    in_session: int = 0
    missed_in_session: int = 0
    missed_of_others: int = 0
    counted_at_once: int = 0
    sample: list[str] = field(default_factory=list)


def compare(classic_dsn: str, limitless_dsn: str, *, released: bool = False) -> Comparison:
    """Compare every row of the demo on both sides as text; nothing may write meanwhile.

    *released*: also the table that a deployment has brought.
    """
    began = time.monotonic()
    result = Comparison()
    with _open(classic_dsn) as classic, _open(limitless_dsn) as limitless:
        for table, statements in (ROWS | RELEASED_ROWS if released else ROWS).items():
            ours = {(t, k): text for t, k, text in classic.execute(statements["classic"])}
            theirs_sql = statements.get("limitless", statements["classic"])
            wrong, extra = 0, 0
            for tenant, key, text in limitless.execute(theirs_sql):
                mine = ours.pop((tenant, key), None)
                if mine == text:
                    continue
                wrong += 1
                extra += mine is None
                _note(result.sample, f"{table} {key} of {tenant}: {'extra' if mine is None else 'different'}")
            for tenant, key in list(ours)[:SAMPLE]:
                _note(result.sample, f"{table} {key} of {tenant}: missing on limitless")
            counts = [_number(side, COUNT[table]) for side in (classic, limitless)]
            hidden = abs(counts[0] - counts[1] - len(ours) + extra)
            if hidden:
                _note(result.sample, f"{table}: {counts[0]} rows on classic, {counts[1]} on limitless")
            result.rows[table] = counts[0]
            result.divergent[table] = wrong + len(ours) + hidden
    result.seconds = time.monotonic() - began
    return result


def limitless_versions(limitless_dsn: str, *, released: bool = False) -> dict[RowKey, int]:
    """Return the version of every row on Limitless; *released*: also of what a deployment brought."""
    versions: dict[RowKey, int] = {}
    statements = VERSIONS | RELEASED_VERSIONS if released else VERSIONS
    with _open(limitless_dsn) as limitless:
        for table, statement in statements.items():
            for tenant, key, version in limitless.execute(statement):
                versions[RowKey(table, tenant, key)] = version
    return versions


def uses_release(ledger: Ledger) -> dict[str, tuple[int, int]]:
    """Return how many acknowledged writes and how many reads of *ledger* used each thing that a deployment brought."""
    acknowledged = [w for w in ledger.writes if w.outcome is Outcome.ACKNOWLEDGED]
    return {
        name: (
            sum(any(c.row.table == name for c in w.changes) for w in acknowledged),
            sum(any(s.row.table == name for s in r.rows) for r in ledger.reads),
        )
        for name in RELEASED_VERSIONS
    }


def check_writes(ledger: Ledger, versions: dict[RowKey, int]) -> WritesChecked:
    """Look for every acknowledged write of *ledger* in *versions*, what Limitless holds at the end."""
    result = WritesChecked()
    history: dict[RowKey, list[tuple[Write, int | None, int | None]]] = defaultdict(list)
    for write in ledger.writes:
        for change in write.changes:
            history[change.row].append((write, change.before, change.after))
        if write.outcome is Outcome.ACKNOWLEDGED:
            result.acknowledged += 1
            result.changes += len(write.changes)
        elif write.outcome in (Outcome.UNKNOWN, Outcome.PENDING):
            result.unknown += 1
    lost: set[tuple[str, int]] = set()
    result.rows = len(history)
    for row, steps in history.items():
        allowed: set[int | None] = {steps[0][1]}
        last: Write | None = None
        for write, _before, after in steps:
            if write.outcome is Outcome.ACKNOWLEDGED:
                allowed, last = {after}, write
            elif write.outcome is not Outcome.ABORTED:
                allowed.add(after)
        version = versions.get(row)
        if version in allowed:
            continue
        if any(after == version and w.outcome is Outcome.ABORTED for w, _, after in steps):
            result.phantom += 1
        elif last is not None:
            lost.add((last.process, last.number))
        else:
            result.phantom += 1  # this change was never acknowledged, and yet the row has it
        wanted = " or ".join(sorted(map(str, allowed)))
        _note(result.sample, f"{row.table} {row.key} of {row.tenant or '-'}: version {version}, should be {wanted}")
    result.lost = len(lost)
    return result


def check_reads(ledger: Ledger) -> ReadsChecked:
    """Check every read of *ledger* against what had been acknowledged, to any process, when it began.

    All processes read the same monotonic clock, so "before" means the same to them.
    """
    result = ReadsChecked()
    steps = _steps(ledger.writes)
    for read in ledger.reads:
        result.reads += 1
        result.counted_at_once += read.missed
        result.in_session += bool(read.session)
        for seen in read.rows:
            result.rows += 1
            known = steps.get(seen.row)
            if known is None or known.allows(seen.version, read.began, read.ended, read.session):
                continue
            result.missed_in_session += read.session == known.session != ""
            if known.process == read.process:
                result.missed += 1
            else:
                result.missed_of_others += 1
            _note(
                result.sample,
                f"{read.process} read {seen.row.table} {seen.row.key} of {seen.row.tenant or '-'} on {read.side} "
                f"at {read.began + ledger.wall_offset:.3f}: version {seen.version}, which {known.process} had replaced",
            )
    return result


@dataclass(slots=True)
class _Row:
    """One row, written by one thread: versions in order, when each may and when each must be seen."""

    process: str
    session: str
    base: int | None
    intended: list[float] = field(default_factory=list)
    after: list[int | None] = field(default_factory=list)
    acknowledged: list[tuple[float, int]] = field(default_factory=list)  # when, and which of `after`
    own: list[tuple[float, int]] = field(default_factory=list)  # the same to its own session

    def allows(self, version: int | None, began: float, ended: float, session: str) -> bool:
        """Return whether a read between *began* and *ended* in *session* may see *version*."""
        acknowledged = self.own if session and session == self.session else self.acknowledged
        count = bisect_left(acknowledged, (began, -1))
        newest = acknowledged[count - 1][1] if count else -1
        upto = bisect_right(self.intended, ended)
        return version in self.after[max(newest, 0) : upto] or (newest < 0 and version == self.base)


def _steps(writes: Iterable[Write]) -> dict[RowKey, _Row]:
    rows: dict[RowKey, _Row] = {}
    for write in writes:
        if write.outcome is Outcome.ABORTED:
            continue
        for change in write.changes:
            row = rows.setdefault(change.row, _Row(write.process, write.session, change.before))
            row.intended.append(write.at)
            row.after.append(change.after)
            if write.outcome is Outcome.ACKNOWLEDGED and write.ended_at is not None:
                for level, known in (("everywhere", row.acknowledged), ("session", row.own)):
                    if write.ack in ("everywhere", level):
                        known.append((write.ended_at, len(row.after) - 1))
    return rows


def _open(dsn: str) -> psycopg.Connection[Any]:
    conn = psycopg.connect(dsn, autocommit=True, application_name="migrator-rehearsal-proof")
    conn.execute(SETTINGS)
    return conn


def _number(conn: psycopg.Connection[Any], statement: str) -> int:
    row = conn.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0


def _note(sample: list[str], text: str) -> None:
    if len(sample) < SAMPLE:
        sample.append(text)


def covered_by_mirror(classic_dsn: str) -> Iterator[bool]:
    """Yield, once per request, whether every mirror position covers what had committed at the first request.

    One transaction is begun and committed after all writers have stopped; a position that sees it sees all.
    """
    with _open(classic_dsn) as classic:
        xid = classic.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert xid is not None  # a function call always answers
        while True:
            row = classic.execute(
                "SELECT count(*) > 0 AND bool_and(pg_visible_in_snapshot(%s::xid8, snapshot::pg_snapshot))"
                " FROM migrator.position",
                xid,
            ).fetchone()
            yield bool(row and row[0])
