"""Which plan fits this database? Text of a complete, commented TOML file from an audit's classification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from migrator.audit.evidence.live import Progress, collect
from migrator.audit.report.values import AuditReport, TableReport
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS, count_tenants, plan_counts
from migrator.errors import UsageError
from migrator.model.near import unknown
from migrator.model.tenant import RECENT_XIDS


def survey(
    conn: psycopg.Connection[Any],
    *,
    schemas: Sequence[str] | None,
    tenant_key: str,
    aliases: Mapping[str, str],
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a live database that has no plan yet."""
    evidence = collect(conn, progress)
    if schemas:
        there = sorted({r.schema for r in evidence.catalog.relations.values()})
        strange = [s for s in schemas if s not in there]
        if strange:
            raise UsageError(unknown("schema with tables", strange, there))
        for name in [n for n, r in evidence.catalog.relations.items() if r.schema not in schemas]:
            del evidence.catalog.relations[name]
    shapes = shapes_of_key(evidence.catalog, tenant_key, aliases)
    counts = plan_counts(evidence.catalog, shapes, sample_above_rows=SAMPLE_ABOVE_ROWS, recent_xids=RECENT_XIDS)
    counted = count_tenants(conn, counts, evidence.catalog, progress, evidence.problems)
    return conclude(evidence, shapes, counted, mode="live", progress=progress)


def waves(tenants: int, hot: int) -> list[int]:
    """Return sizes of the first waves: a handful, then five times as many each; the last size repeats."""
    rest = max(1, tenants - hot)
    sizes = [min(5, rest)]
    while sum(sizes) < rest and len(sizes) < 4:
        sizes.append(max(1, min(sizes[-1] * 5, rest - sum(sizes))))
    return sizes


def plan_text(report: AuditReport, *, name: str, classic: str, limitless: str) -> str:
    """Return the plan as TOML. It loads with `migrator.plan.load` as it is; what is undecided is marked."""
    return "\n".join(_lines(report, name, classic, limitless)) + "\n"


def _lines(report: AuditReport, name: str, classic: str, limitless: str) -> Iterator[str]:
    quoted = json.dumps
    undecided = [t for t in report.tables if t.kind == "undecided"]
    schemas = sorted({t.name.partition(".")[0] for t in report.tables}) or ["public"]
    yield (
        f"# Plan for {report.database or 'a database known from files'}, written from an audit of {report.created_at}."
    )
    yield "# Every field and its default: plans/README.md, or `migrator plan show FILE`."
    if undecided:
        yield f"# DECIDE: {len(undecided)} tables below are marked DECIDE; the audit could not choose for you."
    yield ""
    yield f"name = {quoted(name)}"
    yield ""
    yield "[classic]"
    yield f"writer = {quoted(classic)}"
    yield '# readers = ["env:CLASSIC_READER_DSN"]   # used for counting tenants and for reads after a fallback'
    yield ""
    yield "[limitless]"
    yield f"dsn = {quoted(limitless)}"
    yield from _capacity(report)
    yield ""
    yield "[tables]"
    yield f"schemas = {quoted(schemas)}"
    yield f"tenant_key = {quoted(report.tenant_key)}"
    yield ""
    yield "# Tables with the tenant key are sharded without being named; they are named here to say so."
    yield "[tables.table]"
    for table in report.tables:
        yield from _table(table, report.tenant_key)
    yield ""
    yield from _rest(report)


def _capacity(report: AuditReport) -> Iterator[str]:
    size = report.sizing
    if size:
        acu = size["max_acu"]
        yield f"shards = {size['shards']}"
        yield f"engine_version = {json.dumps(report.engine_version)}"
        yield f"min_acu = {size['min_acu']}"
        yield (
            f"max_acu = {max(acu['likely'], size['min_acu'])}   # estimate {acu['low']} to {acu['high']}: "
            f"measure with a load test"
        )
        yield "compute_redundancy = 1   # 99.99 % needs at least 1"
        return
    yield "shards = 4"
    yield f"engine_version = {json.dumps(report.engine_version)}"
    yield "min_acu = 24    # AWS console defaults for production; the audit sizes them when it knows the writer:"
    yield "max_acu = 384   # migrator audit --writer-cpu-pct 85 --writer-vcpus 64"
    yield "compute_redundancy = 1   # 99.99 % needs at least 1"


def _table(table: TableReport, tenant_key: str) -> Iterator[str]:
    key = json.dumps(table.name)
    why = "; ".join(table.reasons)
    if table.kind == "sharded" and table.via:
        yield f"# {why}"
        yield f'{key} = {{ kind = "sharded", via = {json.dumps(table.via)} }}'
    elif table.kind == "sharded" and table.key and table.key != tenant_key:
        yield f'{key} = {{ kind = "sharded", tenant_column = {json.dumps(table.key)} }}'
    elif table.kind == "sharded":
        yield f'{key} = {{ kind = "sharded" }}'
    elif table.kind == "undecided":
        # Standard is the choice that loses nothing: one copy, on one shard, like today.
        yield f"# DECIDE: {why}"
        yield (
            "#   reference (small, rarely written), standard (one shard), excluded (stays behind), or sharded with via"
        )
        yield f'{key} = {{ kind = "standard" }}'
    else:
        yield f"# {why}"
        yield f'{key} = {{ kind = "{table.kind}" }}'


def _rest(report: AuditReport) -> Iterator[str]:
    tenants = report.tenants
    count, hot = int(tenants.get("count") or 0), len(tenants.get("hot") or ())
    rows = int(tenants.get("rows") or 0)
    yield "[dual_write]"
    yield f"parts = {4 if rows > 50_000_000 else 2}   # mirror partitions for tenants; more for a busier writer"
    if report.runway.get("closes") is False:
        yield f"# {report.runway['advice']}"
    yield ""
    yield "[backfill]"
    largest = int(tenants.get("max_rows") or 0)
    yield "unit_rows = 200_000      # small tenants are grouped up to this many rows"
    yield (
        f"split_rows = 2_000_000   # larger tables of one tenant are split by key range; the largest "
        f"tenant has {largest:,} rows"
    )
    yield "concurrency = 4"
    yield ""
    yield "[validation]"
    yield "every_s = 900.0"
    yield "max_age_s = 3600.0"
    yield ""
    yield "[waves]"
    if count:
        yield f"# {count:,} tenants, {hot} of them hot: those go alone and last"
        yield f"sizes = {json.dumps(waves(count, hot))}"
    else:
        yield "# the number of tenants is not known yet: run the audit on the live cluster"
        yield "sizes = [5, 25, 100]"
    yield "hot_ratio = 20.0         # hot: this many times the median in rows"
    yield "ramp_pct = [100]"
    yield "hot_ramp_pct = [10, 50, 100]"
    yield "soak_s = 86_400.0        # watch each wave for a day"
    yield ""
    yield "[gates]"
    yield 'audit = "approval"'
    yield 'provision = "approval"'
    yield 'dual_write = "approval"'
    yield 'cutover = "approval"'
    blockers = [f for f in report.findings if f.severity.value == "blocker"]
    if blockers:
        yield (
            f"# {len(blockers)} blockers keep the audit's gate closed until they are fixed or acknowledged "
            f"here, for example"
        )
        yield f"# acknowledged = [{json.dumps(blockers[0].id)}]"
    yield "acknowledged = []"
    yield ""
    yield "[breaker]"
    yield "error_ratio = 0.2"
    yield "p99_ms = 1000.0"
    yield ""
    yield "[stabilization]"
    yield "days = 90"
    yield 'on_incident = "restart"'
    yield ""
    yield "[decommission]"
    yield "max_pause_s = 60.0"
    yield ""
    yield "[cost]"
    yield "# your prices and your bill; zero means not compared"
    yield "classic_monthly_usd = 0"
    yield "acu_hour_usd = 0"
    yield "storage_gb_month_usd = 0"
    yield "projected_monthly_usd = 0"
    yield ""
    yield "[temporal]"
    yield 'address = "local"   # or host:port'
