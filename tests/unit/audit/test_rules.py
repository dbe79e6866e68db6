"""Is every rule found where it applies, with the severity of the target's version?"""

from __future__ import annotations

import pytest

from migrator.audit.catalog import Catalog, Index, Relation, RelationKind, Thing
from migrator.audit.evidence.rows import Evidence, Load
from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.key import check_keys
from migrator.audit.rules.object import check_settings, check_versions
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import Shape, Shapes, Step
from migrator.audit.sizing.runway import Writer
from migrator.audit.sizing.tenants import TableCounts
from migrator.audit.target import Outlook
from migrator.model.limits import parse_engine
from migrator.model.table import TableKind
from tests.unit.audit.cases import CASES, Expected, expected, rules_plan

STATEMENTS = CASES / "rules" / "statements.sql"

# Rules that no file can show: they need figures, settings or a question asked of the team.
ELSEWHERE = {
    "LIM-KEY-10", "LIM-TBL-09", "LIM-TBL-10", "LIM-QRY-11", "LIM-QRY-12",
    "LIM-VER-03", "AUD-ACT-01", "AUD-ACT-02", "AUD-ACT-03", "AUD-ACT-04", "LIM-SES-01", "LIM-SES-03", "LIM-VER-02",
    "AUD-EVD-01", "AUD-EVD-02", "AUD-EVD-03", "AUD-EVD-04", "AUD-EVD-05", "AUD-EVD-06", "AUD-TEN-01", "AUD-TEN-02",
    "AUD-TEN-03", "AUD-RUN-01", "AUD-TRG-01", "AUD-CPY-01", "AUD-EXP-01",
}  # fmt: skip


@pytest.fixture(scope="module")
def old() -> AuditReport:
    return audit_files(
        schema=[CASES / "rules" / "schema.sql"], statements=[STATEMENTS], plan=rules_plan("16.4-limitless")
    )


@pytest.fixture(scope="module")
def new() -> AuditReport:
    return audit_files(
        schema=[CASES / "rules" / "schema.sql"], statements=[STATEMENTS], plan=rules_plan("16.13-limitless")
    )


@pytest.mark.parametrize("label", expected(STATEMENTS), ids=lambda label: label.name)
def test_a_statement_meets_its_rules(label: Expected, old: AuditReport) -> None:
    """On the oldest engine every rule about statements is found."""
    found = next(s for s in old.statements if s.name == label.name)

    assert label.rules <= set(found.rules)


@pytest.mark.parametrize("rule", sorted(set(RULES) - ELSEWHERE))
def test_every_rule_has_a_case(rule: str, old: AuditReport) -> None:
    """A rule without a case that shows it would be a rule nobody has seen work."""
    assert rule in {f.rule for f in old.findings}


def test_a_newer_engine_lifts_what_it_fixed(old: AuditReport, new: AuditReport) -> None:
    """Rules that end with a version are gone after it; those it eased are milder."""
    before = {f.rule for f in old.findings}
    after = {f.id: f.severity for f in new.findings}
    gone = {"LIM-CHK-03", "LIM-IDX-04", "LIM-IDX-05", "LIM-IDX-06", "LIM-SEC-02", "LIM-VER-01", "LIM-DML-07"}

    assert gone <= before
    assert not gone & {f.rule for f in new.findings}
    assert next(f.severity for f in old.findings if f.rule == "LIM-TXN-05") is Severity.BLOCKER
    assert next(f.severity for f in new.findings if f.rule == "LIM-TXN-05") is Severity.WARNING
    assert next(f.severity for f in new.findings if f.rule == "LIM-CHK-01") is Severity.WARNING
    assert "LIM-EXT-01:extension hstore" in {f.id for f in old.findings}
    assert "LIM-EXT-01:extension hstore" not in after
    assert after["LIM-EXT-01:extension pg_cron"] is Severity.BLOCKER


def test_a_finding_is_complete(old: AuditReport) -> None:
    """Id, rule, severity, object, evidence, fix, source: none is empty, ids are unique."""
    assert len({f.id for f in old.findings}) == len(old.findings)
    for finding in old.findings:
        assert finding.id.startswith(f"{finding.rule}:")
        assert finding.object and finding.evidence and finding.fix and finding.reference
        assert "{key}" not in finding.fix


def test_what_this_tool_makes_otherwise_is_no_work(old: AuditReport) -> None:
    """Findings on what a table has, and provisioning leaves out."""
    moot = {"LIM-TBL-03", "LIM-TBL-06", "LIM-COL-05", "LIM-FK-01", "LIM-OBJ-08"}
    of_objects = [f for f in old.findings if f.rule in moot and not f.object.startswith("statement ")]

    assert {f.rule for f in of_objects} >= moot - {"LIM-TBL-06"}
    assert {f.severity for f in of_objects} == {Severity.INFO}
    assert all(f.fix.startswith("nothing to do") for f in of_objects)


def test_a_table_is_as_bad_as_what_becomes_of_its_rows(old: AuditReport) -> None:
    """A crash empties an unlogged table and capture sees nothing, which SET LOGGED ends; writes to a child are lost."""
    unlogged = next(f for f in old.findings if f.rule == "LIM-TBL-05")
    child = next(f for f in old.findings if f.rule == "LIM-TBL-02" and not f.object.startswith("statement "))

    assert (unlogged.severity, child.severity) == (Severity.REWRITE, Severity.BLOCKER)
    assert unlogged.sql is not None and unlogged.sql.endswith("SET LOGGED")


def test_a_trigger_says_what_it_does(old: AuditReport) -> None:
    """The DBA reads what must move into the application."""
    found = next(f for f in old.findings if f.rule == "LIM-OBJ-01" and "touch_events" in f.object)

    assert "sets token" in found.evidence
    assert "writes ledger" in found.evidence
    assert "sends a notification" in found.evidence


def test_rules_have_distinct_ids_and_sources() -> None:
    """Every rule names where it comes from, and what to do."""
    for rule in RULES.values():
        assert rule.title and rule.fix and rule.source


def test_a_large_table_the_copy_must_read_whole() -> None:
    """Neither a small one, nor one whose index starts with what a tenant's rows are found by."""
    orders = Relation("app", "orders", RelationKind.TABLE, rows=2_000_000)
    items = Relation(
        "app", "items", RelationKind.TABLE, rows=9_000_000, indexes=[Index("by_order", ("order_id", "id"))]
    )
    notes = Relation("app", "notes", RelationKind.TABLE, rows=10)
    catalog = Catalog(live=True, relations={r.qualified: r for r in (orders, items, notes)})
    shapes = Shapes("tenant_id", planned=True)
    shapes.by_table = {
        "app.orders": Shape(TableKind.SHARDED, "tenant_id"),
        "app.items": Shape(
            TableKind.SHARDED, "tenant_id", derived=True, via=(Step(("order_id",), "app.orders", ("id",)),)
        ),
        "app.notes": Shape(TableKind.SHARDED, "tenant_id"),
    }
    out = Collector((16, 13, 999), "tenant_id")

    check_keys(catalog, shapes, out)

    found = [f for f in out.findings() if f.rule == "AUD-CPY-01"]
    assert [(f.object, f.severity) for f in found] == [("app.orders", Severity.INFO)]
    assert "no index starts with tenant_id" in found[0].evidence


@pytest.mark.parametrize(
    ("text", "engine"),
    [("16.13-limitless", (16, 13, 999)), ("16.11.102", (16, 11, 102)), ("16.4.103-limitless", (16, 4, 103))],
)
def test_engine_versions(text: str, engine: tuple[int, int, int]) -> None:
    """Without a patch number the newest is meant."""
    assert parse_engine(text) == engine


def test_settings_and_versions() -> None:
    """Settings of server, database and role are read; older servers get the differences on the way to 16."""
    out = Collector((16, 13, 999), "tenant_id")
    catalog = Catalog(server_version=150004, settings={"default_transaction_isolation": "serializable"})
    catalog.things.append(Thing("role setting", "plan_cache_mode=force_generic_plan", "app"))
    catalog.things.append(Thing("database setting", "search_path=app", ""))

    check_settings(catalog, out)
    check_versions(catalog, "16.13-limitless", out)

    assert {f.rule for f in out.findings()} == {"LIM-TXN-01", "LIM-QRY-05", "LIM-OBJ-09", "LIM-VER-02"}


def test_figures_become_findings() -> None:
    """Writes on a reference table, a huge standard table, tenants, the writer's runway, services: all are reported."""
    catalog = Catalog(live=True)
    rates = Relation("app", "rates", RelationKind.TABLE, rows=10, updates=50_000)
    log = Relation("app", "log", RelationKind.TABLE, rows=10, bytes=20 * 2**30)
    orders = Relation("app", "orders", RelationKind.TABLE, rows=10)
    catalog.relations = {r.qualified: r for r in (rates, log, orders)}
    shapes = Shapes("tenant_id", planned=True)
    shapes.by_table = {
        "app.rates": Shape(TableKind.REFERENCE),
        "app.log": Shape(TableKind.STANDARD),
        "app.orders": Shape(TableKind.SHARDED, "tenant_id"),
    }
    counted = TableCounts("app.orders", {"a": 1, "b": 1, "c": 500, None: 7}, {"c": 3}, missing_parents=2)
    evidence = Evidence(catalog, load=Load(commits=1000, seconds=10), problems=["pg_stat_statements is not installed"])

    report = conclude(
        evidence,
        shapes,
        [counted],
        mode="live",
        outlook=Outlook(writer=Writer(0.85, 64), uses=["rds-proxy", "data_api"]),
    )

    rules = {f.rule for f in report.findings}
    assert {
        "LIM-TBL-09", "LIM-TBL-10", "LIM-KEY-10", "AUD-TEN-01", "AUD-TEN-03", "AUD-RUN-01", "AUD-EVD-01",
        "LIM-SES-01", "LIM-SES-03",
    } <= rules  # fmt: skip
    assert any("5 rows have no tenant" in f.evidence for f in report.findings)
