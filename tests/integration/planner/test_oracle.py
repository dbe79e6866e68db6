"""Is a statement on one shard where the audit says so? PostgreSQL's planner is asked, for statements made at random.

Tables are hash-partitioned by the key on a plain server, by which Limitless finds single-shard statements: one
partition number in the plan is one shard. The planner knows nothing of our analysis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.rows import Evidence
from migrator.audit.shardkey import volatility
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.shardkey.verdict import Judged, StatementVerdict, judge
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Parsed, parse
from tests.integration.planner.statements import KEY, SCHEMA, SHARDED, Writer, partitioned

pytestmark = pytest.mark.pg

PARTS = 4
LATE_MISSES = 0.06
"""Of statements that reach one shard at run time, this share may not: whether a join hands the key on depends on the
order that the planner joins in."""
NESTED_LOOPS = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_material", "enable_memoize")
# A statement of ours may be refused for what it would do, or take too long where joins have no condition.
NOT_RUN = (psycopg.errors.IntegrityError, psycopg.errors.QueryCanceled)


@dataclass
class Tally:
    """What became of the statements. `crossing` holds those called single-shard that are not, by seed."""

    asked: int = 0
    invalid: int = 0
    single: int = 0
    late: int = 0
    late_missed: int = 0
    crossing: dict[int, str] = field(default_factory=dict)


@pytest.fixture
def conn(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(classic_dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(partitioned(PARTS).encode())
        for name in SHARDED:
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} SELECT t, id, (id * 7 + t) % 5, (id + t) % 4"
                    " FROM generate_series(1, 8) t, generate_series(1, 5) id"
                ).format(sql.Identifier(name))
            )
        connection.execute("INSERT INTO r SELECT n, n % 3 FROM generate_series(1, 5) n")
        connection.execute("ANALYZE")
        connection.execute("SET jit = off; SET max_parallel_workers_per_gather = 0; SET statement_timeout = '1s'")
        yield connection


@pytest.fixture
def context() -> Context:
    evidence = Evidence(Catalog())
    read_dump(SCHEMA, "schema.sql", evidence)
    assert evidence.problems == []
    return Context(evidence.catalog, shapes_of_key(evidence.catalog, KEY, {}), volatility.known(evidence.catalog))


def ask(conn: psycopg.Connection[Any], context: Context, seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        text = Writer(seed).statement()
        try:
            arguments = _prepare(conn, text)
            custom = _shards(_plan(conn, arguments, "force_custom_plan"))
        except (psycopg.ProgrammingError, psycopg.NotSupportedError):
            tally.invalid += 1
            continue
        tally.asked += 1
        [parsed] = parse(text)
        judged = judge(context, parsed.tag, parsed.body)
        if judged.verdict is StatementVerdict.SINGLE_SHARD:
            _compare(conn, arguments, (seed, text, parsed, judged), custom, tally)
    return tally


def _compare(
    conn: psycopg.Connection[Any], arguments: str, made: tuple[int, str, Parsed, Judged], custom: set[str], tally: Tally
) -> None:
    seed, text, parsed, judged = made
    assert judged.analysis is not None
    try:
        if judged.analysis.late:
            tally.late += 1
            with _settings(conn, NESTED_LOOPS):
                tally.late_missed += len(_shards(_plan(conn, arguments, "force_custom_plan", run=True))) > 1
            return
        tally.single += 1
        if len(custom) > 1:
            tally.crossing[seed] = text
        # A generic plan prunes when it begins, or when an outer row comes.
        elif parsed.tag == "SelectStmt" and len(_shards(_plan(conn, arguments, "force_generic_plan", run=True))) > 1:
            tally.crossing[seed] = f"generic: {text}"
    except NOT_RUN:
        return


class _settings:
    """Switches kinds of plans off for a while."""

    def __init__(self, conn: psycopg.Connection[Any], names: tuple[str, ...]) -> None:
        self.conn, self.names = conn, names

    def _set(self, value: str) -> None:
        for name in self.names:
            self.conn.execute("SELECT set_config(%s, %s, false)", (name, value))

    def __enter__(self) -> None:
        self._set("off")

    def __exit__(self, *failure: object) -> None:
        self._set("on")


def _prepare(conn: psycopg.Connection[Any], text: str) -> str:
    """Prepare *text* as q; return its arguments in brackets."""
    conn.execute("DEALLOCATE ALL")
    conn.execute(b"PREPARE q AS " + text.encode())
    row = conn.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'q'").fetchone()
    return f"({', '.join(['3'] * row[0])})" if row and row[0] else ""


def _plan(conn: psycopg.Connection[Any], arguments: str, mode: str, *, run: bool = False) -> Any:
    conn.execute("SELECT set_config('plan_cache_mode', %s, false)", (mode,))
    options = "ANALYZE, TIMING OFF, FORMAT JSON" if run else "FORMAT JSON"
    with conn.transaction(force_rollback=True):
        [[plan]] = conn.execute(f"EXPLAIN ({options}) EXECUTE q{arguments}".encode()).fetchall()
    return json.loads(plan) if isinstance(plan, str) else plan


def _shards(plan: Any) -> set[str]:
    """Return the numbers of the partitions in a plan; of one that ran, of those that were read."""
    found, stack = set(), [plan[0]["Plan"]]
    while stack:
        node = stack.pop()
        stack += node.get("Plans", [])
        leaf = re.fullmatch(r"\w+_p(\d)", node.get("Relation Name", ""))
        if leaf and node.get("Actual Loops", 1) > 0:
            found.add(leaf[1])
    return found


def test_hundreds_of_statements(conn: psycopg.Connection[Any], context: Context) -> None:
    """No statement that is called single-shard is planned on several partitions, unless it is marked."""
    tally = ask(conn, context, range(700))

    assert tally.crossing == {}
    assert tally.single > 80
    assert tally.invalid < 0.35 * 700


@pytest.mark.slow
def test_ten_thousand_statements(conn: psycopg.Connection[Any], context: Context) -> None:
    """As above; and what is marked reaches one partition when it runs, by nested loops."""
    tally = ask(conn, context, range(10_000, 20_000))

    at_run_time = f"{tally.late} at run time, of which {tally.late_missed} not"
    print("\n".join(f"{seed}: {text}" for seed, text in tally.crossing.items()))
    print(f"\n{tally.asked} asked, {tally.single} on one shard, {at_run_time}")
    assert tally.crossing == {}
    assert tally.single > 1200
    assert tally.late_missed <= LATE_MISSES * tally.late
