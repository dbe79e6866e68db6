"""Makes an audit's verdict: the blockers that the team has not acknowledged. Pure; no other module does."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.audit.report.values import AuditReport
from migrator.audit.rules.rulebook import RULES
from migrator.model.acceptance import UP_TO, parted
from migrator.model.near import nearest
from migrator.model.shadow_read import DIFFER, NONE_COMPARED
from migrator.model.traffic_test import CODES, SIZED
from migrator.runway.judge import NAMES

_TRAFFIC = (*CODES, DIFFER, NONE_COMPARED)

_FAMILIES = frozenset(rule.split("-")[0] for rule in RULES)


def verdict_of(report: AuditReport, acknowledged: Sequence[str]) -> tuple[str, ...]:
    """Return what keeps the audit's gate shut: blockers that the plan does not accept, and acceptances of nothing."""
    return (*report.blockers(acknowledged), *strange(acknowledged))


def strange(acknowledged: Sequence[str]) -> tuple[str, ...]:
    """Return a line for every entry of gates.acknowledged that names no rule of the audit, blocker of the runway, or
    finding about traffic on Limitless.

    Entries of other families are not the audit's: other gates accept findings there too.
    """
    found = []
    for entry in acknowledged:
        rule = entry.partition(UP_TO)[0].strip().partition(":")[0]
        if UP_TO in entry and rule.startswith(("shadow.", "load.")):
            found += _strange_bound(entry, rule)
        if entry.startswith("runway") and entry not in NAMES:
            found.append(f"gates.acknowledged: there is no blocker {entry}; there are {', '.join(NAMES[1:])}")
        if rule.startswith(("shadow.", "load.", "reads.")) and rule not in _TRAFFIC:
            near = nearest(rule, _TRAFFIC)
            found.append(f"gates.acknowledged: there is no {rule}" + (f"; did you mean {near}?" if near else ""))
        if rule not in RULES and rule.split("-")[0] in _FAMILIES:
            near = nearest(rule, RULES)
            found.append(f"gates.acknowledged: there is no rule {rule}" + (f"; did you mean {near}?" if near else ""))
    return tuple(found)


def _strange_bound(entry: str, rule: str) -> list[str]:
    try:
        parted(entry)
    except ValueError as error:
        return [f"gates.acknowledged: {entry}: {error}; write a number behind {UP_TO}"]
    if rule in CODES and rule not in SIZED:
        return [f"gates.acknowledged: {entry}: {rule} has no size; those with one are {', '.join(sorted(SIZED))}"]
    return []
