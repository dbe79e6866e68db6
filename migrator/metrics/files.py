"""The files that are made of the catalogue: the page of documentation, the rules, the dashboard. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from migrator.metrics import alerts, dashboard
from migrator.metrics.catalogue import CATALOGUE
from migrator.metrics.metric import Label, Metric, Origin

DOCS = "docs/metrics.md"
BEGIN, END = "<!-- catalogue: made by python -m migrator.metrics -->", "<!-- end of the catalogue -->"

SHOWN = 10
LONG = {"sqlstate_class": "two characters", "kind": "see `[notify]` and the alerts"}
"""Labels with more values than a table shows."""

TITLES = {
    Origin.PROCESS: "About the exporting process",
    Origin.MIGRATION: "About the migration",
    Origin.SHIM: "In the application's process",
}


def made() -> Mapping[str, str]:
    """Return the text of each file that is made whole, by its path."""
    return {
        "ops/prometheus/rules.yml": "\n".join(_rules()) + "\n",
        "ops/grafana/migrator.json": json.dumps(dashboard.model(), indent=2, ensure_ascii=False) + "\n",
    }


def documented(page: str) -> str:
    """Return docs/metrics.md with the tables of the catalogue between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(_tables())
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def _rules() -> Iterator[str]:
    yield "# Alerts of migrator, made of its catalogue by: python -m migrator.metrics"
    yield "groups:"
    yield "  - name: migrator"
    yield "    rules:"
    for alert in alerts.ALERTS:
        yield f"      - alert: {alert.name}"
        yield f"        expr: {_quoted(alert.expr)}"
        yield f"        for: {alert.lasts}"
        if alert.severity is not None:
            yield "        labels:"
            yield f"          severity: {alert.severity.value}"
        yield "        annotations:"
        yield f"          summary: {_quoted(alert.summary)}"
        yield f"          description: {_quoted(alert.runbook)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _tables() -> Iterator[str]:
    for origin, title in TITLES.items():
        yield f"### {title}"
        yield ""
        if origin is Origin.SHIM:
            yield "The upper name is Prometheus', behind a collector; the lower one is OpenTelemetry's."
            yield ""
        yield "| name | kind | labels | meaning |"
        yield "|---|---|---|---|"
        for metric in CATALOGUE:
            if metric.origin is origin:
                yield f"| {_name(metric)} | {metric.kind} | {_labels(metric)} | {metric.help} |"
        yield ""
    yield "### Alerts"
    yield ""
    yield "| alert | after | what it says | what to do |"
    yield "|---|---|---|---|"
    for alert in alerts.ALERTS:
        summary = alert.summary.replace(" ({{ $labels.plan }})", "")
        yield f"| `{alert.name}` | {alert.lasts} | {summary} | {alert.runbook} |"
    yield ""


def _name(metric: Metric) -> str:
    return f"`{metric.name}`" + (f"<br>`{metric.otlp_name}`" if metric.origin is Origin.SHIM else "")


def _labels(metric: Metric) -> str:
    return "; ".join(f"`{label.name}`: {_values(label)}" for label in metric.labels)


def _values(label: Label) -> str:
    if not label.values:
        return label.bound
    return ", ".join(label.values) if len(label.values) <= SHOWN else LONG[label.name]
