"""The values of an audit's report, which turn into the JSON of docs/audit.md.

Frozen; `to_json` gives plain data, `blockers` what keeps the gate closed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.rules.findings import Finding
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES

SCHEMA_VERSION = 1
"""Raised when a field of the JSON changes its meaning or goes; new fields do not raise it."""


@dataclass(slots=True)
class StatementReport:
    """One statement and where it runs on Limitless. It is not frozen, since making one would then take three times as
    long."""

    id: str
    name: str
    sql: str
    verdict: str
    reasons: tuple[str, ...]
    relations: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    source_file: str
    source_line: int
    calls: float
    total_ms: float | None
    extra_shard_calls: float
    extra_cpu_ms: float = 0.0
    per_shard_ms: float | None = None
    refused: bool = False
    position: int | None = None
    proposed_verdict: str | None = None
    rewrite: str | None = None
    function: str | None = None
    keys: tuple[str, ...] = ()
    rewrite_basis: str | None = None  # who took the rewrite: classic, limitless, or the schema as it was read

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "source": {"file": self.source_file, "line": self.source_line},
            "sql": self.sql,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "relations": [{"name": n, "kind": k} for n, k in self.relations],
            "rules": list(self.rules),
            "weight": {
                "calls": self.calls,
                "total_ms": self.total_ms,
                "extra_shard_calls": self.extra_shard_calls,
                "extra_cpu_ms": self.extra_cpu_ms,
                "per_shard_ms": self.per_shard_ms,
            },
            "refused": self.refused,
            "position": self.position,
            "proposed_verdict": self.proposed_verdict,
            "rewrite": self.rewrite,
            "rewrite_basis": self.rewrite_basis,
            "function": self.function,
            "keys": list(self.keys),
        }


@dataclass(frozen=True, slots=True)
class TableReport:
    """What a table should become, and why.

    Attributes:
        row_key: columns that tell rows apart where there is no primary key; empty where there is one, or nothing.
        decide: what the audit would choose where only a person can; None where nothing is left to decide.
    """

    name: str
    kind: str  # sharded, reference, standard, undecided, excluded
    decided_by: str  # plan, key, audit
    key: str | None
    derived: bool
    via: str | None
    collocated_with: str | None
    reasons: tuple[str, ...]
    rows: int | None
    bytes: int | None
    writes: int
    reads: int
    row_key: tuple[str, ...] = ()
    decide: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "decided_by": self.decided_by,
            "key": self.key,
            "derived": self.derived,
            "via": self.via,
            "collocated_with": self.collocated_with,
            "reasons": list(self.reasons),
            "rows": self.rows,
            "bytes": self.bytes,
            "writes": self.writes,
            "reads": self.reads,
            "row_key": list(self.row_key),
            "decide": self.decide,
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Everything the audit found. `data` holds the sections that are plain figures (tenants, runway, sizing)."""

    mode: str  # live, files, gathered
    database: str
    engine_version: str
    tenant_key: str
    created_at: str
    findings: tuple[Finding, ...]
    statements: tuple[StatementReport, ...]
    tables: tuple[TableReport, ...]
    tenants: dict[str, Any] = field(default_factory=dict)
    runway: dict[str, Any] = field(default_factory=dict)
    sizing: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] | None = None
    objects: Sequence[dict[str, Any]] = ()  # type, count, clean
    explain: dict[str, Any] | None = None  # what a cluster answered: migrator.audit.explain

    def blockers(self, acknowledged: Collection[str] = ()) -> list[str]:
        """Return every unacknowledged blocker, one line each. *acknowledged*: finding ids, or whole rules."""
        return [
            f"{f.object}: {f.title}. {f.evidence} Fix: {f.fix} [{f.id}]"
            for f in self.findings
            if f.severity is Severity.BLOCKER and not f.acknowledged and not f.accepted_by(acknowledged)
        ]

    @property
    def headline(self) -> str:
        """Return the outcome in one line."""
        counts = {s: sum(1 for f in self.findings if f.severity is s and not f.acknowledged) for s in Severity}
        cross = sum(1 for s in self.statements if s.verdict == "cross_shard")
        shown = ", ".join(f"{n} {s.value}{'s' if n != 1 and s is not Severity.INFO else ''}" for s, n in counts.items())
        return (
            f"{shown}; {cross} of {len(self.statements)} statements go to all shards; "
            f"{self.tenants.get('count', 0)} tenants"
        )

    def at_least(self, severity: Severity) -> list[Finding]:
        """Return findings of *severity* or worse that are not acknowledged."""
        return [f for f in self.findings if f.severity.rank <= severity.rank and not f.acknowledged]

    def summary(self) -> dict[str, Any]:
        by_severity = {s.value: 0 for s in Severity}
        for finding in self.findings:
            by_severity[finding.severity.value] += 1
        verdicts: dict[str, dict[str, float]] = {}
        for statement in self.statements:
            cell = verdicts.setdefault(statement.verdict, {"statements": 0, "calls": 0.0, "total_ms": 0.0})
            cell["statements"] += 1
            cell["calls"] += statement.calls
            cell["total_ms"] += statement.total_ms or 0.0
        kinds: dict[str, int] = {}
        for table in self.tables:
            kinds[table.kind] = kinds.get(table.kind, 0) + 1
        return {
            "findings": by_severity,
            "acknowledged": sum(1 for f in self.findings if f.acknowledged),
            "statements": verdicts,
            "tables": kinds,
            "tenants": self.tenants.get("count"),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data; the schema is in docs/audit.md."""
        used = sorted({f.rule for f in self.findings} | {r for s in self.statements for r in s.rules})
        return {
            "schema_version": SCHEMA_VERSION,
            "mode": self.mode,
            "database": self.database,
            "engine_version": self.engine_version,
            "tenant_key": self.tenant_key,
            "created_at": self.created_at,
            "summary": self.summary(),
            "findings": [f.to_json() for f in self.findings],
            "statements": [s.to_json() for s in self.statements],
            "tables": [t.to_json() for t in self.tables],
            "objects": list(self.objects),
            "tenants": self.tenants,
            "runway": self.runway,
            "sizing": self.sizing,
            "evidence": self.evidence,
            "changes": self.changes,
            "explain": self.explain,
            "rules": {
                r: {"severity": RULES[r].severity.value, "title": RULES[r].title, "source": RULES[r].source}
                for r in used
                if r in RULES
            },
        }
