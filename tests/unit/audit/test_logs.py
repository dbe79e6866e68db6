"""Are statements found in a log whatever wraps it? JSON of services, other languages, plans, audit entries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrator.audit.evidence.logs import read_log
from migrator.audit.evidence.statistics_file import read_statistics_file
from migrator.audit.files import audit_files

SQL = "SELECT * FROM t WHERE id = 1"
PREFIX = "2026-01-01 10:00:00 UTC:10.0.0.1(5000):app@db:[7]:"
LINE = f"{PREFIX}LOG:  duration: 2.000 ms  statement: {SQL}"
TIMED = [(SQL, 1, 2.0)]


def read(
    tmp_path: Path, text: str, name: str = "x.log"
) -> tuple[list[tuple[str, float, float | None]], dict[str, int]]:
    """Return the statements of a log with calls and time, and the counts of its records."""
    path = tmp_path / "x.log"
    path.write_text(text)
    found, counted = read_log(path)
    assert counted.records == counted.statements + counted.others + counted.rejected
    counts = {s["sort"]: s["count"] for s in counted.left_out.to_json()} | {"rejected": counted.rejected}
    return [(s.sql, s.calls, s.total_ms) for s in found], counts  # type: ignore[return-value]


# -- JSON of services --------------------------------------------------------------------------

SERVICES = {
    "jsonlog": {"pid": 7, "error_severity": "LOG", "message": LINE.partition("LOG:  ")[2]},
    "filter-log-events": {"events": [{"timestamp": 1, "message": LINE, "eventId": "3"}], "searchedLogStreams": []},
    "subscription": {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "timestamp": 1, "message": LINE}]},
    "insights": {"results": [[{"field": "@timestamp", "value": "2026"}, {"field": "@message", "value": LINE}]]},
    "cloud logging": [{"insertId": "1", "severity": "INFO", "textPayload": LINE, "resource": {"type": "cloudsql"}}],
    "azure": {"category": "PostgreSQLLogs", "properties": {"errorLevel": "LOG", "processId": 7,
              "message": LINE.partition("LOG:  ")[2]}},
    "azure with prefix": {"properties": {"errorLevel": "LOG", "message": LINE}},
    "operator": {"level": "info", "logger": "postgres", "msg": "record", "record": {"process_id": "7",
                 "error_severity": "LOG", "message": LINE.partition("LOG:  ")[2]}},
    "container": {"log": LINE + "\n", "stream": "stderr", "time": "2026-01-01T10:00:00Z"},
    "journal": {"MESSAGE": LINE, "_PID": "7", "PRIORITY": "6"},
    "loki": {"data": {"result": [{"stream": {"job": "pg"}, "values": [["1767261600000000000", LINE]]}]}},
    "search hits": {"hits": {"hits": [{"_source": {"message": LINE, "host": {"name": "db"}}}]}},
    "telemetry": {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": LINE}}]}]}]},
    "json in a text": {"message": json.dumps({"error_severity": "LOG", "message": LINE.partition("LOG:  ")[2]})},
    "statement by itself": {"time": "2026", "db": {"statement": SQL, "duration_ms": 2.0}},
    "generic logger": {"level": "info", "msg": LINE.partition("LOG:  ")[2]},
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_log_in_json(tmp_path: Path, name: str, indent: int | None) -> None:
    """One object on a line, or one document over many lines."""
    found, counts = read(tmp_path, json.dumps(SERVICES[name], indent=indent) + "\n")

    assert found == TIMED
    assert counts == {"rejected": 0}


def test_a_statement_over_several_entries(tmp_path: Path) -> None:
    """Services split a text at its lines; what begins no record belongs to the one before."""
    lines = [f"{PREFIX}LOG:  duration: 2.000 ms  statement: SELECT *", "\tFROM t", "\tWHERE id = 1"]
    text = json.dumps({"events": [{"message": line} for line in lines]})

    assert read(tmp_path, text) == ([("SELECT *\nFROM t\nWHERE id = 1", 1, 2.0)], {"rejected": 0})


def test_objects_without_a_message_are_counted(tmp_path: Path) -> None:
    """An object that holds nothing, and a torn line."""
    good = json.dumps(SERVICES["jsonlog"])

    found, counts = read(tmp_path, f'{good}\n{{"metric": 5}}\n{{"message": "torn\n{good}\n')

    assert found == [(SQL, 2, 4.0)]
    assert counts == {"rejected": 2}


def test_a_csvlog_whose_fields_are_all_quoted(tmp_path: Path) -> None:
    """As a tool writes it that read the log and wrote it again; the file's name says nothing."""
    fields = ["2026-01-01 10:00:00.000 UTC", "u", "d", "7", *[""] * 7, "LOG", "00000", LINE.partition("LOG:  ")[2]]
    text = ",".join(f'"{f}"' for f in (*fields, *[""] * 12)) + "\n"

    assert read(tmp_path, text * 2) == ([(SQL, 2, 4.0)], {"rejected": 0})


@pytest.mark.parametrize("head", ["Jan  1 10:00:00 host postgres[7]: ", "2026-01-01T10:00:00+00:00 app[postgres.7] "])
def test_a_statement_over_lines_of_syslog(tmp_path: Path, head: str) -> None:
    """Syslog repeats its head on every line and counts them: [7-2] is the second of record 7; #011 is a tab."""
    text = f"{head}[7-1] LOG:  statement: SELECT *\n{head}[7-2] #011FROM t\n{head}[7-3] #011WHERE id = 1\n"

    assert read(tmp_path, text) == ([("SELECT *\nFROM t\nWHERE id = 1", 1, None)], {"rejected": 0})


# -- audit entries and plans -------------------------------------------------------------------


def test_audit_entries(tmp_path: Path) -> None:
    """An entry per table of a statement is one execution; quotes and line breaks in the text are kept."""
    text = "".join(
        f"{PREFIX}LOG:  AUDIT: {fields}\n"
        for fields in (
            'OBJECT,1,1,READ,SELECT,TABLE,public.t,"SELECT ""a"", 1\n\tFROM t, u",<not logged>',
            'OBJECT,1,1,READ,SELECT,TABLE,public.u,"SELECT ""a"", 1\n\tFROM t, u",<not logged>',
            "SESSION,2,1,READ,SELECT,,,SELECT 2,<none>",
            "SESSION,3,1,READ,SELECT,,,SELECT 3,<none>",
            "SESSION,4,1,READ,SELECT,,,<previously logged>,<previously logged>",
        )
    )

    found, counts = read(tmp_path, text)

    assert found == [('SELECT "a", 1\nFROM t, u', 1, None), ("SELECT 2", 2, None)]
    assert counts == {"rejected": 0, "audit entries without a text": 1,
                      "statements told once more (their plan, another table)": 1}  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        {"protoPayload": {"request": {"@type": "PgAuditEntry", "auditClass": "READ", "command": "SELECT",
                                      "statement": SQL, "statementId": 1, "substatementId": 1}}},
        {"logger": "pgaudit", "msg": "record", "record": {"process_id": "7", "message": "", "error_severity": "LOG",
                                         "audit": {"audit_type": "SESSION", "statement_id": "1", "class": "READ",
                                                   "substatement_id": "1", "statement": SQL}}},
        {"textPayload": f"{PREFIX}LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,{SQL},<none>"},
        {"message": f"AUDIT: SESSION,1,1,READ,SELECT,,,{SQL},<none>"},
    ],
)  # fmt: skip
def test_audit_entries_in_json(tmp_path: Path, entry: object) -> None:
    """Nested, or as PostgreSQL wrote them; the same entry twice is one execution."""
    assert read(tmp_path, f"{json.dumps(entry)}\n{json.dumps(entry)}\n")[0] == [(SQL, 1, None)]


@pytest.mark.parametrize(
    "plan",
    [
        f"Query Text: {SQL}\n\tSeq Scan on t  (cost=0.00..1.01 rows=1 width=4)\n\t  Filter: (id = 1)",
        f'{{\n\t  "Query Text": "{SQL}",\n\t  "Plan": {{\n\t    "Node Type": "Seq Scan"\n\t  }}\n\t}}',
        f"<explain>\n\t  <Query-Text>{SQL}</Query-Text>\n\t</explain>",
        f'Query Text: "{SQL}"\n\tPlan: \n\t  Node Type: "Seq Scan"',
    ],
)
def test_plans_of_auto_explain(tmp_path: Path, plan: str) -> None:
    """In every format; where the statement is logged too it is one execution."""
    explained = f"{PREFIX}LOG:  duration: 2.000 ms  plan:\n\t{plan}\n"

    assert read(tmp_path, explained)[0] == TIMED
    assert read(tmp_path, explained + LINE + "\n")[0] == TIMED
    assert read(tmp_path, explained * 2)[0] in ([(SQL, 2, 4.0)], TIMED)


# -- languages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"LOG:  Dauer: 2.000 ms  Anweisung: {SQL}\n{PREFIX}FEHLER:  keine Relation\n{PREFIX}ANWEISUNG:  SELECT 9",
        f"LOG:  duración: 2.000 ms  sentencia: {SQL}\n{PREFIX}DETALLE:  parámetros: $1 = '1'",
        f"LOG:  durée : 2.000 ms, instruction : {SQL}\n{PREFIX}DÉTAIL:  paramètres : $1 = '1'",
        f"LOG:  期間: 2.000 ミリ秒  文: {SQL}\n{PREFIX}詳細:  パラメータ: $1 = '1'",
        f"СООБЩЕНИЕ:  продолжительность: 2.000 мс, оператор: {SQL}\n{PREFIX}ПОДРОБНОСТИ:  параметры: $1 = '1'",
        f"日志:  耗时: 2.000 ms  执行 <unnamed>: {SQL}\n{PREFIX}日志:  耗时: 0.100 ms  绑定 <unnamed>: {SQL}",
        f"로그:  실행시간: 2.000 ms  명령 구문: {SQL}\n{PREFIX}로그:  실행시간: 0.100 ms  <unnamed> 구문분석: {SQL}",
        f"LOG:  Dauer: 0.100 ms  Parsen <unnamed>: {SQL}\n{PREFIX}LOG:  Dauer: 2.000 ms  Ausführen <unnamed>: {SQL}",
    ],
)
def test_logs_in_other_languages(tmp_path: Path, text: str) -> None:
    """The words are PostgreSQL's own translations; other records do not become part of a statement."""
    found, counts = read(tmp_path, PREFIX + text + "\n")

    assert found == TIMED
    assert sum(counts.values()) == text.count(PREFIX)


def test_a_language_that_is_not_known_is_named(tmp_path: Path) -> None:
    """Beside others that are, also where only some are in it."""
    other = (
        f"{PREFIX}NAPLÓ:  időtartam: 2.000 ms  utasítás: {SQL}\n{PREFIX}LOG:  időtartam: 2.000 ms  utasítás: {SQL}\n"
    )
    (tmp_path / "x.log").write_text(other + LINE + "\n")
    (tmp_path / "s.sql").write_text("CREATE TABLE t (tenant_id int, id int, PRIMARY KEY (tenant_id, id));")

    report = audit_files(schema=[tmp_path / "s.sql"], logs=[tmp_path / "x.log"], tenant_key="tenant_id")

    found = [f.evidence for f in report.findings if f.rule == "AUD-EVD-01"]
    assert any("2 records hold statements in words that are not known" in text for text in found)


# -- rows of pg_stat_statements ----------------------------------------------------------------

ROWS = 'userid,query,calls,total_exec_time,rows\n1,"SELECT *\nFROM t WHERE id = $1",3,6.5,3\n'


@pytest.mark.parametrize(
    ("text", "statements", "hidden"),
    [
        (ROWS, [("SELECT *\nFROM t WHERE id = $1", 3, 6.5)], 0),
        (ROWS + '2,"SELECT *\nFROM t WHERE id = $1",1,0.5,3\n', [("SELECT *\nFROM t WHERE id = $1", 4, 7.0)], 0),
        ("query;calls;mean_time\nSELECT 1;4;0,5\n<insufficient privilege>;9;1\n", [("SELECT 1", 4, 2.0)], 1),
        ("query\tcalls\nSELECT 1\t4\n", [("SELECT 1", 4, None)], 0),
        ("query|calls|total_time\nSELECT 1|4|8\n(1 row)\n", [("SELECT 1", 4, 8.0)], 0),
        ('[{"query": "SELECT 1", "calls": 4, "total_exec_time": 8}]', [("SELECT 1", 4, 8.0)], 0),
        ('{"query": "SELECT 1", "calls": "4", "total_exec_time": "8"}\n', [("SELECT 1", 4, 8.0)], 0),
    ],
)
def test_rows_of_the_statistics(
    tmp_path: Path, text: str, statements: list[tuple[str, float, float | None]], hidden: int
) -> None:
    """With a header, whatever separates the columns; the rows of one text count together."""
    (tmp_path / "pgss.csv").write_text(text)

    read = read_statistics_file(tmp_path / "pgss.csv")

    assert read is not None and read.problems == []
    assert ([(s.sql, s.calls, s.total_ms) for s in read.statements], read.hidden) == (statements, hidden)


@pytest.mark.parametrize("option", ["statements", "logs"])
def test_statistics_are_a_statement_file_or_a_log(tmp_path: Path, option: str) -> None:
    """Whichever way they are given; a row that cannot be read is counted."""
    (tmp_path / "pgss.csv").write_text(ROWS + "2,torn\n")
    (tmp_path / "s.sql").write_text("CREATE TABLE t (tenant_id int, id int, PRIMARY KEY (tenant_id, id));")

    statements, logs = ([tmp_path / "pgss.csv"], []) if option == "statements" else ([], [tmp_path / "pgss.csv"])
    report = audit_files(schema=[tmp_path / "s.sql"], statements=statements, logs=logs, tenant_key="tenant_id")

    assert [(s.verdict, s.calls) for s in report.statements] == [("cross_shard", 3)]
    assert report.evidence["inputs"][str(tmp_path / "pgss.csv")] == {"rows": 2, "rejected": 1, "distinct": 1}


def test_other_files_are_no_statistics(tmp_path: Path) -> None:
    """A statement that selects the view's columns is one."""
    (tmp_path / "q.sql").write_text("SELECT query, calls FROM pg_stat_statements;\n")

    assert read_statistics_file(tmp_path / "q.sql") is None
