"""How does an observation become a finding? Adds the rule's severity for the engine, a stable id, the fix."""

from __future__ import annotations

import hashlib

from migrator.audit.catalog import Source
from migrator.audit.report.values import Finding
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES
from migrator.model.limits import Engine


class Collector:
    """Collects findings for one target engine; the same id twice is one finding with both pieces of evidence."""

    def __init__(self, engine: Engine, tenant_key: str) -> None:
        self.engine = engine
        self.tenant_key = tenant_key
        self._found: dict[str, Finding] = {}

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
        """Add a finding unless the engine has outgrown the rule. *key* is the shard key the fix should name."""
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


def finding_id(rule_id: str, obj: str) -> str:
    """Return an id that stays the same from run to run: rule and object, shortened by a digest when long."""
    text = obj if len(obj) <= 100 else f"{obj[:80]}~{hashlib.blake2s(obj.encode(), digest_size=4).hexdigest()}"
    return f"{rule_id}:{text}"
