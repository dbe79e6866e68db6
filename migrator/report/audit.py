"""How does the report look in a browser? One self-contained page: no network, works from a mail attachment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from migrator.report.chart import bars, histogram, shown

MOST_STATEMENTS = 2000
MOST_FINDINGS = 5000
"""A browser stays quick up to about here; the JSON has the rest, and the page says how many it leaves out."""

ORDER = ("unsupported", "unparsable", "cross_shard", "multi_shard_keys", "single_shard", "reference_only", "no_table")
WORDS = {
    "single_shard": "on one shard",
    "multi_shard_keys": "on the shards of several known keys",
    "cross_shard": "on all shards",
    "reference_only": "no sharded table",
    "no_table": "no table",
    "unsupported": "refused by Limitless",
    "unparsable": "not readable",
}


def page(report: Mapping[str, Any]) -> str:
    """Return the page for a report's JSON."""
    assets = resources.files("migrator.report")
    style = assets.joinpath("audit.css").read_text(encoding="utf-8")
    script = assets.joinpath("audit.js").read_text(encoding="utf-8")
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Audit of {escape(report['database'] or 'files')}</title>",
            f"<style>{style}</style></head><body>",
            *_body(report),
            f"<script>{script}</script></body></html>",
        )
    )


def _body(report: Mapping[str, Any]) -> Iterator[str]:
    found = report["summary"]["findings"]
    yield f"<header><h1>Audit of {escape(report['database'] or 'files')}</h1>"
    yield (
        f"<p>For Aurora Limitless "
        f"{escape(report['engine_version'])}, "
        f"tenant key "
        f"<code>{escape(report['tenant_key'])}</code>, "
        f"{escape(report['mode'])}, {escape(report['created_at'])}</p>"
    )
    yield (
        "<nav>"
        + " ".join(
            f'<a href="#{i}">{i}</a>' for i in ("findings", "statements", "tables", "tenants", "runway", "evidence")
        )
        + "</nav></header><main>"
    )
    yield '<section class="cards">'
    for severity in ("blocker", "rewrite", "warning", "info"):
        yield f'<div class="card {severity}"><b>{found[severity]:,}</b><span>{severity}</span></div>'
    statements = report["summary"]["statements"]
    cross = statements.get("cross_shard", {"statements": 0, "calls": 0})
    total = sum(v["statements"] for v in statements.values())
    calls = sum(v["calls"] for v in statements.values()) or 1
    yield (
        f'<div class="card"><b>{int(cross["statements"]):,}</b><span>of {int(total):,} statements on all shards, '
        f"{cross['calls'] / calls:.0%} of calls</span></div>"
    )
    if report["tenants"].get("count"):
        yield (
            f"<div "
            f'class="card"><b>{report["tenants"]["count"]:,}</b><span>tenants, '
            f"{len(report['tenants']['hot'])} hot</span></div>"
        )
    yield "</section>"
    yield from _changes(report)
    yield from _findings(report["findings"])
    yield from _statements(report)
    yield from _tables(report["tables"])
    yield from _tenants(report["tenants"])
    yield from _runway(report)
    yield from _evidence(report)
    yield "</main>"


def _filters(target: str, field: str, values: Sequence[str]) -> str:
    boxes = " ".join(
        f'<label><input type="checkbox" data-filter="{target}" data-field="{field}" value="{v}" checked> {v}</label>'
        for v in values
    )
    return (
        f'<p class="filters">{boxes} <input type="search" data-search="{target}" placeholder="search" '
        f'aria-label="search"> <span data-count="{target}"></span></p>'
    )


def _findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield '<section id="findings"><h2>Findings, by object</h2>'
    yield _filters("findings", "severity", ("blocker", "rewrite", "warning", "info"))
    if len(findings) > MOST_FINDINGS:
        yield f"<p>The worst {MOST_FINDINGS:,} of {len(findings):,}; the JSON report has all.</p>"
    yield (
        "<table "
        'data-table="findings"><thead><tr><th>severity</th><th>object</th><th>finding</th><th>what '
        "to do</th></tr></thead><tbody>"
    )
    order = {"blocker": 0, "rewrite": 1, "warning": 2, "info": 3}
    chosen = sorted(findings, key=lambda f: (order[f["severity"]], f["object"], f["rule"]))[:MOST_FINDINGS]
    for item in chosen:
        done = " done" if item["acknowledged"] else ""
        sql = f"<pre>{escape(item['sql'])}</pre>" if item["sql"] else ""
        seen = f"<small>acknowledged: {escape(item['acknowledged'])}</small>" if item["acknowledged"] else ""
        yield (
            f'<tr data-severity="{item["severity"]}" class="{done.strip()}"><td><span class="tag {item["severity"]}">'
            f"{item['severity']}</span></td><td><b>{escape(item['object'])}</b><small>{escape(item['source'])}</small></td>"
            f"<td>{escape(item['title'])}<p>{escape(item['evidence'][:600])}</p>{seen}<small>{item['rule']} · "
            f"{escape(item['reference'])} · <code>{escape(item['id'])}</code></small></td>"
            f"<td>{escape(item['fix'])}{sql}</td></tr>"
        )
    yield "</tbody></table></section>"


def _cost(statement: Mapping[str, Any]) -> tuple[float, float, float]:
    weight = statement["weight"]
    bad = {"unsupported": 3, "unparsable": 2, "cross_shard": 1}.get(statement["verdict"], 0)
    return (weight["total_ms"] or 0.0, weight["extra_shard_calls"], bad)


def _statements(report: Mapping[str, Any]) -> Iterator[str]:
    statements = report["statements"]
    present = [v for v in ORDER if v in report["summary"]["statements"]]
    yield '<section id="statements"><h2>Statements, by cost</h2>'
    if not statements:
        yield "<p>No statement was seen.</p></section>"
        return
    items = [
        (
            v,
            report["summary"]["statements"][v]["statements"],
            f"{report['summary']['statements'][v]['statements']:,}, {WORDS[v]}",
        )
        for v in present
    ]
    yield bars(items)
    yield _filters("statements", "verdict", present)
    ordered = sorted(statements, key=_cost, reverse=True)
    if len(ordered) > MOST_STATEMENTS:
        yield f"<p>The dearest {MOST_STATEMENTS:,} of {len(ordered):,}; the JSON report has all.</p>"
    yield (
        "<table "
        'data-table="statements"><thead><tr><th>verdict</th><th>statement</th><th>why</th><th '
        'class="n">calls</th>'
        '<th class="n">seconds</th><th class="n">extra shard calls</th></tr></thead><tbody>'
    )
    for item in ordered[:MOST_STATEMENTS]:
        weight = item["weight"]
        seconds = "–" if weight["total_ms"] is None else f"{weight['total_ms'] / 1000:,.1f}"
        where = (
            f"{item['source']['file']}:{item['source']['line']}" if item["source"]["line"] else item["source"]["file"]
        )
        rewrite = (
            f"<details><summary>rewritten</summary><pre>{escape(item['rewrite'])}</pre></details>"
            if item["rewrite"]
            else ""
        )
        refused = (
            ' <span class="tag blocker">refused</span>' if item["refused"] and item["verdict"] != "unsupported" else ""
        )
        rules = " ".join(item["rules"])
        yield (
            f'<tr data-verdict="{item["verdict"]}"><td><span class="tag '
            f'v-{item["verdict"]}">{item["verdict"]}</span>{refused}</td>'
            f"<td><b>{escape(item['name'])}</b><small>{escape(where)}</small><details><summary><code>"
            f"{escape(' '.join(item['sql'].split())[:110])}</code></summary>"
            f"<pre>{escape(item['sql'][:4000])}</pre></details></td>"
            f"<td>{escape('; '.join(item['reasons']))}<small>{rules}</small>{rewrite}</td>"
            f'<td class="n">{weight["calls"]:,.0f}</td><td class="n">{seconds}</td>'
            f'<td class="n">{weight["extra_shard_calls"]:,.0f}</td></tr>'
        )
    yield "</tbody></table></section>"


def _tables(tables: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield '<section id="tables"><h2>Tables</h2>'
    yield _filters("tables", "kind", ("sharded", "reference", "standard", "undecided", "excluded"))
    yield (
        '<table data-table="tables"><thead><tr><th>table</th><th>becomes</th><th>key</th><th class="n">rows</th>'
        '<th class="n">MiB</th><th class="n">writes</th><th>why</th></tr></thead><tbody>'
    )
    for item in tables:
        rows = "–" if item["rows"] is None else f"{item['rows']:,}"
        size = "–" if item["bytes"] is None else f"{item['bytes'] / 2**20:,.1f}"
        key = escape(item["key"] or "") + (f"<small>via {escape(item['via'])}</small>" if item["via"] else "")
        yield (
            f"<tr "
            f'data-kind="{item["kind"]}"><td><b>{escape(item["name"])}</b></td><td><span '
            f'class="tag '
            f'k-{item["kind"]}">'
            f"{item['kind']}</span><small>by "
            f"{escape(item['decided_by'])}</small></td><td>{key}</td><td "
            f'class="n">{rows}</td>'
            f'<td class="n">{size}</td><td '
            f'class="n">{item["writes"]:,}</td><td>{escape("; ".join(item["reasons"]))}</td></tr>'
        )
    yield "</tbody></table></section>"


def _tenants(tenants: Mapping[str, Any]) -> Iterator[str]:
    yield '<section id="tenants"><h2>Tenants</h2>'
    if not tenants.get("count"):
        yield "<p>Tenants were not counted: they need a live cluster or the gather script.</p></section>"
        return
    how = "Counted exactly." if tenants["exact"] else "Partly from a sample of blocks; each table says which."
    yield (
        f"<p>{tenants['count']:,} tenants, {tenants['rows']:,} rows. Median {tenants['median_rows']:,.0f}, 99 % below "
        f"{tenants['p99_rows']:,}, largest {tenants['max_rows']:,}; Gini {tenants['gini']:.2f}. {how}</p>"
    )
    yield (
        '<div class="pair"><figure>'
        + histogram(tenants["histogram"])
        + (
            "<figcaption>Bars: tenants by size. Line: share of "
            "all rows "
            "held by "
            "tenants up "
            "to that "
            "size.</figcaption></figure><figure>"
        )
    )
    top = tenants["largest"][:15]
    yield bars([(t["tenant"], t["rows"], f"{shown(t['rows'])} rows, {t['share']:.1%}") for t in top])
    yield "<figcaption>The largest tenants</figcaption></figure></div>"
    forecast = tenants["forecast"]
    yield (
        f"<p>In {forecast['weeks']:g} "
        f"weeks at "
        f"{forecast['monthly_growth']:.0%} a "
        f"month: "
        f"{shown(forecast['rows'])} "
        f"rows. A tenant cannot be "
        f"split, so one shard must hold at least {shown(forecast['one_shard_must_hold_rows'])} rows and "
        f"{forecast['one_shard_must_hold_bytes'] / 2**30:.2f} GiB.</p>"
    )
    if tenants["hot"]:
        yield "<h3>Hot tenants</h3><ul>"
        for hot in tenants["hot"][:100]:
            yield f"<li><b>{escape(hot['tenant'])}</b>: {escape('; '.join(hot['reasons']))}</li>"
        yield "</ul>"
    yield (
        '<table><thead><tr><th>table</th><th class="n">rows</th><th class="n">tenants</th><th class="n">median</th>'
        '<th class="n">largest</th><th '
        'class="n">without '
        "tenant</th><th "
        'class="n">parent '
        "missing</th><th>counted</th></tr></thead><tbody>"
    )
    for item in tenants["tables"]:
        yield (
            f"<tr><td><b>{escape(item['table'])}</b></td><td "
            f'class="n">{item["rows"]:,}</td><td '
            f'class="n">{item["tenants"]:,}</td>'
            f'<td class="n">{item["median_rows"]:,.0f}</td><td class="n">{item["max_rows"]:,}</td>'
            f'<td class="n">{item["tenantless_rows"]:,}</td><td class="n">{item["missing_parents"]:,}</td>'
            f"<td>{escape(item['method'])}</td></tr>"
        )
    yield "</tbody></table></section>"


def _runway(report: Mapping[str, Any]) -> Iterator[str]:
    yield '<section id="runway"><h2>Runway and size</h2>'
    runway = report["runway"]
    if runway.get("summary"):
        yield f"<p><b>{escape(runway['summary'])}</b></p><p>{escape(runway['advice'])}</p>"
    if runway.get("weeks"):
        calendar = runway["calendar_weeks"]
        items = [
            (f"capture: {k}", v if v is not None else calendar * 2, "without end" if v is None else f"{v:g} weeks")
            for k, v in runway["weeks"].items()
        ]
        yield bars([*items, ("plan", calendar, f"{calendar:g} weeks needed")])
    size = report["sizing"]
    if size:
        acu = size["max_acu"]
        yield (
            f"<p>Target: <b>{acu['likely']} "
            f"ACU</b> "
            f"(between "
            f"{acu['low']} and "
            f"{acu['high']}), "
            f"{size['routers']} routers, "
            f"{size['shards']} shards, compute redundancy {size['compute_redundancy']}; the busiest shard about "
            f"{size['hottest_shard_acu']} ACU.</p><ul>"
        )
        for text in size["assumptions"]:
            yield f"<li>{escape(text)}</li>"
        yield "</ul>"
    yield "</section>"


def _changes(report: Mapping[str, Any]) -> Iterator[str]:
    changes = report["changes"]
    if not changes:
        return
    yield f"<section><h2>Since {escape(str(changes['since']))}</h2><ul>"
    for key, label in (("new_findings", "new findings"), ("gone_findings", "findings gone")):
        if changes[key]:
            yield f"<li>{len(changes[key])} {label}: {escape(', '.join(changes[key][:8]))}</li>"
    for item in changes["changed_verdicts"][:20]:
        yield f"<li>{escape(item['name'])}: {item['before']} → {item['now']}</li>"
    yield (
        f"<li>{len(changes['new_statements'])} "
        f"statements new, "
        f"{len(changes['gone_statements'])} "
        f"gone</li></ul></section>"
    )


def _evidence(report: Mapping[str, Any]) -> Iterator[str]:
    yield '<section id="evidence"><h2>Evidence</h2><table><tbody>'
    for key, value in report["evidence"].items():
        if not isinstance(value, (list, dict)):
            yield f"<tr><td>{escape(key.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
    yield "</tbody></table>"
    problems = report["evidence"].get("problems") or ()
    if problems:
        yield f"<h3>{len(problems)} things the audit could not see</h3><ul>"
        for problem in problems[:500]:
            yield f"<li>{escape(problem)}</li>"
        yield "</ul>"
    yield "</section>"
