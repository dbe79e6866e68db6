"""Calls come out of every kind of log with their parameters, and what is not a call is left out with a reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from migrator.model.trace import Call
from migrator.shadow import from_log
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
    "message",
    ["statement: BEGIN", "statement: SET search_path = app", "duration: 1.0 ms  execute fetch from S_1/C_2: SELECT 1",
     "duration: 0.1 ms  parse S_1: SELECT 1", "duration: 0.1 ms  bind S_1: SELECT 1", "connection received: host=::1"],
)  # fmt: skip
def test_what_is_no_call_is_passed_over(tmp_path: Path, message: str) -> None:
    assert read(tmp_path, csvlog(("2026-01-01 10:00:05.500 UTC", "7", message, "")), "x.csv") == ([], {})


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
