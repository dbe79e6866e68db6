"""Calls come out of every kind of log with their parameters, and what is not a call is left out with a reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from migrator.errors import UsageError
from migrator.model.trace import Call
from migrator.shadow import from_log, messages
from migrator.shadow.sampling import Sample

TEXT = "SELECT * FROM t WHERE tenant_id = $1 AND note = $2"
DETAIL = "Parameters: $1 = '42', $2 = 'it''s'"
EXECUTED = f"duration: 2.500 ms  execute S_1: {TEXT}"
VALUES = ("42", "it's")


def read(tmp_path: Path, text: str, name: str = "x.log") -> tuple[list[Call], dict[str, int]]:
    path = tmp_path / name
    path.write_text(text)
    sample = Sample()
    from_log.read([path], sample)
    assert sample.offered == len(sample.calls()) + sum(sample.left_out.values())
    assert sample.records == sample.messages + sum(sample.passed_over.values())
    assert sample.offered >= sample.messages, "of every message at least one statement"
    return sample.calls(), dict(sample.left_out)


def csvlog(*records: tuple[str, str, str, str]) -> str:
    """Records of csvlog: time, process, message, detail."""
    out = io.StringIO()
    for at, pid, message, detail in records:
        fields = [at, "app", "db", pid, "::1", "s", "1", "SELECT", at, "3/1", "0", "LOG", "00000", message, detail]
        csv.writer(out).writerow([*fields, *[""] * 7, "web", "client backend", "", "0"])
    return out.getvalue()


def test_csvlog(tmp_path: Path) -> None:
    at = "2026-01-01 10:00:05.500 UTC"
    calls, left_out = read(tmp_path, csvlog((at, "7", EXECUTED, DETAIL)), "x.csv")

    [call] = calls
    assert (call.sql, call.values, call.session, call.ms, left_out) == (TEXT, VALUES, "0:7", 2.5, {})
    later, _ = read(tmp_path, csvlog(("2026-01-01 10:00:06.500 UTC", "7", EXECUTED, DETAIL)), "y.csv")
    assert later[0].at_s is not None
    assert call.at_s is not None
    assert later[0].at_s - call.at_s == pytest.approx(1.0)


def test_jsonlog(tmp_path: Path) -> None:
    record = {"timestamp": "2026-01-01 10:00:05.500 UTC", "pid": 7, "error_severity": "LOG", "message": EXECUTED}
    calls, _ = read(tmp_path, json.dumps({**record, "detail": DETAIL}) + "\n")

    assert [(c.sql, c.values, c.session, c.ms) for c in calls] == [(TEXT, VALUES, "0:7", 2.5)]
    assert calls[0].at_s is not None


@pytest.mark.parametrize("wrapped", [False, True])
def test_text_and_services_that_wrap_it(tmp_path: Path, wrapped: bool) -> None:
    """The detail is a record of its own, right behind its statement; two sessions are mixed."""
    lines = [
        f"2026-01-01 10:00:05.500 UTC [7] LOG:  {EXECUTED}",
        f"2026-01-01 10:00:05.500 UTC [7] DETAIL:  {DETAIL}",
        "2026-01-01 10:00:05.600 UTC [8] LOG:  duration: 1.000 ms  statement: SELECT *",
        "\tFROM t WHERE tenant_id = 5",
        f"2026-01-01 10:00:05.700 UTC [7] LOG:  {EXECUTED}",
        "2026-01-01 10:00:05.700 UTC [7] DETAIL:  Parameters: $1 = NULL, $2 = 'a",
        "\tb'",
    ]
    text = "".join(json.dumps({"message": each}) + "\n" for each in lines) if wrapped else "\n".join(lines) + "\n"
    calls, left_out = read(tmp_path, text)

    assert [(c.values, c.session, c.ms) for c in calls] == [
        (VALUES, "0:7", 2.5),
        ((), "0:8", 1.0),
        ((None, "a\nb"), "0:7", 2.5),
    ]
    assert calls[1].sql == "SELECT *\nFROM t WHERE tenant_id = 5"
    assert left_out == {}


def test_durations_on_lines_of_their_own(tmp_path: Path) -> None:
    """log_statement with log_duration: each duration belongs to its session's last statement."""
    text = "".join(
        f"2026-01-01 10:00:0{n}.000 UTC [{pid}] LOG:  {message}\n"
        for n, (pid, message) in enumerate(
            (
                (7, "statement: SELECT 1 FROM t"),
                (8, "statement: SELECT 2 FROM t"),
                (8, "duration: 8.000 ms"),
                (7, "duration: 7.000 ms"),
                (7, "statement: SELECT 3 FROM t"),
            )
        )
    )
    calls, _ = read(tmp_path, text)

    assert sorted((c.sql, c.ms) for c in calls) == [
        ("SELECT 1 FROM t", 7.0), ("SELECT 2 FROM t", 8.0), ("SELECT 3 FROM t", None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "detail", "why"),
    [
        (EXECUTED, "", from_log.NO_VALUES),
        (EXECUTED, "Parameters: $1 = '42', $2 = 'it...'", from_log.CUT),
        ("duration: 1.0 ms  plan:\nQuery Text: SELECT 1 FROM t\nResult  (cost=0)", "", from_log.TWICE),
        ("AUDIT: SESSION,1,1,READ,SELECT,,,SELECT 1 FROM t,<none>", "", from_log.TWICE),
        ("duration: 1.0 ms  statement: SELEC 1", "", "PostgreSQL's grammar refuses it"),
    ],
)
def test_what_cannot_be_repeated_is_left_out_with_its_reason(
    tmp_path: Path, message: str, detail: str, why: str
) -> None:
    calls, left_out = read(tmp_path, csvlog(("2026-01-01 10:00:05.500 UTC", "7", message, detail)), "x.csv")

    assert calls == []
    assert left_out == {why: 1}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("statement: BEGIN", messages.TRANSACTION),
        ("statement: /* web */ COMMIT;", messages.TRANSACTION),
        ("statement: SET search_path = app", messages.SESSION),
        ("statement: ;", messages.EMPTY),
        ("duration: 1.0 ms  execute fetch from S_1/C_2: SELECT 1", from_log.FETCH),
        ("duration: 0.1 ms  parse S_1: SELECT 1", ""),
        ("duration: 0.1 ms  bind S_1: SELECT 1", ""),
        ("connection received: host=::1", ""),
    ],
)
def test_what_is_no_call_is_counted(tmp_path: Path, message: str, why: str) -> None:
    """As a statement that is not repeated, or as a record that holds none: `read` adds them up."""
    left_out = {why: 1} if why else {}
    assert read(tmp_path, csvlog(("2026-01-01 10:00:05.500 UTC", "7", message, "")), "x.csv") == ([], left_out)


def test_several_statements_in_one_message(tmp_path: Path) -> None:
    text = "duration: 9.0 ms  statement: BEGIN; UPDATE t SET a = ';' WHERE id = 1;\nDELETE FROM u; COMMIT"
    calls, left_out = read(tmp_path, csvlog(("2026-01-01 10:00:05.500 UTC", "7", text, "")), "x.csv")

    assert [(c.sql, c.ms, c.session) for c in calls] == [
        ("UPDATE t SET a = ';' WHERE id = 1", None, "0:7"),
        ("DELETE FROM u", None, "0:7"),
    ]
    assert left_out == {messages.TRANSACTION: 2}


COLLECTORS: dict[str, Callable[[int], str]] = {
    "compose": lambda n: "db-1  | ",
    "docker": lambda n: f"2026-01-01T10:00:0{n}.123456789Z ",
    "kubectl": lambda n: f"[pod/db-1/postgres] 2026-01-01T10:00:0{n}.123456789Z ",
    "journal": lambda n: f"Jan 01 10:00:0{n} host postgres[1]: ",
}


@pytest.mark.parametrize("collector", COLLECTORS)
def test_what_a_collector_writes_before_every_line_is_in_no_value(tmp_path: Path, collector: str) -> None:
    lines = [
        f"2026-01-01 10:00:05.500 UTC [7] LOG:  {EXECUTED}",
        "2026-01-01 10:00:05.500 UTC [7] DETAIL:  Parameters: $1 = '42', $2 = 'one",
        "\ttwo | three",
        "\t'",
        "2026-01-01 10:00:05.600 UTC [8] LOG:  duration: 1.000 ms  statement: SELECT *",
        "\tFROM t",
    ]
    text = "".join(f"{COLLECTORS[collector](n)}{line}\n" for n, line in enumerate(lines))
    calls, left_out = read(tmp_path, text)

    assert [(c.sql, c.values, c.session) for c in calls] == [
        (TEXT, ("42", "one\ntwo | three\n"), "0:7"),
        ("SELECT *\nFROM t", (), "0:8"),
    ]
    assert left_out == {}


def test_documents_behind_what_a_collector_writes(tmp_path: Path) -> None:
    body = {"logger": "postgres", "record": {"error_severity": "LOG", "session_id": "a.7", "message": EXECUTED}}
    calls, _ = read(tmp_path, f"[pod/db-1/postgres] {json.dumps({**body, 'detail': DETAIL})}\n" * 2)

    assert [(c.values, c.session) for c in calls] == [(VALUES, "0:a.7")] * 2


@pytest.mark.parametrize(
    ("prefix", "session"),
    [
        ("2026-01-01 10:00:05 UTC:10.0.0.1(500):app@db:[7]:", "0:7"),  # RDS and Aurora
        ("2026-01-01 10:00:05 UTC-68f1a2b3.1c-", "0:68f1a2b3.1c"),  # Azure
        ("2026-01-01 10:00:05.500 UTC|app|db|68f1a2b3.1c|", "0:68f1a2b3.1c"),
        ("2026-01-01 10:00:05.500 UTC [68f1a2b3.1c] [7] ", "0:68f1a2b3.1c"),
        ("2026-01-01 10:00:05.500 UTC deadbeef.cafe.example app@db ", ""),
    ],
)
def test_prefixes(tmp_path: Path, prefix: str, session: str) -> None:
    calls, _ = read(tmp_path, f"{prefix}LOG:  {EXECUTED}\n{prefix}DETAIL:  {DETAIL}\n")

    assert [(c.values, c.session) for c in calls] == [(VALUES, session)]


def test_verbose_records_and_narrow_ones(tmp_path: Path) -> None:
    """log_error_verbosity = verbose writes an SQLSTATE; collectors write two spaces as one."""
    at = "2026-01-01 10:00:05.500 UTC [7]"
    text = f"{at} LOG:  00000: {EXECUTED}\n{at} DETAIL:  {DETAIL}\n{at} LOCATION:  exec_execute_message, postgres.c:1\n"
    narrow = f"{at} LOG: duration: 1.0 ms statement: SELECT 1\n{at} LOG:  duration: 1.0 ms  statement: SELECT 'LOG: '\n"
    calls, left_out = read(tmp_path, text + narrow)

    assert [(c.sql, c.values) for c in calls] == [(TEXT, VALUES), ("SELECT 1", ()), ("SELECT 'LOG: '", ())]
    assert left_out == {}


def test_a_document_with_the_parameters_beside_a_line(tmp_path: Path) -> None:
    """As Azure has them: the message with its prefix, its detail in a field of its own."""
    at = "2026-01-01 10:00:05.500 UTC"
    body = {"processId": 7, "timestamp": at, "errorLevel": "LOG", "message": f"{at} [7] LOG:  {EXECUTED}"}
    lines = [{"properties": {**body, "detail": DETAIL.lower()}}, {"properties": {**body, "detail": DETAIL}}]
    calls, _ = read(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))

    assert [(c.values, c.session) for c in calls] == [(VALUES, "0:7")] * 2


def test_an_error_between_gives_its_parameters_to_no_other_call(tmp_path: Path) -> None:
    """Its context has parameters as well; a detail that comes late is its own session's."""
    at = "2026-01-01 10:00:05.500 UTC"
    lines = [
        f"{at} [7] LOG:  {EXECUTED}",
        f"{at} [8] ERROR:  division by zero",
        f"{at} [8] CONTEXT:  unnamed portal with parameters: $1 = '1', $2 = '2'",
        f"{at} [7] DETAIL:  {DETAIL}",
        f"{at} [7] CONTEXT:  unnamed portal with parameters: $1 = '1', $2 = '2'",
    ]
    calls, _ = read(tmp_path, "\n".join(lines) + "\n")

    assert [c.values for c in calls] == [VALUES]


PREPARE = 'PREPARE "p q" (int, text, app.kind, numeric(10,2)[]) AS SELECT * FROM t WHERE id = $1 AND note = $2'
EXECUTE = "statement: EXECUTE \"p q\"(-1, 'it''s', NULL, '{}')"


@pytest.mark.parametrize("told", [False, True])
def test_what_a_session_prepared(tmp_path: Path, told: bool) -> None:
    """By the detail that the server writes with an EXECUTE, or by the PREPARE before it in the same session."""
    at = "2026-01-01 10:00:05.500 UTC"
    first = [] if told else [(at, "7", f"statement: {PREPARE}", "")]
    detail = f"prepare: {PREPARE};" if told else ""
    calls, left_out = read(tmp_path, csvlog(*first, (at, "7", EXECUTE, detail), (at, "8", EXECUTE, "")), "x.csv")

    [call] = calls
    assert (call.sql, call.values) == (PREPARE.partition(" AS ")[2], ("-1", "it's", None, "{}"))
    assert call.types == (23, 25, 0, 1231)
    assert left_out == {messages.NOT_PREPARED: 1} | ({} if told else {messages.PREPARED: 1})


def test_an_argument_that_is_no_constant(tmp_path: Path) -> None:
    at = "2026-01-01 10:00:05.500 UTC"
    records = ((at, "7", "statement: PREPARE p AS SELECT $1", ""), (at, "7", "statement: EXECUTE p(now())", ""))
    assert read(tmp_path, csvlog(*records), "x.csv") == ([], {messages.PREPARED: 1, messages.NO_CONSTANT: 1})


@pytest.mark.parametrize("end", ["cut", "damaged"])
def test_a_torn_archive_is_read_as_far_as_it_goes(tmp_path: Path, end: str) -> None:
    line = "2026-01-01 10:00:05.500 UTC [7] LOG:  duration: 1.0 ms  statement: SELECT {} FROM t\n"
    data = gzip.compress("".join(line.format(n) for n in range(2_000)).encode())
    path = tmp_path / "x.log.gz"
    path.write_bytes(data[: len(data) // 2] + (b"" if end == "cut" else b"\xff" * 1000))
    sample = Sample(most_of_one=10)
    from_log.read([path], sample)

    assert 100 < sample.offered < 2_000
    assert [note.startswith(f"{path}: its end is missing or damaged") for note in sample.notes] == [True]


def test_an_archive_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.log.gz"
    path.write_bytes(gzip.compress(b"LOG:  statement: SELECT 1")[:10])
    with pytest.raises(UsageError, match=r"x\.log\.gz"):
        from_log.read([path], Sample())


def test_a_sample_keeps_so_many_of_each_statement_and_the_order() -> None:
    sample = Sample(most_of_one=5)
    for number in range(100):
        sample.offer(Call(f"SELECT * FROM t WHERE id = {number}", at_s=float(number)))
        if number % 10 == 0:
            sample.offer(Call(f"SELECT * FROM u WHERE id = {number}", at_s=float(number)))
    calls = sample.calls()

    assert len(calls) == 10
    assert sample.statements == 2
    assert [c.at_s for c in calls] == sorted(c.at_s or 0 for c in calls)
    assert sample.left_out == {"more calls of a statement than are kept": 100}


def test_a_sample_is_bounded_in_bytes() -> None:
    """One statement with long values cannot fill the memory, nor one call the trace."""
    sample = Sample(most_bytes=10_000)
    for number in range(100):
        sample.offer(Call(f"SELECT * FROM t{number} WHERE note = $1", ("x" * 900,)))
    sample.offer(Call("SELECT $1", ("x" * 2_000_000,)))

    assert len(sample.calls()) == 10
    assert sample.offered == 101
    assert sum(sample.left_out.values()) == 91
