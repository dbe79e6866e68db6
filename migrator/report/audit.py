"""Renders the report of an audit as a page. Self-contained; works from a mail attachment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.chart import bars, histogram
from migrator.report.template import render

MOST_STATEMENTS = 2000
MOST_FINDINGS = 5000
"""A browser stays quick up to about here; the JSON has the rest, and the page says how many it leaves out."""

MOST_LETTERS = 4000
"""Of one statement; the JSON has it whole."""

SEVERITIES = ("blocker", "rewrite", "warning", "info")
KINDS = ("sharded", "reference", "standard", "undecided", "excluded")
VERDICTS = {
    "unsupported": "refused by Limitless",
    "unparsable": "not readable",
    "cross_shard": "on all shards",
    "multi_shard_keys": "on the shards of several known keys",
    "single_shard": "on one shard",
    "reference_only": "no sharded table",
    "no_table": "no table",
}
"""Verdicts on statements, the worst first, and what they say."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure above the page, and what it counts."""

    number: str
    label: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as the page shows it; *raw* is its JSON."""

    raw: Mapping[str, Any]
    evidence: str
    css: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the page shows it; *raw* is its JSON."""

    raw: Mapping[str, Any]
    where: str
    first: str
    sql: str
    seconds: float | None
    refused: bool


@dataclass(frozen=True, slots=True)
class Tenants:
    """The tenants as the page shows them; *raw* is their JSON."""

    raw: Mapping[str, Any]
    by_size: Markup
    largest: Markup
    shard_gib: float
    hot: Sequence[Mapping[str, Any]]
    more_hot: int


def page(report: Mapping[str, Any]) -> str:
    """Return the page for a report's JSON."""
    return render(
        "audit.html",
        report=report,
        subject=report["database"] or "files",
        severities=SEVERITIES,
        kinds=KINDS,
        tiles=list(_tiles(report)),
        changes=_changes(report["changes"]),
        findings=_findings(report["findings"]),
        statements=_statements(report["statements"]),
        verdicts=[verdict for verdict in VERDICTS if verdict in report["summary"]["statements"]],
        verdict_bars=_verdict_bars(report["summary"]["statements"]),
        tables=report["tables"],
        tenants=_tenants(report["tenants"]) if report["tenants"].get("count") else None,
        runway=report["runway"],
        runway_bars=_runway_bars(report["runway"]),
        size=report["sizing"],
        evidence=[
            (key.replace("_", " "), value)
            for key, value in report["evidence"].items()
            if not isinstance(value, (list, dict))
        ],
        problems=report["evidence"].get("problems") or (),
    )


def _tiles(report: Mapping[str, Any]) -> Iterator[Tile]:
    for severity in SEVERITIES:
        yield Tile(words.count(report["summary"]["findings"][severity]), severity, severity)
    statements = report["summary"]["statements"]
    cross = statements.get("cross_shard", {"statements": 0, "calls": 0})
    total = sum(v["statements"] for v in statements.values())
    calls = sum(v["calls"] for v in statements.values()) or 1
    yield Tile(
        words.count(cross["statements"]),
        f"of {words.count(total)} statements on all shards, {words.percent(cross['calls'] / calls)} of calls",
    )
    if report["tenants"].get("count"):
        yield Tile(words.count(report["tenants"]["count"]), f"tenants, {len(report['tenants']['hot'])} hot")


def _changes(changes: Mapping[str, Any] | None) -> list[str]:
    """Return what is different since the last report, one line each."""
    if not changes:
        return []
    lines = [
        f"{words.count(len(changes[key]))} {label}: {_some(changes[key], 8)}"
        for key, label in (("new_findings", "new findings"), ("gone_findings", "findings resolved"))
        if changes[key]
    ]
    verdicts = changes["changed_verdicts"]
    lines += [f"{item['name']}: {item['before']} → {item['now']}" for item in verdicts[:20]]
    if len(verdicts) > 20:
        lines.append(f"{words.count(len(verdicts) - 20)} more verdicts changed")
    new, gone = len(changes["new_statements"]), len(changes["gone_statements"])
    return [*lines, f"{words.count(new)} statements new, {words.count(gone)} removed"]


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {words.count(len(names) - most)} more" if len(names) > most else "")


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return the worst findings first."""
    ordered = sorted(findings, key=lambda f: (SEVERITIES.index(f["severity"]), f["object"], f["rule"]))
    return [
        Finding(raw=f, evidence=words.cut(f["evidence"], 600), css="done" if f["acknowledged"] else "")
        for f in ordered[:MOST_FINDINGS]
    ]


def _cost(statement: Mapping[str, Any]) -> tuple[float, float, float]:
    weight = statement["weight"]
    bad = {"unsupported": 3, "unparsable": 2, "cross_shard": 1}.get(statement["verdict"], 0)
    return (weight["total_ms"] or 0.0, weight["extra_shard_calls"], bad)


def _statements(statements: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Return the statements, the most expensive first."""
    return [_statement(s) for s in sorted(statements, key=_cost, reverse=True)[:MOST_STATEMENTS]]


def _statement(statement: Mapping[str, Any]) -> Statement:
    source, total_ms = statement["source"], statement["weight"]["total_ms"]
    return Statement(
        raw=statement,
        where=f"{source['file']}:{source['line']}" if source["line"] else source["file"],
        first=words.cut(" ".join(statement["sql"].split()), 110),
        sql=words.cut(statement["sql"], MOST_LETTERS),
        seconds=None if total_ms is None else total_ms / 1000,
        refused=statement["refused"] and statement["verdict"] != "unsupported",
    )


def _verdict_bars(counts: Mapping[str, Mapping[str, float]]) -> Markup:
    items = [
        (verdict, counts[verdict]["statements"], f"{words.count(counts[verdict]['statements'])}, {said}")
        for verdict, said in VERDICTS.items()
        if verdict in counts
    ]
    return bars(items, "Statements by verdict")


def _tenants(tenants: Mapping[str, Any]) -> Tenants:
    top = [
        (t["tenant"], t["rows"], f"{words.short(t['rows'])} rows, {words.percent(t['share'], 1)}")
        for t in tenants["largest"][:15]
    ]
    return Tenants(
        raw=tenants,
        by_size=histogram(tenants["histogram"]),
        largest=bars(top, "The largest tenants"),
        shard_gib=tenants["forecast"]["one_shard_must_hold_bytes"] / 2**30,
        hot=tenants["hot"][:100],
        more_hot=max(len(tenants["hot"]) - 100, 0),
    )


def _runway_bars(runway: Mapping[str, Any]) -> Markup:
    """Return the weeks until the writer is full, by way of capture, above the weeks that the plan needs."""
    if not runway.get("weeks"):
        return Markup()
    needed = runway["calendar_weeks"]
    items = [
        (f"capture: {way}", needed * 2, "without end")
        if weeks is None
        else (f"capture: {way}", weeks, f"{weeks:g} weeks")
        for way, weeks in runway["weeks"].items()
    ]
    return bars([*items, ("plan", needed, f"{needed:g} weeks needed")], "Weeks until the writer is full")
