"""Do the reports say what was found, to people, to tools and to the next run?"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.audit.files import audit_files
from migrator.audit.plan_init import plan_text, waves
from migrator.audit.report.baseline import acknowledge, compare, load_baseline, load_report
from migrator.audit.report.sarif import sarif
from migrator.audit.report.terminal import summary
from migrator.audit.report.values import AuditReport
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES
from migrator.cli.app import run_command
from migrator.errors import PlanInvalid, UsageError
from migrator.plan.load import accepted, from_body
from migrator.report.audit import page
from tests import ROOT
from tests.unit.audit.cases import CASES, rules_plan

SCHEMA, STATEMENTS = CASES / "rules" / "schema.sql", CASES / "rules" / "statements.sql"
ARGUMENTS = ["audit", "--schema", str(SCHEMA), "--statements", str(STATEMENTS), "--tenant-key", "tenant_id"]


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return audit_files(schema=[SCHEMA], statements=[STATEMENTS], plan=rules_plan())


def test_the_json_has_the_documented_fields(report: AuditReport) -> None:
    """Every field of the report, of findings and of statements is described in docs/audit.md, and the reverse."""
    data = json.loads(json.dumps(report.to_json()))
    text = (ROOT / "docs" / "audit.md").read_text()
    documented = set(re.findall(r"`([a-z_]+)(?:\[\])?`", text[text.index("## The JSON report") :]))

    for part in (data, data["findings"][0], data["statements"][0], data["tables"][0]):
        assert set(part) <= documented
    assert set(data["statements"][0]["weight"]) <= documented
    assert data["schema_version"] == 1


def test_statements_in_are_statements_out(report: AuditReport) -> None:
    """The counts of the evidence add up, as the documentation says."""
    e = report.evidence

    assert e["statements_read"] + e["statements_split"] + e["statements_from_functions"] == (
        e["statements_reported"] + e["statements_of_this_tool"]
    )
    assert e["statements_reported"] == len(report.statements)


def test_a_baseline_opens_the_gate(report: AuditReport, tmp_path: Path) -> None:
    """Acknowledged findings stay in the report, with who and why, and block no more."""
    path = tmp_path / "accepted.toml"
    ids = sorted({f.id for f in report.findings if f.severity is Severity.BLOCKER})
    path.write_text(
        "".join(f'[[acknowledged]]\nid = {json.dumps(i)}\nby = "Ada"\nwhy = "known"\n' for i in [*ids, "X:1"])
    )

    accepted = acknowledge(report, load_baseline(path))

    assert len(report.blockers()) == len(ids) > 5
    assert accepted.blockers() == []
    assert report.blockers(ids[1:]) == [b for b in report.blockers() if b.endswith(f"[{ids[0]}]")]
    assert {f.acknowledged for f in accepted.findings if f.severity is Severity.BLOCKER} == {"Ada: known"}
    assert len(accepted.findings) == len(report.findings)
    assert accepted.evidence["baseline_stale"] == ["X:1"]
    assert accepted.at_least(Severity.BLOCKER) == []


@pytest.mark.parametrize("text", ['[[acknowledged]]\nid = "x"\nby = "Ada"\n', "not toml", '{"acknowledged": 3}'])
def test_a_bad_baseline_is_one_message(text: str, tmp_path: Path) -> None:
    """An acknowledgement without who and why is none."""
    path = tmp_path / ("b.json" if text.startswith("{") else "b.toml")
    path.write_text(text)
    if text.startswith("{"):
        assert load_baseline(path) == {}
        return

    with pytest.raises(UsageError):
        load_baseline(path)


def test_a_second_run_says_what_changed(tmp_path: Path) -> None:
    """New and gone findings, statements and verdicts, by id."""
    schema, first, second = tmp_path / "s.sql", tmp_path / "1.sql", tmp_path / "2.sql"
    schema.write_text("CREATE TABLE t (tenant_id int NOT NULL, id int, PRIMARY KEY (tenant_id, id));")
    first.write_text("SELECT * FROM t WHERE id = 1;\nSELECT 5;")
    second.write_text("SELECT *\n  FROM t WHERE id = 1;\nNOTIFY x;")
    before = audit_files(schema=[schema], statements=[first], tenant_key="tenant_id").to_json()

    now = compare(audit_files(schema=[schema], statements=[second], tenant_key="tenant_id"), before)

    assert now.changes is not None
    assert [i.partition(":")[0] for i in now.changes["new_findings"]] == ["LIM-DML-05"]
    assert now.changes["gone_findings"] == []
    assert (len(now.changes["new_statements"]), len(now.changes["gone_statements"])) == (1, 1)
    assert "new: LIM-DML-05" in summary(now)


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    """--json over a file that is no report refuses, and leaves it."""
    path = tmp_path / "precious.json"
    path.write_text('{"a": 1}')

    with pytest.raises(UsageError):
        load_report(path)
    assert run_command([*ARGUMENTS, "--json", str(path)]) == 2
    assert path.read_text() == '{"a": 1}'


def test_the_page_is_self_contained(report: AuditReport) -> None:
    """No address is loaded; every finding and statement is there."""
    html = page(report.to_json())

    assert 'src="' not in html  # links to the vendor's pages load nothing
    assert "url(" not in html and "@import" not in html
    assert html.count("<tr data-severity=") == len(report.findings)
    assert html.count("<tr data-verdict=") == len(report.statements)


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    """SQL may hold markup."""
    schema, statements = tmp_path / "s.sql", tmp_path / "q.sql"
    schema.write_text('CREATE TABLE "<b>t</b>" (tenant_id int, id int);')
    statements.write_text("-- name: <script>\nSELECT '<script>alert(1)</script>' FROM \"<b>t</b>\";")

    html = page(audit_files(schema=[schema], statements=[statements], tenant_key="tenant_id").to_json())

    assert "<b>t</b>" not in html
    assert "<script>alert" not in html


def test_sarif_has_a_result_per_finding(report: AuditReport) -> None:
    """Rules, levels, places, suppressions, as code hosts read them."""
    first = report.findings[0]
    [run] = sarif(acknowledge(report, {first.id: "Ada: known"}).to_json())["runs"]

    assert len(run["results"]) == len(report.findings)
    assert run["results"][0]["level"] == "error"
    assert run["results"][0]["suppressions"][0]["justification"] == "Ada: known"
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    placed = [r for r in run["results"] if "physicalLocation" in r["locations"][0]]
    assert placed[0]["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1


def test_the_summary_names_blockers_and_fixes(report: AuditReport) -> None:
    """The worst comes first, each rule with what to do."""
    text = summary(report)

    assert text.index("BLOCKER") < text.index("REWRITE") < text.index("WARNING")
    assert RULES["LIM-OBJ-01"].fix in text
    assert "STATEMENTS" in text and "TABLES" in text and "EVIDENCE" in text


def test_plan_init_writes_a_plan_that_loads() -> None:
    """Once it is decided: kinds, derived keys, aliases; every table is named."""
    report = audit_files(schema=[SCHEMA], statements=[], tenant_key="tenant_id", aliases={"lookups": "tenant"})
    text = plan_text(report, name="case", classic="env:CLASSIC", limitless="env:LIMITLESS")

    with pytest.raises(PlanInvalid, match="to decide"):
        from_body(tomllib.loads(text))
    plan = from_body(accepted(tomllib.loads(text)))

    assert set(plan.tables.table) == {t.name for t in report.tables}
    assert plan.tables.table["public.lines"].via == "event_id -> public.events.id"
    assert plan.tables.table["public.lookups"].kind == "excluded"  # it has no key of any kind
    assert "it has the tenant key tenant" in text
    assert 'kind = "DECIDE ' in text
    assert text.count("#") > 20


@pytest.mark.parametrize("name", ["a\nb", 'a"b', "a#b", "a = 1", "ä'b", "a\x07b", "a]b", ""])
def test_plan_init_survives_every_name(name: str) -> None:
    """Of a table, a database, a column; and comments that quote them stay comments."""
    report = audit_files(schema=[SCHEMA], statements=[], tenant_key="tenant_id", aliases={"lookups": "tenant"})
    tables = tuple(
        replace(t, name=f"public.{name}{n}", reasons=(f"because of {name}", "[x]\ny = 1"), key=t.key and f"key{name}")
        for n, t in enumerate(report.tables)
    )
    text = plan_text(
        replace(report, tables=tables, database=name), name="case", classic="env:CLASSIC", limitless="env:LIMITLESS"
    )

    found = tomllib.loads(text)

    assert list(found["tables"]["table"]) == [t.name for t in tables]
    assert {"y", "x"}.isdisjoint(found) and found["name"] == "case"


def test_plan_init_writes_what_the_audit_sized() -> None:
    """And says of each figure what it follows from; what was not sized keeps its default and the comment on it."""
    report = audit_files(schema=[SCHEMA], statements=[], tenant_key="tenant_id", aliases={"lookups": "tenant"})
    sized = replace(
        report,
        sizing={"shards": 7, "min_acu": 48, "max_acu": {"low": 10, "likely": 20, "high": 90}},
        tenants={"count": 3000, "hot": ["1"], "rows": 60_000_000, "max_rows": 1_234_567},
        runway={"closes": False, "advice": "the runway is short"},
    )

    bare, full = (tomllib.loads(plan_text(r, name="case", classic="env:C", limitless="env:L")) for r in (report, sized))
    text = plan_text(sized, name="case", classic="env:C", limitless="env:L")

    assert [bare["limitless"][key] for key in ("shards", "min_acu", "max_acu")] == [4, 24, 384]
    assert [full["limitless"][key] for key in ("shards", "min_acu", "max_acu")] == [7, 48, 48]
    assert (bare["waves"]["sizes"], full["waves"]["sizes"]) == ([5, 25, 100], [5, 25, 125, 625])
    assert (bare["dual_write"]["parts"], full["dual_write"]["parts"]) == (2, 4)
    for said in ("estimate 10 to 90", "3,000 tenants, 1 of them hot", "1,234,567 rows", "the runway is short"):
        assert f"# {said}" in text or said in text.partition("#")[2]
    assert "console defaults" not in text and "not known yet" not in text


@pytest.mark.parametrize(
    ("tenants", "hot", "sizes"),
    [(1, 0, [1]), (5, 0, [5]), (30, 1, [5, 24]), (200, 1, [5, 25, 125, 44]), (9000, 5, [5, 25, 125, 625])],
)
def test_waves_grow(tenants: int, hot: int, sizes: list[int]) -> None:
    """A handful first, then five times as many; the last size repeats."""
    assert waves(tenants, hot) == sizes


# -- the command -------------------------------------------------------------------------------


def test_the_command_writes_every_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run gives JSON, page and SARIF; the summary goes to stdout, progress to stderr."""
    out = {name: tmp_path / name for name in ("r.json", "r.html", "r.sarif")}

    code = run_command(
        [*ARGUMENTS, "--json", str(out["r.json"]), "--html", str(out["r.html"]), "--sarif", str(out["r.sarif"])]
    )

    shown = capsys.readouterr()
    assert code == 0
    assert all(p.stat().st_size > 1000 for p in out.values())
    assert "STATEMENTS" in shown.out
    assert "r.json written" in shown.err
    data: dict[str, Any] = json.loads(out["r.json"].read_text())
    assert {"name", "source", "sql", "verdict", "reasons", "relations", "rules", "weight"} <= set(data["statements"][0])
    assert {"id", "rule", "severity", "object", "evidence", "fix", "source"} <= set(data["findings"][0])


def test_fail_on_is_a_gate_for_ci(tmp_path: Path) -> None:
    """Exit 3 when something is bad enough, 0 when it is acknowledged or milder."""
    schema, accepted, statements = tmp_path / "s.sql", tmp_path / "a.toml", tmp_path / "q.sql"
    statements.write_text("SELECT * FROM t WHERE tenant_id = 1;")
    schema.write_text("CREATE TABLE t (tenant_id int NOT NULL, id int PRIMARY KEY);")
    accepted.write_text('[[acknowledged]]\nid = "LIM-KEY-01"\nby = "Ada"\nwhy = "the tool does it"\n')
    given = ["--schema", str(schema), "--statements", str(statements), "--tenant-key", "tenant_id"]
    command = ["audit", *given, "--fail-on"]

    assert run_command([*command, "blocker"]) == 0
    assert run_command([*command, "rewrite"]) == 3
    assert run_command([*command, "rewrite", "--baseline", str(accepted)]) == 0


def test_json_without_a_file_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """--json alone prints the report."""
    assert run_command([*ARGUMENTS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mode"] == "files"


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--schema", "nowhere.sql", "--tenant-key", "x"],
        ["audit", "--schema", str(SCHEMA)],
        ["audit", "--schema", str(SCHEMA), "--tenant-key", "x", "--key-alias", "nonsense"],
        ["audit", "out.json"],
    ],
)
def test_a_call_that_cannot_work_exits_2(arguments: list[str]) -> None:
    """A missing file, no tenant key, a bad alias, a file nobody asked for."""
    assert run_command(arguments) == 2


def test_the_gather_script_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is plain psql and read-only, and quotes the key it is given."""
    assert run_command(["audit", "--gather-script", "--tenant-key", "ten'ant"]) == 0

    shown = capsys.readouterr().out
    assert "SET default_transaction_read_only = on;" in shown
    assert "'ten''ant'" in shown
    assert not re.search(r"(?im)^\s*(insert|update|delete|create|drop|alter)\b", shown)
