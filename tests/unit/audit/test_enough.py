"""Nothing seen is not nothing wrong: an audit without evidence does not pass, and says what it did not see."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.cli.app import run_command
from tests.unit.audit.cases import plan

SCHEMA = "CREATE TABLE t (tenant_id uuid NOT NULL, id bigint, PRIMARY KEY (tenant_id, id));\n"
STATEMENT = "SELECT * FROM t WHERE tenant_id = 1;\n"
LINE = "2026-01-01 10:00:00 UTC [7] LOG:  duration: 2.0 ms  statement: SELECT * FROM t WHERE tenant_id = 1\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A schema and a statement with which nothing is wrong."""
    monkeypatch.chdir(tmp_path)
    Path("s.sql").write_text(SCHEMA)
    Path("q.sql").write_text(STATEMENT)
    return tmp_path


def missing(report: AuditReport) -> dict[str, str]:
    assert [f.object for f in report.findings if f.severity.value == "blocker"] == [
        f.object for f in report.findings if f.rule == "AUD-EVD-05"
    ]
    return {f.object: f.evidence for f in report.findings if f.rule == "AUD-EVD-05"}


def audit(schema: str = "s.sql", *, statements: str = "q.sql", log: str = "", key: str = "tenant_id") -> AuditReport:
    return audit_files(
        schema=[Path(schema)],
        statements=[Path(statements)] if statements else [],
        logs=[Path(log)] if log else [],
        tenant_key=key,
    )


def test_enough_is_enough(files: Path) -> None:
    """The evidence that the other tests take away."""
    Path("x.log").write_text(LINE)

    assert missing(audit(log="x.log")) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n-- nothing here\n/* nor here */\n", "holds no statement"),
        (b"\\i tables.sql\n", "holds no statement"),
        (b"PGDMP\x01\x0e\x00", "custom format"),
        (b"PK\x03\x04zip", "zip archive"),
        (b"\x28\xb5\x2f\xfdzstd", "zstd"),
        (b"x" * 257 + b"ustar" + b"\x00" * 100, "tar archive"),
        (b"\x7fELF\x02\x00\x00", "binary file"),
        (gzip.compress(b"PGDMP\x00"), "custom format"),
        (gzip.compress(b""), "is empty"),
        (b"create_table :orders do |t|\n  t.bigint :id\nend;\nadd_index :t;\n" + SCHEMA.encode(), "fewer than half"),
        (b"CREATE TABLE `t` (`tenant_id` int) ENGINE=InnoDB;", "fewer than half"),
    ],
    ids=[
        "empty", "comments", "includes", "custom", "zip", "zstd", "tar", "binary", "custom in gzip", "nothing in gzip",
        "another language", "another dialect",
    ],
)  # fmt: skip
def test_a_schema_that_was_not_read_does_not_pass(files: Path, content: bytes, said: str) -> None:
    """Empty, binary, packed, another language: whatever the name of the file says, and beside a good one too."""
    Path("bad.sql").write_bytes(content)

    beside = audit_files(schema=[Path("bad.sql"), Path("s.sql")], statements=[Path("q.sql")], tenant_key="tenant_id")

    assert said in missing(audit("bad.sql"))["bad.sql"]
    assert said in missing(beside)["bad.sql"]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(SCHEMA.encode()), SCHEMA.encode("utf-16"), SCHEMA.encode("utf-16-le"), SCHEMA.encode("utf-16-be"),
        SCHEMA.encode("utf-8-sig"), SCHEMA.encode("utf-32"), gzip.compress(SCHEMA.encode("utf-16")),
    ],
    ids=["gzip", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "gzip of utf-16"],
)  # fmt: skip
def test_text_is_read_whatever_it_is_wrapped_in(files: Path, content: bytes) -> None:
    """Told by the bytes, not by the name."""
    Path("dump.sql").write_bytes(content)
    Path("x.log").write_bytes(gzip.compress(LINE.encode("utf-16")))

    report = audit("dump.sql", log="x.log")

    assert missing(report) == {}
    assert [t.name for t in report.tables] == ["public.t"]
    assert len(report.statements) == 2


@pytest.mark.parametrize("statements", ["", "none.sql"])
def test_no_statement_does_not_pass(files: Path, statements: str) -> None:
    """Not asked for, or asked for and not there."""
    Path("none.sql").write_text("-- to be written\n")

    assert "no statement of the application" in missing(audit(statements=statements))["statements"]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("nothing that a server writes\n" * 5, "fewer than half"),
        (LINE + "2026-01-01 10:00:00 UTC [7] LOG:  checkpoint starting: time\n", None),
        ("2026-01-01 10:00:00 UTC [7] LOG:  checkpoint starting: time\n", "checkpoint starting"),
        ("2026-01-01 10:00:00 UTC [7] LOG:  időtartam: 2.000 ms  utasítás: SELECT 1\n", "utasítás"),
        ("rubbish\nrubbish\n" + LINE, "1 of 3 records were understood"),
        ("", "is empty"),
    ],
)
def test_a_log_of_which_little_was_understood_does_not_pass(files: Path, log: str, said: str | None) -> None:
    """Fewer than half of its records, or none with a statement, as where log_statement is off."""
    Path("x.log").write_text(log)

    report = audit(log="x.log")

    assert missing(report) == {} if said is None else said in missing(report)["x.log"]


def test_what_a_log_left_out_is_counted_with_an_example(files: Path) -> None:
    """By sort: the first of each with its line."""
    Path("x.log").write_text(
        LINE
        + "2026-01-01 10:00:00 UTC [7] LOG:  checkpoint starting: time\n"
        + "2026-01-01 10:00:00 UTC [7] LOG:  checkpoint complete\n"
        + "2026-01-01 10:00:00 UTC [7] ERROR:  relation does not exist\n"
    )

    evidence = audit(log="x.log").evidence

    assert evidence["inputs"]["x.log"] == {"records": 4, "rejected": 0, "statements": 1, "distinct": 1, "others": 3}
    assert evidence["left_out"]["x.log"] == [
        {"sort": "messages of the server", "count": 2, "first": "checkpoint starting: time", "source": "x.log:2"},
        {"sort": "ERROR records", "count": 1, "first": "relation does not exist", "source": "x.log:4"},
    ]


def test_what_a_schema_left_out_is_counted_with_an_example(files: Path) -> None:
    """Data and privileges are of no interest; how much of them there was is said."""
    data = "INSERT INTO t VALUES (1, 2);\nINSERT INTO t VALUES (1, 3);\n"
    Path("s.sql").write_text(SCHEMA + data)

    evidence = audit().evidence

    assert evidence["inputs"]["s.sql"] == {"statements": 3, "rejected": 0}
    assert evidence["left_out"]["s.sql"] == [
        {"sort": "Insert", "count": 2, "first": "INSERT INTO t VALUES (1, 2)", "source": "s.sql:2"}
    ]


@pytest.mark.parametrize(
    "nothing",
    [
        "SELECT 1;", "BEGIN; SET x.y = 1; COMMIT;", "SELECT relname FROM pg_class; SHOW search_path;",
        "SELECT * FROM wp_posts WHERE id = 1; DELETE FROM wp_users;", "SELECT now(), version();",
        "WITH x AS (SELECT 1 AS tenant_id) SELECT * FROM x WHERE tenant_id = 1;",
    ],
    ids=["ping", "session", "catalog", "another application", "functions", "a name alone"],
)  # fmt: skip
def test_statements_that_touch_no_table_of_the_schema_do_not_pass(files: Path, nothing: str) -> None:
    """In whichever way they are given: they are read, and show nothing of the application."""
    Path("n.sql").write_text(nothing)
    command = ["audit", "--schema", "s.sql", "--tenant-key", "tenant_id", "--fail-on", "blocker", "--statements"]

    assert "read touches a table of the schema" in missing(audit(statements="n.sql"))["statements"]
    assert run_command([*command, "n.sql"]) == 3
    Path("n.sql").write_text(nothing + STATEMENT)
    assert missing(audit(statements="n.sql")) == {}


def test_a_folder_of_statements_is_read_as_its_files_are(files: Path) -> None:
    Path("queries/sub").mkdir(parents=True)
    Path("queries/a.sql").write_text(STATEMENT)
    Path("queries/sub/b.sql").write_text("-- name: other\nSELECT * FROM t;\n")
    Path("queries/read.me").write_text("no SQL")
    report = audit(statements="queries")

    assert [s.verdict for s in report.statements] == ["single_shard", "cross_shard"]
    assert report.statements[1].name == "other"
    assert missing(report) == {}


def test_statements_of_another_dialect_do_not_pass(files: Path) -> None:
    """Fewer than half can be parsed."""
    other = "SELECT TOP 5 * FROM t;\nSELECT [a] FROM t WHERE;\n"
    Path("q.sql").write_text(other + STATEMENT)

    assert "2 of 3 statements" in missing(audit())["q.sql"]


def test_a_schema_without_tables_or_without_the_key_does_not_pass(files: Path) -> None:
    """All tables dropped, none made, another schema than the plan's, or a key that no table has."""
    Path("gone.sql").write_text(SCHEMA + "ALTER TABLE t RENAME TO u;\nDROP TABLE u;\n")
    Path("other.sql").write_text("CREATE TABLE app.t (tenant_id int, id int);\n")
    elsewhere = audit_files(schema=[Path("other.sql")], statements=[Path("q.sql")], plan=plan({}))

    assert "holds no table" in missing(audit("gone.sql"))["tables"]
    assert "holds no table" in missing(elsewhere)["tables"]
    assert "no table has a column org_id" in missing(audit(key="org_id"))["tenant key"]


def test_it_passes_when_somebody_says_so(files: Path) -> None:
    """Exit 3 until the finding is acknowledged by its id, in a baseline or in the plan; the report says who."""
    command = ["audit", "--schema", "s.sql", "--tenant-key", "tenant_id", "--fail-on", "blocker"]
    Path("a.toml").write_text('[[acknowledged]]\nid = "AUD-EVD-05:statements"\nby = "Ada"\nwhy = "schema only"\n')
    planned = plan({})
    gates = planned.gates.model_copy(update={"acknowledged": ["AUD-EVD-05:statements"]})

    assert run_command(command) == 3
    assert run_command([*command, "--baseline", "a.toml"]) == 0
    assert audit_files(schema=[Path("s.sql")], plan=planned).blockers()
    assert audit_files(schema=[Path("s.sql")], plan=planned.model_copy(update={"gates": gates})).blockers() == []
