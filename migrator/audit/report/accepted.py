"""Makes an audit's verdict: the blockers that the team has not acknowledged. Pure; no other module does."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.audit.report.values import AuditReport
from migrator.audit.rules.rulebook import RULES
from migrator.model.near import nearest
from migrator.runway.judge import NAMES

_FAMILIES = frozenset(rule.split("-")[0] for rule in RULES)


def verdict_of(report: AuditReport, acknowledged: Sequence[str]) -> tuple[str, ...]:
    """Return what keeps the audit's gate shut: blockers that the plan does not accept, and acceptances of nothing."""
    return (*report.blockers(acknowledged), *strange(acknowledged))


def strange(acknowledged: Sequence[str]) -> tuple[str, ...]:
    """Return a line for every entry of gates.acknowledged that names no rule of the audit or blocker of the runway.

    Entries of other families are not the audit's: other gates accept findings there too.
    """
    found = []
    for entry in acknowledged:
        rule = entry.partition(":")[0]
        if entry.startswith("runway") and entry not in NAMES:
            found.append(f"gates.acknowledged: there is no blocker {entry}; there are {', '.join(NAMES[1:])}")
        if rule not in RULES and rule.split("-")[0] in _FAMILIES:
            near = nearest(rule, RULES)
            found.append(f"gates.acknowledged: there is no rule {rule}" + (f"; did you mean {near}?" if near else ""))
    return tuple(found)
