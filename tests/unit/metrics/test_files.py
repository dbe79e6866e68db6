"""The page, the rules and the dashboard are the catalogue's, and name nothing that is not in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from migrator.metrics.alerts import ALERTS, EVENTS, RUNBOOK
from migrator.metrics.catalogue import CATALOGUE
from migrator.metrics.dashboard import model
from migrator.metrics.files import DOCS, documented, made
from migrator.metrics.metric import OTHER, UNITS, Kind, Metric, Origin
from migrator.model import condition
from tests import ROOT

NAMED = {metric.name: metric for metric in CATALOGUE}


def expressions() -> list[str]:
    shown = [target["expr"] for panel in model()["panels"] for target in panel.get("targets", ())]
    return [alert.expr for alert in ALERTS] + shown


def selectors(expr: str) -> list[tuple[Metric, dict[str, str]]]:
    """The metrics an expression names, with the labels it asks for."""
    found = []
    for name, braces in re.findall(r"\b(migrator_\w+)(?:\{([^}]*)\})?", expr):
        histogram = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = NAMED.get(name) or NAMED[histogram]
        assert (name == metric.name) is (metric.kind is not Kind.HISTOGRAM), name
        found.append((metric, dict(re.findall(r'(\w+)=~?"([^"]*)"', braces))))
    return found


def test_every_file_is_made_of_the_catalogue() -> None:
    """Make them anew with: python -m migrator.metrics"""
    page = (ROOT / DOCS).read_text()

    assert documented(page) == page
    assert {name: (ROOT / name).read_text() for name in made()} == made()


@pytest.mark.parametrize("expr", expressions())
def test_an_expression_names_metrics_labels_and_values_that_exist(expr: str) -> None:
    found = selectors(expr)

    assert found
    for metric, asked in found:
        assert metric.origin is not Origin.SHIM
        labels = {label.name: label for label in metric.labels}
        for name, value in asked.items():
            if name != "plan":
                assert value in labels[name].values or not labels[name].values, f"{metric.name}: {name}={value}"
    for group in re.findall(r"by \(([^)]*)\)", expr):
        known = {"plan", "le", *(label.name for metric, _ in found for label in metric.labels)}
        assert set(filter(None, group.split(", "))) <= known


def test_every_condition_that_stands_has_an_alert_that_says_what_to_do() -> None:
    stands = {kind for kind in condition.Kind if kind not in EVENTS}
    asked = {asked["kind"] for alert in ALERTS for _, asked in selectors(alert.expr) if "kind" in asked}

    assert asked == {kind.value for kind in stands} == {kind.value for kind in RUNBOOK}
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert OTHER not in asked


def test_commands_that_the_alerts_name_exist() -> None:
    listed = (ROOT / "docs" / "cli.md").read_text()
    said = " ".join(alert.runbook for alert in ALERTS)
    for command in re.findall(r"migrator ((?:[a-z]+)(?: [a-z]+)?)", said):
        first, _, _ = command.partition(" ")
        assert re.search(rf"`migrator (?:{first}`|{command}[ `])", listed), command


def test_a_prometheus_behind_a_collector_has_the_same_names() -> None:
    """As Prometheus makes names of OTLP: dots to underscores, then the unit, then `_total` or `_ratio`."""
    suffix = {"s": "seconds", "By": "bytes", "1": "ratio"}
    for metric in CATALOGUE:
        name = metric.otlp_name.replace(".", "_")
        unit = suffix.get(metric.otlp_unit, "" if metric.otlp_unit.startswith("{") else metric.otlp_unit)
        if unit and not name.endswith(unit):
            name += f"_{unit}"
        if metric.kind is Kind.COUNTER:
            name += "_total"
        assert name == metric.name
    assert set(UNITS.values()) <= {"", *suffix, "{row}", "{core}", "{USD}"}


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Its JSON model, as documented: ids of their own, places on a grid of 24 that do not overlap, a known source."""
    found = model()
    json.dumps(found)
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= found.keys()
    assert len(found["uid"]) <= 40
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in ("row", "timeseries", "stat", "table")
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert [t["refId"] for t in panel["targets"]] == [*"ABCDEFGH"[: len(panel["targets"])]]
    names = {variable["name"] for variable in found["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used == names == {"datasource", "plan"}


TESTS = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'migrator_up{{plan="shop", instance="a"}}'
        values: '1 0 0 0 0 0 0 0 0 0'
      - series: 'migrator_up{{plan="other", instance="a"}}'
        values: '0 0 0 0 0 0 0 0 0 0'
      - series: 'migrator_up{{plan="other", instance="b"}}'
        values: '1 1 1 1 1 1 1 1 1 1'
      - series: 'migrator_conditions{{plan="shop", kind="divergence", severity="error", instance="a"}}'
        values: '0 0 0 0 2 2 2 2 2 2'
      - series: 'migrator_conditions{{plan="shop", kind="gate_waits", severity="warning", instance="a"}}'
        values: '0x10'
      - series: 'migrator_incidents{{plan="shop", instance="a"}}'
        values: '3x12 4x10'
      - series: 'migrator_reads_total{{plan="shop", side="limitless", instance="a"}}'
        values: '0+600x20'
      - series: 'migrator_read_errors_total{{plan="shop", side="limitless", instance="a"}}'
        values: '0+60x20'
    alert_rule_test:
      - alertname: MigratorClassicUnreachable
        eval_time: 4m
        exp_alerts: [{{exp_labels: {{plan: shop, severity: critical}},
                      exp_annotations: {{summary: 'classic does not answer (shop)', description: "{down}"}}}}]
      - {{alertname: MigratorDivergence, eval_time: 3m, exp_alerts: []}}
      - {{alertname: MigratorGateWaits, eval_time: 9m, exp_alerts: []}}
      - alertname: MigratorDivergence
        eval_time: 6m
        exp_alerts: [{{exp_labels: {{plan: shop, severity: error}},
                      exp_annotations: {{summary: 'rows differ between the sides (shop)', description: "{differ}"}}}}]
      - {{alertname: MigratorIncident, eval_time: 11m, exp_alerts: []}}
      - alertname: MigratorIncident
        eval_time: 14m
        exp_alerts: [{{exp_labels: {{plan: shop, severity: error}},
                      exp_annotations: {{summary: 'an incident was recorded (shop)', description: "{incident}"}}}}]
      - alertname: MigratorReadErrors
        eval_time: 12m
        exp_alerts: [{{exp_labels: {{plan: shop, severity: error}},
                      exp_annotations: {{summary: 'over 1 % of the reads on Limitless fail (shop)',
                                         description: "{errors}"}}}}]
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_rules_fire_when_they_should_and_name_the_plan(tmp_path: Path) -> None:
    rules = ROOT / "ops" / "prometheus" / "rules.yml"
    texts = {alert.name: alert.runbook for alert in ALERTS}
    (tmp_path / "tests.yml").write_text(
        TESTS.format(
            rules=rules,
            down=texts["MigratorClassicUnreachable"],
            differ=texts["MigratorDivergence"],
            incident=texts["MigratorIncident"],
            errors=texts["MigratorReadErrors"],
        )
    )
    for command in (["check", "rules", str(rules)], ["test", "rules", str(tmp_path / "tests.yml")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
