"""Whatever comes in is counted: as a statement, as something else, or as something that cannot be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from migrator.audit.evidence.logs import read_log
from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.shardkey.parameters import place
from migrator.errors import UsageError
from migrator.grammar.parse import LONGEST_BYTES
from migrator.scripts.statement_file import split

SCHEMA = "CREATE TABLE t (tenant_id uuid NOT NULL, id bigint, name text, PRIMARY KEY (tenant_id, id));"


def run(
    tmp_path: Path, *, schema: str | bytes = SCHEMA, statements: str | bytes = "", log: str | None = None
) -> AuditReport:
    files = {"schema.sql": schema, "q.sql": statements}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    logs = []
    if log is not None:
        (tmp_path / "x.log").write_text(log)
        logs = [tmp_path / "x.log"]
    return audit_files(
        schema=[tmp_path / "schema.sql"], statements=[tmp_path / "q.sql"], logs=logs, tenant_key="tenant_id"
    )


def verdicts(report: AuditReport) -> dict[str, str]:
    return {s.name: s.verdict for s in report.statements}


# -- statement files ---------------------------------------------------------------------------


def test_names_lines_and_several_statements() -> None:
    """A name belongs to the statement after it; further ones of the same block get a number."""
    text = "SELECT 0;\n\n-- name: a :one\n-- about a\nSELECT 1;\nSELECT ';' ; -- x\n/* name: b^ */ SELECT $$;$$\n"

    found = [(p.name, p.line, p.sql) for p in split(text)]

    assert found == [
        (None, 1, "SELECT 0"), ("a", 5, "SELECT 1"), ("a#2", 6, "SELECT ';'"), ("b", 7, "SELECT $$;$$"),
    ]  # fmt: skip


def test_psql_commands_and_copy_data_are_no_statements() -> None:
    """Dumps hold backslash commands and data between COPY and its end."""
    text = "\\restrict abc\nSELECT 1;\nCOPY t (a) FROM stdin;\nit's; data\n\\.\nSELECT 2;\n\\echo done\n"

    assert [p.sql for p in split(text)] == ["SELECT 1", "COPY t (a) FROM stdin", "SELECT 2"]


def test_psql_sends_a_statement_without_a_semicolon() -> None:
    """\\gset and its kin end a statement, as in scripts of pgbench."""
    text = "select nextval('s') as id \\gset\nINSERT INTO t VALUES (:id);\nSELECT 1 \\gexec\n"

    assert [p.sql for p in split(text)] == ["select nextval('s') as id", "INSERT INTO t VALUES (:id)", "SELECT 1"]


def test_a_standard_body_is_one_statement() -> None:
    """BEGIN ATOMIC … END holds semicolons of its own."""
    text = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;\nSELECT 3;"

    assert len(list(split(text))) == 2


def test_a_quote_that_never_ends_costs_one_statement(tmp_path: Path) -> None:
    """The rest of the file is still read."""
    report = run(
        tmp_path, statements="SELECT 'open FROM t;\nSELECT * FROM t WHERE tenant_id = $1;\n-- name: z\nSELECT 1;"
    )

    assert sorted(verdicts(report).values()) == ["no_table", "single_shard", "unparsable"]


def test_broken_text_has_a_position_in_the_text_given(tmp_path: Path) -> None:
    """Placeholders are replaced before parsing; the position is mapped back."""
    report = run(tmp_path, statements="-- name: x\nSELECT * FROM t WHERE a = :a_long_name AND AND b")
    [found] = report.statements

    assert found.verdict == "unparsable"
    assert found.sql[found.position or 0 :] == "AND b"


def test_a_binary_file_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Neither a binary file of statements nor a binary dump stops the audit."""
    report = run(tmp_path, statements=b"\x7fELF\x00\x00\x01")
    custom = run(tmp_path, schema=b"PGDMP\x01\x02", statements="SELECT * FROM t WHERE tenant_id = $1;")

    assert any("binary file" in p for p in report.evidence["problems"])
    assert report.evidence["input_rejected"] == 1
    assert any("pg_dump --schema-only --format=plain" in p for p in custom.evidence["problems"])
    assert [s.verdict for s in custom.statements] == ["cross_shard"]


def test_bytes_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    """A file in Latin-1 is read; the line is named."""
    report = run(tmp_path, statements=b"SELECT 1;\nSELECT 'caf\xe9' FROM t WHERE tenant_id = $1;")

    assert [s.verdict for s in report.statements] == ["no_table", "single_shard"]
    assert any("not UTF-8 from line 2 on" in p for p in report.evidence["problems"])


def test_a_huge_statement_is_reported_and_not_read(tmp_path: Path) -> None:
    """Ten megabytes of values would take gigabytes as a tree."""
    values = ",".join(["(1)"] * 2_600_000)

    report = run(tmp_path, statements=f"-- name: huge\nINSERT INTO t (id) VALUES {values};\n-- name: ok\nSELECT 1;")

    assert len(values) > 5 * LONGEST_BYTES / 2
    assert verdicts(report) == {"huge": "unparsable", "ok": "no_table"}
    assert max(len(s.sql) for s in report.statements) < 30_000


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    """Neither parser nor walker fails on a statement nested thousands deep."""
    begin = "SELECT * FROM t WHERE tenant_id = $1 AND id = "
    deep = f"{begin}{'(' * 3000}1{')' * 3000}"
    sums = f"{begin}{'+'.join(['1'] * 4000)}"
    subqueries = "SELECT * FROM " + "(SELECT * FROM " * 200 + "t" + ") x" * 200

    report = run(tmp_path, statements=f"-- name: a\n{deep};\n-- name: b\n{sums};\n-- name: c\n{subqueries};")

    assert set(verdicts(report)) == {"a", "b", "c"}
    assert all(v in ("single_shard", "unparsable", "cross_shard") for v in verdicts(report).values())


def test_a_nul_byte_in_a_statement(tmp_path: Path) -> None:
    """Late NUL bytes, past what the file check reads, make one statement unparsable."""
    padding = "-- x\n" * 20_000
    report = run(tmp_path, statements=f"SELECT 1;\n{padding}SELECT 'a\x00b';\nSELECT 2;".encode())

    assert [s.verdict for s in report.statements] == ["no_table", "unparsable", "no_table"]


@pytest.mark.parametrize("name", ["nothing.sql", "."])
def test_a_file_that_cannot_be_opened_is_a_usage_error(tmp_path: Path, name: str) -> None:
    """Missing files and directories end the command before anything else."""
    with pytest.raises(UsageError):
        audit_files(schema=[tmp_path / name], tenant_key="tenant_id")


def test_a_schema_that_does_not_load_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A broken statement in a schema is one problem, with its line."""
    report = run(
        tmp_path, schema=f"CREATE TABLE broken (id int,;\n{SCHEMA}", statements="SELECT * FROM t WHERE tenant_id = $1;"
    )

    assert [s.verdict for s in report.statements] == ["single_shard"]
    assert report.evidence["input_rejected"] == 1
    assert any("schema.sql: row 1 cannot be read" in p for p in report.evidence["problems"])
    assert "AUD-EVD-04" in {f.rule for f in report.findings}


def test_an_unknown_tenant_key_is_said(tmp_path: Path) -> None:
    """Nothing can be single-shard when no table has the key."""
    (tmp_path / "s.sql").write_text(SCHEMA)

    report = audit_files(schema=[tmp_path / "s.sql"], tenant_key="org_id", aliases={"nope": "x", "t": "y"})

    problems = " ".join(report.evidence["problems"]) + " ".join(f.evidence for f in report.findings)
    assert "no table has a column org_id" in problems
    assert "the schema has no table nope" in problems
    assert "public.t has no column y" in problems


# -- placeholders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "placed"),
    [
        ("a = $1", "a = $1"),
        ("a = %s AND b = %s", "a = $1 AND b = $2"),
        ("a = %(x)s AND b = %(y)s AND c = %(x)s", "a = $1 AND b = $2 AND c = $1"),
        ("a = :x AND b = :x::int", "a = $1 AND b = $1::int"),
        ("a = '%s' AND b = ':x' -- :y %s", "a = '%s' AND b = ':x' -- :y %s"),
        ("a[1:2] = :x", "a[1:2] = $1"),
        ("a = @x", "a = $1"),
        ("a @> b AND c = @x", "a @> b AND c = $1"),
        ("a = sqlc.arg(x) AND b = sqlc.narg('y')", "a = $1 AND b = $2"),
        ('SELECT sqlc.embed(o), sqlc.embed("Odd") WHERE a = sqlc.arg(x)', 'SELECT o.*, "Odd".* WHERE a = $1'),
        ("a = ANY (sqlc.slice('ids')) OR b IN (sqlc.slice(more))", "a = ANY ($1) OR b IN ($2)"),
        ("a = %s AND b LIKE '%%x' AND c %% 2 = 0", "a = $1 AND b LIKE '%%x' AND c % 2 = 0"),
        ("a = $1 AND b = :x", "a = $1 AND b = $2"),
        ("f(a := 1)", "f(a := 1)"),
        ("a IN ($1 /*, ... */)", "a = ANY ($1)"),
        ("a NOT IN ($1 /*, ... */)", "a <> ALL ($1)"),
    ],
)
def test_placeholders(text: str, placed: str) -> None:
    """Every style becomes $n, outside of literals and comments only."""
    assert place(text).sql == placed


def test_question_marks_only_when_asked() -> None:
    """`?` is an operator of jsonb as well."""
    assert place("a = ? AND b = ?").sql == "a = ? AND b = ?"
    assert place("a = ? AND b ?| c", question=True).sql == "a = $1 AND b ?| c"


# -- logs --------------------------------------------------------------------------------------

CSV = (
    '2026-01-01 10:00:00.000 UTC,"app","db",{pid},"[local]",abc,1,"SELECT",2026-01-01 09:00:00 UTC,1/2,0,LOG,00000,'
    '"{message}",,,,,,,,,"psql","client backend",,0\n'
)


def test_csvlog(tmp_path: Path) -> None:
    """Statements that differ in constants count together; durations on their own line belong to their session."""
    lines = [
        CSV.format(pid=1, message="duration: 2.5 ms  statement: SELECT * FROM t WHERE tenant_id = 1 AND name = 'x'"),
        CSV.format(pid=1, message="duration: 1.5 ms  statement: SELECT * FROM t WHERE tenant_id = 2 AND name = 'y'"),
        CSV.format(pid=2, message="execute <unnamed>: SELECT *\n  FROM t WHERE id = $1"),
        CSV.format(pid=1, message="duration: 9.0 ms"),
        CSV.format(pid=2, message="duration: 4.0 ms"),
        CSV.format(pid=2, message="connection received: host=x"),
        CSV.format(pid=2, message='syntax error at or near ""x""').replace(",LOG,", ",ERROR,"),
        '2026-01-01 10:00:01.000 UTC,"app","db",3,"[local]",abc,1,"SELE',
    ]
    path = tmp_path / "postgresql.csv"
    path.write_text("".join(lines))

    found, counted = read_log(path)

    assert [(s.calls, s.total_ms) for s in found] == [(2, 4.0), (1, 4.0)]
    assert (counted.records, counted.statements, counted.others, counted.rejected) == (8, 3, 4, 1)
    assert "line 9 begins a record that never ends" in counted.problems[0]


def test_a_torn_record_in_the_middle_of_a_csvlog(tmp_path: Path) -> None:
    """Half a line, as a crash leaves it, costs that record and no other."""
    good = CSV.format(pid=1, message="duration: 1.0 ms  statement: SELECT 1")
    path = tmp_path / "x.csv"
    path.write_text(good + '2026-01-01 10:00:00.000 UTC,"app","db",1,"[loc\n' + good)

    found, counted = read_log(path)

    assert [s.calls for s in found] == [2]
    assert (counted.records, counted.rejected) == (3, 1)


def test_jsonlog(tmp_path: Path) -> None:
    """One object per line; a broken line is counted."""
    rows = [
        {"pid": 1, "error_severity": "LOG", "message": "duration: 3.0 ms  execute q1: SELECT $1"},
        {"pid": 1, "error_severity": "LOG", "message": "duration: 0.1 ms  bind q1: SELECT $1"},
        {"pid": 1, "error_severity": "FATAL", "message": "terminating"},
    ]
    path = tmp_path / "x.json.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(json.dumps(r) for r in rows) + '\n{"pid": 1, "mess')

    found, counted = read_log(path)

    assert [(s.sql, s.calls, s.total_ms) for s in found] == [("SELECT $1", 1, 3.0)]
    assert (counted.records, counted.statements, counted.others, counted.rejected) == (4, 1, 2, 1)


def test_stderr_log(tmp_path: Path) -> None:
    """Continuation lines belong to the record before; a fragment at the start belongs to none."""
    text = (
        "end of a statement that began in the file before\n"
        "2026-01-01 10:00:00 UTC [7] app@db LOG:  duration: 2.0 ms  statement: SELECT *\n"
        "\tFROM t\n\tWHERE tenant_id = 5\n"
        "2026-01-01 10:00:00 UTC [7] app@db DETAIL:  parameters: $1 = 'x'\n"
        "2026-01-01 10:00:00 UTC [8] app@db LOG:  statement: SELECT 2\n"
        "2026-01-01 10:00:00 UTC [8] app@db LOG:  duration: 5.0 ms\n"
    )
    path = tmp_path / "postgresql.log"
    path.write_text(text)

    found, counted = read_log(path)

    assert [(s.sql, s.calls, s.total_ms) for s in found] == [
        ("SELECT *\nFROM t\nWHERE tenant_id = 5", 1, 2.0), ("SELECT 2", 1, 5.0),
    ]  # fmt: skip
    assert (counted.records, counted.statements, counted.others, counted.rejected) == (5, 2, 2, 1)


def test_a_log_weighs_the_statements_of_the_audit(tmp_path: Path) -> None:
    """Calls and time of a log end up at the verdict."""
    line = "2026-01-01 10:00:00 UTC [7] LOG:  duration: 2.0 ms  execute s1: SELECT * FROM t WHERE name = $1\n"

    report = run(tmp_path, log=line * 50)

    [found] = report.statements
    assert (found.verdict, found.calls, found.total_ms, found.extra_shard_calls) == ("cross_shard", 50, 100.0, 150)
    assert report.evidence["statements_read"] == 1


def test_gathered_evidence_with_rubbish(tmp_path: Path) -> None:
    """Rows of no kind, half a row, text: each is counted, the rest is used."""
    rows = [
        '{"kind": "gather", "tenant_key": "tenant_id"}',
        '{"kind": "relation", "schema": "app", "name": "t", "relkind": "r", "rows": 5}',
        '{"kind": "column", "relation": "app.t", "name": "tenant_id", "type": "uuid", "not_null": true}',
        '{"kind": "moon"}',
        '{"kind": "relation", "schema": "app"}',
        "[1]",
        "psql: error: connection lost",
        '{"kind": "statement", "sql": "SELECT * FROM app.t WHERE tenant_id = $1", "calls": 3, "total_ms": 1}',
    ]
    path = tmp_path / "evidence.jsonl"
    path.write_text("\n".join(rows))

    report = audit_files(gathered=path)

    assert report.evidence["input_rejected"] == 4
    assert [(s.verdict, s.calls) for s in report.statements] == [("single_shard", 3)]
    assert [t.name for t in report.tables] == ["app.t"]
