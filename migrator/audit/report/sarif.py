"""Writes findings as SARIF 2.1.0 for code hosts; severities become levels, acknowledged ones suppressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migrator import __version__
from migrator.audit.rules.rulebook import RULES

LEVELS = {"blocker": "error", "rewrite": "error", "warning": "warning", "info": "note"}


def sarif(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report's findings as one SARIF run."""
    used = sorted({f["rule"] for f in report["findings"]})
    index = {rule: number for number, rule in enumerate(used)}
    rules = [
        {
            "id": rule,
            "shortDescription": {"text": RULES[rule].title},
            "help": {"text": RULES[rule].fix},
            "properties": {"source": RULES[rule].source},
        }
        for rule in used
    ]
    return document("migrator audit", rules, [_result(f, index[f["rule"]]) for f in report["findings"]])


def document(driver: str, rules: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a SARIF log of one run of *driver*."""
    described = {"name": driver, "semanticVersion": __version__, "rules": list(rules)}
    run = {"tool": {"driver": described}, "results": list(results), "columnKind": "unicodeCodePoints"}
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _result(finding: Mapping[str, Any], rule_index: int) -> dict[str, Any]:
    file, _, line = finding["source"].rpartition(":")
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding["object"]}]}
    if file and line.isdigit():
        location["physicalLocation"] = {
            "artifactLocation": {"uri": file.replace("\\", "/")},
            "region": {"startLine": max(1, int(line))},
        }
    result: dict[str, Any] = {
        "ruleId": finding["rule"],
        "ruleIndex": rule_index,
        "level": LEVELS[finding["severity"]],
        "message": {"text": f"{finding['object']}: {finding['title']}. {finding['evidence']} Fix: {finding['fix']}"},
        "locations": [location],
        "partialFingerprints": {"finding/v1": finding["id"]},
    }
    if finding["acknowledged"]:
        result["suppressions"] = [{"kind": "external", "justification": finding["acknowledged"]}]
    return result
