"""Turns observations into findings, with the severity for the engine, a stable id and a fix."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from migrator.audit.catalog import Source
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES
from migrator.model.finding import finding_id
from migrator.model.limits import Engine

__all__ = ["Collector", "Finding", "finding_id"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before moving.

    Attributes:
        id: stable from run to run: the rule and the object.
        evidence: what was seen, in one or two sentences.
        fix: what to do, made concrete where possible.
        sql: a statement that helps, when there is one.
        source: where it was seen (file and line, or the catalog).
        reference: where the rule comes from.
    """

    id: str
    rule: str
    severity: Severity
    object: str
    title: str
    evidence: str
    fix: str
    source: str
    reference: str
    sql: str | None = None
    acknowledged: str | None = None  # by whom, and why

    def accepted_by(self, acknowledged: Collection[str]) -> bool:
        """Return whether *acknowledged* names this finding: its id, its rule, or what provisioning calls it."""
        provisioned = f"unique/{self.object}" if self.rule == "LIM-KEY-02" else self.id
        return not {self.id, self.rule, provisioned}.isdisjoint(acknowledged)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "rule": self.rule,
            "severity": self.severity.value,
            "object": self.object,
            "title": self.title,
            "evidence": self.evidence,
            "fix": self.fix,
            "sql": self.sql,
            "source": self.source,
            "reference": self.reference,
            "acknowledged": self.acknowledged,
        }


@dataclass(frozen=True, slots=True)
class Replay:
    """What was added to a collector of another process, to be added here."""

    rule: str
    obj: str
    evidence: str
    given: dict[str, Any]


class Collector:
    """Collects findings for one target engine; the same id twice is one finding with both pieces of evidence.

    Attributes:
        recorded: where it is *recording*, what was added, and nothing else is kept.
    """

    def __init__(self, engine: Engine, tenant_key: str, *, recording: bool = False) -> None:
        self.engine = engine
        self.tenant_key = tenant_key
        self.recorded: list[Replay] = []
        self._recording = recording
        self._found: dict[str, Finding] = {}

    def repeat(self, replay: Replay) -> None:
        """Add what another collector recorded."""
        self.add(replay.rule, replay.obj, replay.evidence, **replay.given)

    def add(
        self,
        rule_id: str,
        obj: str,
        evidence: str,
        *,
        fix: str | None = None,
        sql: str | None = None,
        source: Source | None = None,
        severity: Severity | None = None,
        key: str | None = None,
    ) -> None:
        """Add a finding unless the rule no longer applies to the engine. *key* is the shard key the fix should name."""
        if self._recording:
            given = {"fix": fix, "sql": sql, "source": source, "severity": severity, "key": key}
            self.recorded.append(Replay(rule_id, obj, evidence, {k: v for k, v in given.items() if v is not None}))
            return
        rule = RULES[rule_id]
        level = severity or rule.at(self.engine)
        if level is None:
            return
        identity = finding_id(rule_id, obj)
        before = self._found.get(identity)
        if before is not None:
            if evidence in before.evidence:
                return
            evidence = f"{before.evidence}; {evidence}"
            if len(evidence) > 2000:
                return
            level = min(level, before.severity, key=lambda s: s.rank)
            sql = before.sql or sql
        self._found[identity] = Finding(
            id=identity,
            rule=rule_id,
            severity=level,
            object=obj,
            title=rule.title,
            evidence=evidence,
            fix=(fix or rule.fix).replace("{key}", key or self.tenant_key),
            source=str(source) if source else "",
            reference=rule.source,
            sql=sql,
        )

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings, worst first, then by rule and object."""
        return tuple(sorted(self._found.values(), key=lambda f: (f.severity.rank, f.rule, f.object)))
