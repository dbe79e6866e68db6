"""Renders the report of an audit as a page. Self-contained; works from a mail attachment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.answers import Prices, decide
from migrator.report.chart import bars, histogram
from migrator.report.effort import ASSUMPTIONS, areas, span
from migrator.report.template import render
from migrator.report.vendor import links

MOST_STATEMENTS = 2000
MOST_FINDINGS = 5000
"""A browser stays quick up to about here; the JSON has the rest, and the page says how many it leaves out."""

MOST_WORST = 10
MOST_LETTERS = 4000
"""Of one statement; the JSON has it whole."""

SEVERITIES = {
    "blocker": "Limitless refuses it or silently loses it, and no mechanical change helps: somebody has to decide",
    "rewrite": "Limitless refuses it as it is, and a mechanical change helps",
    "warning": "it works, at a risk or at a cost, or is not confirmed",
    "info": "good to know",
}
"""Severities, the worst first, and what they say."""
ORDER = tuple(SEVERITIES)
NO_PRICES = Prices()

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

COSTLY = ("unsupported", "unparsable", "cross_shard")
"""Verdicts on statements that somebody should look at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as the page shows it; *raw* is its JSON."""

    raw: Mapping[str, Any]
    rank: int  # of its severity
    evidence: str
    css: str


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one rule, as the page explains them; *first* is the JSON of one."""

    first: Mapping[str, Any]
    severity: str  # the worst
    count: int
    acknowledged: int
    objects: str
    links: Sequence[tuple[str, str | None]]


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


def page(report: Mapping[str, Any], prices: Prices = NO_PRICES) -> str:
    """Return the page for a report's JSON."""
    work = areas(report["findings"])
    statements = _statements(report["statements"])
    return render(
        "audit.html",
        report=report,
        subject=report["database"] or "files",
        decision=decide(report, work, prices),
        areas=work,
        total=span(sum(a.low for a in work), sum(a.high for a in work)),
        assumptions=ASSUMPTIONS,
        severities=SEVERITIES,
        kinds=KINDS,
        said=VERDICTS,
        changes=_changes(report["changes"]),
        explain=report["explain"],
        groups=_groups(report["findings"]),
        findings=_findings(report["findings"]),
        worst=[s for s in statements if s.refused or s.raw["verdict"] in COSTLY][:MOST_WORST],
        statements=statements,
        verdicts=[verdict for verdict in VERDICTS if verdict in report["summary"]["statements"]],
        on_all_shards=_on_all_shards(report["summary"]["statements"]),
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


def _groups(findings: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Return the findings by rule, the worst rule and the most frequent first."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        by_rule.setdefault(finding["rule"], []).append(finding)
    groups = [
        Group(
            first=min(found, key=lambda f: ORDER.index(f["severity"])),
            severity=min((f["severity"] for f in found), key=ORDER.index),
            count=len(found),
            acknowledged=sum(1 for f in found if f["acknowledged"]),
            objects=_some([f["object"] for f in found], 8),
            links=links(found[0]["reference"]),
        )
        for found in by_rule.values()
    ]
    return sorted(groups, key=lambda g: (ORDER.index(g.severity), -g.count, g.first["rule"]))


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return the worst findings first."""
    ordered = sorted(findings, key=lambda f: (ORDER.index(f["severity"]), f["object"], f["rule"]))
    return [
        Finding(
            raw=f,
            rank=ORDER.index(f["severity"]),
            evidence=words.cut(f["evidence"], 600),
            css="done" if f["acknowledged"] else "",
        )
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


def _on_all_shards(counts: Mapping[str, Mapping[str, float]]) -> str:
    """Return how many statements ask every shard, and their share of the calls."""
    cross = counts.get("cross_shard", {"statements": 0, "calls": 0})
    total = sum(v["statements"] for v in counts.values())
    calls = sum(v["calls"] for v in counts.values()) or 1
    share = words.percent(cross["calls"] / calls)
    return f"{words.count(cross['statements'])} of {words.count(total)} statements on all shards, {share} of calls"


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
