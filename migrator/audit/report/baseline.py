"""Applies acknowledged findings, and compares a report with the previous run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrator.audit.report.values import AuditReport
from migrator.errors import UsageError


def load_baseline(path: Path) -> dict[str, str]:
    """Return finding id (or rule) → who and why.

    TOML: [[acknowledged]] with id, by and why. JSON: a list of such objects, or {"acknowledged": […]}.

    Raises:
        UsageError: listing every entry that lacks a field.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such baseline file") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path}: not a baseline file: {error}") from None
    entries = data.get("acknowledged", []) if isinstance(data, dict) else data
    problems, found = [], {}
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        missing = [k for k in ("id", "by", "why") if not isinstance(entry, dict) or not str(entry.get(k) or "").strip()]
        if missing:
            problems.append(f"entry {number} lacks {', '.join(missing)}")
        else:
            found[str(entry["id"])] = f"{entry['by']}: {entry['why']}"
    if problems:
        raise UsageError(f"{path}: " + "; ".join(problems), hint="Each entry needs id, by and why.")
    return found


def acknowledge(report: AuditReport, baseline: Mapping[str, str]) -> AuditReport:
    """Return *report* with the findings of *baseline* marked; entries that match nothing are said in the evidence."""
    if not baseline:
        return report
    findings = tuple(
        replace(f, acknowledged=baseline.get(f.id) or baseline.get(f.rule) or f.acknowledged) for f in report.findings
    )
    known = {f.id for f in report.findings} | {f.rule for f in report.findings}
    stale = sorted(k for k in baseline if k not in known)
    evidence = {**report.evidence, "baseline_stale": stale}
    return replace(report, findings=findings, evidence=evidence)


def accept(report: AuditReport, acknowledged: Collection[str]) -> AuditReport:
    """Return *report* with what the plan's `gates.acknowledged` names marked; the gate and the report agree."""
    findings = tuple(
        replace(f, acknowledged="plan: gates.acknowledged") if not f.acknowledged and f.accepted_by(acknowledged) else f
        for f in report.findings
    )
    return replace(report, findings=findings)


def load_report(path: Path) -> dict[str, Any]:
    """Return the JSON of an earlier report.

    Raises:
        UsageError: if the file holds none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such report") from None
    except (UnicodeDecodeError, ValueError):
        raise UsageError(f"{path} exists and is no report of an audit; it is left as it is") from None
    if not isinstance(data, dict) or "findings" not in data or "statements" not in data:
        raise UsageError(f"{path} exists and is no report of an audit; it is left as it is")
    return data


def compare(report: AuditReport, before: Mapping[str, Any] | None) -> AuditReport:
    """Return *report* with what is new, resolved or different since *before*."""
    if before is None:
        return report
    old = {f["id"]: f for f in before["findings"]}
    new = {f.id: f for f in report.findings}
    old_statements = {s["id"]: s["verdict"] for s in before["statements"]}
    changed = [
        {"id": s.id, "name": s.name, "before": old_statements[s.id], "now": s.verdict}
        for s in report.statements
        if s.id in old_statements and old_statements[s.id] != s.verdict
    ]
    changes = {
        "since": before.get("created_at"),
        "new_findings": sorted(new.keys() - old.keys()),
        "gone_findings": sorted(old.keys() - new.keys()),
        "changed_severity": [
            {"id": i, "before": old[i]["severity"], "now": new[i].severity.value}
            for i in sorted(new.keys() & old.keys())
            if old[i]["severity"] != new[i].severity.value
        ],
        "new_statements": sorted(s.id for s in report.statements if s.id not in old_statements),
        "gone_statements": sorted(old_statements.keys() - {s.id for s in report.statements}),
        "changed_verdicts": changed,
    }
    return replace(report, changes=changes)
