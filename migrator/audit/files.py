"""What does an audit of files say? Reads schema dumps, statement files, logs and gathered evidence; needs no server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from migrator.audit.catalog import Source
from migrator.audit.dump import read_dump
from migrator.audit.logs import read_log
from migrator.audit.report import AuditReport
from migrator.audit.rows import Evidence, RawStatement, absorb
from migrator.audit.run import conclude
from migrator.audit.runway import Writer
from migrator.audit.shape import Shapes, shapes_of_key, shapes_of_plan
from migrator.audit.statement_file import read_text, split
from migrator.audit.tenants import Growth, TableCounts
from migrator.errors import UsageError
from migrator.plan.schema import Plan

Progress = Callable[[str], None]
Paths = Sequence[Path]


def audit_files(
    *,
    schema: Paths = (),
    statements: Paths = (),
    logs: Paths = (),
    gathered: Path | None = None,
    tenant_key: str | None = None,
    aliases: Mapping[str, str] | None = None,
    plan: Plan | None = None,
    engine_version: str | None = None,
    shards: int | None = None,
    growth: Growth | None = None,
    writer: Writer | None = None,
    uses: Sequence[str] = (),
    progress: Progress | None = None,
) -> AuditReport:
    """Audit files alone.

    Args:
        schema: plain-text schema dumps, read in order.
        statements: files with statements, `-- name: X` names the next one.
        gathered: output of the gather script; replaces *schema*.
        aliases: table → column where the tenant key has another name.
        plan: decides the kinds of the tables; without it *tenant_key* and *aliases* do.

    Raises:
        UsageError: a file cannot be opened, or nothing says what the tenant key is.
    """
    evidence = read_statements(statements, logs)
    gathered_key = None
    for path in schema:
        if progress:
            progress(f"reading {path}")
        text, problems = read_text(path)
        evidence.problems += problems
        evidence.rejected += not text and bool(problems)
        read_dump(text, str(path), evidence)
    if gathered is not None:
        gathered_key = read_gathered(gathered, evidence)
    key = tenant_key or gathered_key
    if plan is not None:
        shapes = shapes_of_plan(evidence.catalog, plan.tables)
    elif key is None:
        raise UsageError("the tenant key is not known", hint="Say --tenant-key NAME, or --plan PLAN.toml.")
    else:
        shapes = shapes_of_key(evidence.catalog, key, aliases or {})
        if not any(s.sharded for s in shapes.by_table.values()):
            evidence.problems.append(f"no table has a column {key}: is it the tenant key?")
    if not evidence.catalog.relations:
        evidence.problems.append("the schema holds no table, so no statement can be proved to stay on one shard")
    target = plan.limitless if plan is not None else None
    return conclude(
        evidence,
        shapes,
        counted_rows(evidence, shapes),
        mode="gathered" if gathered else "files",
        engine_version=engine_version or (target.engine_version if target else "16.13-limitless"),
        max_acu=target.max_acu if target else 384,
        shards=shards or (target.shards if target else 4),
        hot_ratio=plan.waves.hot_ratio if plan is not None else 20.0,
        growth=growth,
        writer=writer,
        uses=uses,
        progress=progress,
    )


def read_statements(statements: Paths, logs: Paths) -> Evidence:
    """Read statement files and logs; identical texts of a log count together."""
    evidence = Evidence()
    for path in statements:
        text, problems = read_text(path)
        evidence.problems += problems
        evidence.rejected += not text and bool(problems)
        evidence.statements.extend(
            RawStatement(piece.sql, Source(str(path), piece.line), piece.name) for piece in split(text)
        )
    for path in logs:
        found, counted = read_log(path)
        evidence.statements += found
        evidence.problems += counted.problems
        evidence.rejected += counted.rejected
        evidence.inputs[str(path)] = {
            "records": counted.records,
            "statements": counted.statements,
            "distinct": len(found),
            "others": counted.others,
            "rejected": counted.rejected,
        }
    return evidence


def read_gathered(path: Path, evidence: Evidence) -> str | None:
    """Read the output of the gather script; return the tenant key it was made for."""
    text, problems = read_text(path)
    evidence.problems += problems
    key: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                evidence.rejected += 1
                evidence.problems.append(f"{path}: row {number} cannot be read as JSON")
                continue
            if isinstance(row, dict) and row.get("kind") == "gather":
                key.append(str(row.get("tenant_key") or ""))
            elif isinstance(row, dict):
                yield row
            else:
                evidence.rejected += 1
                evidence.problems.append(f"{path}: row {number} cannot be read: it is no object")

    absorb(rows(), evidence, str(path))
    if not any(True for _ in evidence.catalog.relations):
        evidence.problems.append(f"{path} holds no table: was the script run to its end, in the right database?")
    return key[0] if key and key[0] else None


def counted_rows(evidence: Evidence, shapes: Shapes) -> list[TableCounts]:
    """Turn the gathered counts into distributions; derived tables are not gathered."""
    found: dict[str, TableCounts] = {}
    for row in evidence.tenant_rows:
        relation = evidence.catalog.relations.get(row["relation"])
        if relation is None or row.get("column") != shapes.of(relation).key:
            continue
        counted = found.setdefault(row["relation"], TableCounts(row["relation"], bytes=relation.bytes))
        counted.rows[row["tenant"]] = int(row["rows"])
        counted.recent[row["tenant"]] = int(row.get("recent") or 0)
    return list(found.values())
