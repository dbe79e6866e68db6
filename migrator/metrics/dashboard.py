"""The dashboard for Grafana, as its JSON model: one source of metrics, one plan at a time, nothing to install."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.metrics import catalogue as c
from migrator.metrics.metric import Metric

PLAN = 'plan=~"$plan"'
RATE = "$__rate_interval"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
WEEK_S = 604_800


@dataclass(frozen=True, slots=True)
class Panel:
    """unit: as Grafana calls it. queries: expression and legend. kind: timeseries, stat or table."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    text: str = "auto"
    about: str = ""


def of(metric: Metric, *by: str, suffix: str = "", where: str = "") -> str:
    """Return the selector of a metric of the chosen plan, summed up to *by*: all exporters say the same."""
    return f"max by ({', '.join(by)}) ({_picked(metric, suffix, where)})"


def rate(metric: Metric, *by: str, where: str = "") -> str:
    return f"max by ({', '.join(by)}) (rate({_picked(metric, '', where)}[{RATE}]))"


def quantile(share: float, metric: Metric, *by: str, where: str = "") -> str:
    inner = f"max by ({', '.join([*by, 'le'])}) (rate({_picked(metric, '_bucket', where)}[{RATE}]))"
    return f"histogram_quantile({share:g}, {inner})"


def _picked(metric: Metric, suffix: str, where: str) -> str:
    return f"{metric.name}{suffix}{{{PLAN}{f', {where}' if where else ''}}}"


def _only(label: str, value: str) -> str:
    return f'{label}="{value}"'


_ON_LIMITLESS = of(c.TENANTS, where=_only("level", "limitless"))
_TENANTS = f"clamp_min(sum({of(c.TENANTS, 'level')}), 1)"
_ERROR_RATIO = f"{rate(c.READ_ERRORS, 'side')} / clamp_min({rate(c.READS, 'side')}, 0.001)"

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Where it stands",
        (
            Panel("Classic answers", "bool_yes_no", ((of(c.UP), ""),), "stat", 3),
            Panel("Phase", "none", ((f"{of(c.CURRENT_PHASE, 'phase')} == 1", "{{phase}}"),), "stat", 4, text="name"),
            Panel("Lag", "s", ((of(c.LAG), ""),), "stat", 3),
            Panel("Tenants on Limitless", "percentunit", ((f"{_ON_LIMITLESS} / {_TENANTS}", ""),), "stat", 4),
            Panel("Divergent tenants", "none", ((of(c.TENANTS_VERDICT, where=_only("verdict", "divergent")), ""),),
                  "stat", 3),
            Panel("Incidents", "none", ((of(c.INCIDENTS), ""),), "stat", 3),
            Panel("Blockers", "none", ((of(c.BLOCKERS), ""),), "stat", 4),
            Panel("Open conditions", "none", ((f"{of(c.CONDITIONS, 'kind', 'severity')} > 0", ""),), "table", 12,
                  about="What each means and what to do is in docs/metrics.md, under alerts."),
            Panel("Open conditions over time", "none",
                  ((f"sum by (severity) ({of(c.CONDITIONS, 'kind', 'severity')})", "{{severity}}"),), width=12,
                  stacked=True),
        ),
    ),
    (
        "Tenants",
        (
            Panel("By level in force", "none", ((of(c.TENANTS, "level"), "{{level}}"),), stacked=True),
            Panel("By state of their rows", "none", ((of(c.TENANTS_STATE, "state"), "{{state}}"),), stacked=True),
            Panel("Fallbacks, breakers, holds", "none",
                  ((of(c.FALLBACKS, "scope"), "fallback of {{scope}}"),
                   (of(c.BREAKERS, "scope"), "breaker of {{scope}}"),
                   (of(c.TENANTS_HELD), "held"))),
        ),
    ),
    (
        "Mirror and journal",
        (
            Panel("Lag by partition", "s", ((of(c.LAG, "part"), "{{part}}"),)),
            Panel("Entries in a cycle", "none", ((of(c.DEPTH, "part"), "{{part}}"),)),
            Panel("Rows applied a second", "rowsps", ((of(c.RATE, "part"), "{{part}}"),)),
            Panel("Journal", "decbytes", ((of(c.JOURNAL), "journal"), (of(c.JOURNAL_LIMIT), "limit"))),
            Panel("Trouble", "none", ((of(c.MIRROR_PROBLEM, "part"), "partition {{part}}"),
                                      (of(c.CAPTURE_PROBLEMS), "capture"), (of(c.STOPPED), "workflows ended"))),
            Panel("Fences", "none", ((of(c.FENCES), "held or asked for"),)),
        ),
    ),
    (
        "Copy and validation",
        (
            Panel("Rows copied", "short", ((of(c.COPIED_ROWS), "copied"), (of(c.COPY_ROWS), "planned"))),
            Panel("Rows copied a second", "rowsps", ((of(c.COPY_RATE), "rows"),)),
            Panel("Copy units", "none", ((of(c.UNITS_STATE, "state"), "{{state}}"),), stacked=True),
            Panel("Age of the validation", "s", ((of(c.VALIDATION_AGE), "last"), (of(c.OLDEST_CLEAN), "oldest clean"))),
            Panel("Rows that differ", "none", ((of(c.DIVERGENT), "found"), (of(c.UNREPAIRED), "not repaired"))),
            Panel("Tenants by verdict", "none", ((of(c.TENANTS_VERDICT, "verdict"), "{{verdict}}"),), stacked=True),
        ),
    ),
    (
        "Reads and writes of applications",
        (
            Panel("Reads a second", "reqps", ((rate(c.READS, "side"), "{{side}}"),)),
            Panel("Share of reads that fail", "percentunit", ((_ERROR_RATIO, "{{side}}"),)),
            Panel("Failures a second by SQLSTATE class", "reqps",
                  ((rate(c.READ_STATES, "side", "sqlstate_class"), "{{side}} {{sqlstate_class}}"),)),
            Panel("Duration of reads, p99 and p50", "s",
                  ((quantile(0.99, c.READ_TIME, "side"), "{{side}} p99"),
                   (quantile(0.5, c.READ_TIME, "side"), "{{side}} p50"))),
            Panel("Writes a second", "reqps", ((rate(c.WRITES, "ack"), "{{ack}}"),
                                               (rate(c.UNCONFIRMED, "ack"), "{{ack}}, unconfirmed"))),
            Panel("Waiting for the acknowledgement, p99", "s",
                  ((quantile(0.99, c.ACK_TIME, "ack", where=_only("ack", "everywhere")), "{{ack}}"),)),
            Panel("Reads that fell back, or differed", "reqps",
                  ((rate(c.FELL_BACK), "fell back"), (rate(c.SHADOWS_DIFFER), "shadow reads that differ"))),
            Panel("Processes", "none", ((of(c.PROCESSES, "state"), "{{state}}"), (of(c.PROCESSES_BEHIND), "behind"),
                                        (of(c.REPLICAS, "level"), "replicas {{level}}"))),
            Panel("Workers", "none", ((of(c.WORKERS, "runs"), "{{runs}}"),)),
        ),
    ),
    (
        "Cost, runway, window",
        (
            Panel("Classic's writer: processors", "percentunit", ((of(c.WRITER_CPU), "in use"), (of(c.PACE), "pace"))),
            Panel("Taken by this tool: cores", "none", ((of(c.OWN_CORES, "of"), "{{of}}"),), stacked=True),
            Panel("Taken by this tool: WAL", "Bps", ((of(c.OWN_WAL), "WAL"),)),
            Panel("Runway against need, weeks", "none", ((f"{of(c.RUNWAY)} / {WEEK_S}", "lasts"),
                                                         (f"{of(c.RUNWAY_NEEDED)} / {WEEK_S}", "needed"))),
            Panel("A month's bill", "currencyUSD", ((of(c.COST, "of"), "{{of}}"), (of(c.COST_MONTH, "of"), "{{of}}"))),
            Panel("Stabilization window", "s", ((of(c.WINDOW), "counted"), (of(c.WINDOW_NEEDED), "needed"))),
            Panel("Limitless: ACU", "none", ((of(c.LIMITLESS_ACU, "of"), "{{of}}"),)),
            Panel("Shards", "percentunit", ((of(c.SHARD_SKEW), "largest over the mean"),
                                            (of(c.SINGLE_SHARD), "statements on one shard"))),
            Panel("Limitless: storage", "decbytes", ((of(c.LIMITLESS_BYTES), "storage"),)),
        ),
    ),
)  # fmt: skip


def model() -> dict[str, Any]:
    """Return the dashboard."""
    return {
        "uid": "migrator",
        "title": "migrator: classic Aurora to Aurora Limitless",
        "description": "Made of the catalogue of metrics; see docs/metrics.md.",
        "tags": ["migrator", "postgresql"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_source_variable(), _plan_variable()]},
        "panels": list(_panels(ROWS)),
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
            "hide": 0, "current": {}, "options": []}  # fmt: skip


def _plan_variable() -> dict[str, Any]:
    query = f"label_values({c.UP.name}, plan)"
    return {"name": "plan", "label": "Plan", "type": "query", "datasource": SOURCE, "refresh": 2, "hide": 0, "sort": 1,
            "definition": query, "query": {"query": query, "refId": "plans"}, "includeAll": False, "multi": False,
            "current": {}, "options": []}  # fmt: skip


def _panels(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[dict[str, Any]]:
    """Yield each row's heading and its panels, left to right, with numbers of their own."""
    number, top = 0, 0
    for title, panels in rows:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}  # fmt: skip
        top, left, tallest = top + 1, 0, 0
        for panel in panels:
            height = 4 if panel.kind == "stat" else 8
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    targets = [
        {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto",
         "instant": table, "range": not table, "format": "table" if table else "time_series", "editorMode": "code"}
        for i, (expr, legend) in enumerate(panel.queries)
    ]  # fmt: skip
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": _drawn(panel)}, "overrides": []},
        "options": _options(panel),
        "targets": targets,
    }


def _drawn(panel: Panel) -> dict[str, Any]:
    if panel.kind != "timeseries":
        return {}
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": last, "textMode": panel.text, "colorMode": "none", "graphMode": "none"}
        case "table":
            return {"showHeader": True}
        case _:
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
