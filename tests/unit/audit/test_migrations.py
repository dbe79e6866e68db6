"""Migrations hold the way forward and the way back: only the way forward is what the database becomes."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.rules.findings import finding_id
from migrator.errors import UsageError
from migrator.scripts.directions import forward
from migrator.scripts.folder import arrange

THERE = "CREATE TABLE orders (tenant_id bigint NOT NULL, id bigint PRIMARY KEY);\nCREATE TABLE items (id int);\n"
BACK = "DROP TABLE items;\nDROP TABLE orders;\n"


def audit(tmp_path: Path, *names: str) -> AuditReport:
    statements = tmp_path / "q.txt"
    statements.write_text("SELECT * FROM orders WHERE tenant_id = 1;")
    return audit_files(schema=[tmp_path / n for n in names], statements=[statements], tenant_key="tenant_id")


def tables(report: AuditReport) -> list[str]:
    return [t.name for t in report.tables]


def open_evidence(report: AuditReport) -> list[str]:
    return [f.id for f in report.findings if f.rule == "AUD-EVD-05"]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- +goose Up", "-- +goose Down"),
        ("--+goose up", "--+goose down"),
        ("-- +goose NO TRANSACTION\n-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up notransaction", "-- +migrate Down"),
        ("-- migrate:up transaction:false", "-- migrate:down transaction:false"),
        ("-- Up Migration", "-- Down Migration"),
        ("-- ====  UP  ====", "-- ==== DOWN ===="),
        ("-- // First migration.", "-- //@UNDO"),
        ("", "--//@UNDO"),
        ("", "---- create above / drop below ----"),
        ("# --- !Ups", "# --- !Downs"),
        ("-- +micrate Up", "-- +micrate Down"),
        ("-- rambler up", "-- rambler down"),
        ("-- forward", "-- backward"),
        ("/* up */", "/* down */"),
        ("--@up", "--@down"),
    ],
)
def test_the_way_back_is_left_out(tmp_path: Path, up: str, down: str) -> None:
    """Whatever tool wrote it; what was left out is said, and lines keep their numbers."""
    (tmp_path / "m.sql").write_text(f"{up}\n{THERE}{down}\n{BACK}")

    report = audit(tmp_path, "m.sql")

    assert tables(report) == ["public.items", "public.orders"]
    assert open_evidence(report) == []
    [note] = report.evidence["notes"]
    assert "2 lines that lead back were left out" in note
    assert f"from line {up.count(chr(10)) + 4} on" in note


def test_statements_after_the_way_back_keep_their_lines() -> None:
    """Files put together hold several of both."""
    found = forward("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n\n-- +goose Up\nSELECT 3;\n")

    assert found.text.splitlines()[6] == "SELECT 3;"
    assert "SELECT 2" not in found.text and "SELECT 1" in found.text
    assert found.lines == 1


@pytest.mark.parametrize(
    "text",
    [
        "-- Down payments of a customer",
        "-- rollback of an order is written here by the billing service",
        "--rollback DROP TABLE orders;",
        "SELECT 1; -- down",
        "SELECT '\n-- down\n';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n-- down\nSELECT 1 $$;",
        "/*\n-- down\n*/",
    ],
)
def test_a_comment_is_no_marker(text: str) -> None:
    """Words of the application, comments behind statements, and what stands in quotes and bodies."""
    assert forward(f"{text}\nSELECT 2;").lines == 0


@pytest.mark.parametrize("marker", ["-- rollback", "-- To undo:", "-- ROLLBACK SCRIPT"])
def test_a_marker_of_no_known_tool_is_a_guess(tmp_path: Path, marker: str) -> None:
    """The way back is left out, and somebody must say that this was right."""
    (tmp_path / "m.sql").write_text(f"{THERE}{marker}\n{BACK}")

    report = audit(tmp_path, "m.sql")

    assert tables(report) == ["public.items", "public.orders"]
    assert open_evidence(report) == [finding_id("AUD-EVD-05", str(tmp_path / "m.sql"))]


def test_a_way_back_without_a_marker(tmp_path: Path) -> None:
    """A file that drops all it created is asked about, though other files leave tables; dropping some is said."""
    (tmp_path / "1.sql").write_text("CREATE TABLE tenants (tenant_id bigint PRIMARY KEY);")
    (tmp_path / "2.sql").write_text(f"{THERE}-- and now away with it\n{BACK}")
    (tmp_path / "3.sql").write_text("CREATE TABLE staging (id int); CREATE TABLE kept (id int); DROP TABLE staging;")

    report = audit(tmp_path, "1.sql", "2.sql", "3.sql")

    assert open_evidence(report) == [
        finding_id("AUD-EVD-05", str(tmp_path / "2.sql")), "AUD-EVD-05:statements",  # whose only table is gone
    ]  # fmt: skip
    assert [p for p in report.evidence["problems"] if "public.staging and drops" in p]


def test_replacing_a_table_is_no_way_back(tmp_path: Path) -> None:
    """DROP IF EXISTS before CREATE, and a table that is built anew and renamed."""
    anew = "CREATE TABLE items_new AS TABLE items;\nDROP TABLE items;\nALTER TABLE items_new RENAME TO items;"
    (tmp_path / "m.sql").write_text("\n".join(("DROP TABLE IF EXISTS orders;", THERE, anew)))

    report = audit(tmp_path, "m.sql")

    assert tables(report) == ["public.items", "public.orders"]
    assert open_evidence(report) == []


# -- folders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "read", "back"),
    [
        (["10_b.up.sql", "2_a.up.sql", "2_a.down.sql"], ["2_a.up.sql", "10_b.up.sql"], 1),
        (["V10__b.sql", "V2__a.sql", "V2.1__x.sql", "U2__a.sql", "R__views.sql"],
         ["V2__a.sql", "V2.1__x.sql", "V10__b.sql", "R__views.sql"], 1),
        (["2024-01_a/up.sql", "2024-01_a/down.sql", "2024-02_b/up.sql"], ["2024-01_a/up.sql", "2024-02_b/up.sql"], 1),
        (["deploy/a.sql", "revert/a.sql"], ["deploy/a.sql"], 1),
        (["1_a_up.sql", "1_a_down.sql", "2_b.sql", "2_b_rollback.sql"], ["1_a_up.sql", "2_b.sql"], 2),
        (["3_add_drop_down.sql", "1_rollback_of_orders.sql"], ["1_rollback_of_orders.sql", "3_add_drop_down.sql"], 0),
        (["1/migration.sql", "1/README.md", "2/migration.sql"], ["1/migration.sql", "2/migration.sql"], 0),
    ],
    ids=["golang-migrate", "flyway", "diesel", "sqitch", "suffixes", "words", "prisma"],
)  # fmt: skip
def test_a_folder_in_its_order(names: list[str], read: list[str], back: int) -> None:
    """Numbers count as numbers, undo files are left out."""
    found = arrange([PurePath(n) for n in names])

    assert [str(p) for p in found.files] == read
    assert len(found.back) == back


def test_sqitch_says_its_order(tmp_path: Path) -> None:
    """Names of changes sort by nothing; the plan has their order. Checks are not read."""
    for name, text in {
        "sqitch.plan": "%project=x\n\ntenants 2024-01-01T00:00:00Z A <a@b>\n@v1 2024\norders [tenants] 2024 A <a@b>\n",
        "deploy/tenants.sql": "CREATE TABLE tenants (tenant_id bigint PRIMARY KEY);",
        "deploy/orders.sql": "CREATE TABLE orders (tenant_id bigint REFERENCES tenants, id int);",
        "revert/orders.sql": "DROP TABLE orders;",
        "verify/orders.sql": "SELECT 1/0 FROM orders;",
    }.items():
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_text(text)

    report = audit(tmp_path, "s")

    assert tables(report) == ["public.orders", "public.tenants"]
    assert "2 files were read in their order, 2 that lead back were left out" in report.evidence["notes"][0]
    assert report.evidence["inputs"][str(tmp_path / "s")]["files_that_lead_back"] == 2
    assert not [f for f in report.findings if f.rule == "AUD-EVD-06"]


def test_migrations_in_code_are_said(tmp_path: Path) -> None:
    """A folder that is half Ruby is half a schema."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1.sql").write_text(THERE)
    (tmp_path / "m" / "2.rb").write_text("drop_table :orders")

    assert any("1 .rb" in p for p in audit(tmp_path, "m").evidence["problems"])


def test_a_way_back_alone_is_no_schema(tmp_path: Path) -> None:
    """A file that undoes, given by name, is not read, and that does not pass."""
    (tmp_path / "1_a.down.sql").write_text(BACK)

    assert len(open_evidence(audit(tmp_path, "1_a.down.sql"))) == 2  # that file, and no table


def test_a_dump_in_directory_format_is_refused(tmp_path: Path) -> None:
    """pg_dump -Fd; its files are compressed data."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "toc.dat").write_bytes(b"PGDMP")

    with pytest.raises(UsageError, match="directory format"):
        audit(tmp_path, "d")
