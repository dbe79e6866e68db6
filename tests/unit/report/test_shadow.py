"""The page and the terminal show what a shadow run found, and nothing of a statement's text acts on either."""

from __future__ import annotations

from typing import Any

import pytest

from migrator.report.shadow import lines, page, rows

EVIL = "SELECT '<script>alert(1)</script>' \u202e FROM t"


def body(**more: Any) -> dict[str, Any]:
    latency = {"p50_ms": 1.25, "p99_ms": 9.5, "p999_ms": 99.75}
    return {
        "statements": [
            {"fingerprint": "q-1", "text": "SELECT 1 FROM t", "calls": 400, "classic": latency, "limitless": latency,
             "classic_errors": {}, "limitless_errors": {}, "shards": "1", "compared": 20, "differing": 0,
             "write": False, "pace": {"p50": "too_few", "p99": "not_slower", "p999": "too_few"}},
            {"fingerprint": "q-2", "text": EVIL, "calls": 7, "classic": None, "limitless": latency,
             "classic_errors": {}, "limitless_errors": {"0A000": 7}, "shards": "many", "compared": 0, "differing": 0,
             "write": True, "pace": None},
        ],
        "source": "log", "seconds": 12.5, "tenants": 3, "writes": "rolled_back", "skipped": 4, "stopped": "",
        **more,
    }  # fmt: skip


FOUND: dict[str, Any] = {
    "findings": [{"fingerprint": "q-2", "kind": "error_only_there", "text": "7 of 7 calls fail"}],
    "details": [
        {"fingerprint": "q-2", "not_compared": ["now()"], "errors": {"0A000": "no"}}
    ],
    "left_out": {"COPY is not repeated": 4},
    "notes": ["a note"],
    "round_trip_ms": {"classic": 0.5, "limitless": 1.5},
    "at": "2026-01-01T00:00:00+00:00",
    "who": "Ada",
    "stopped": "classic is in trouble",
}  # fmt: skip


def test_what_was_found_comes_first() -> None:
    shown = page(body(**FOUND))

    assert "<script>" not in shown and "\u202e" not in shown
    assert shown.index("q-2") < shown.index("q-1")
    for text in ("1 finding", "7 of 7 calls fail", "not compared: now()", "too few to say", "a note", "is in trouble",
                 "COPY is not repeated", "rolled back", "classic 0.5 ms, Limitless 1.5 ms", "20 of 20"):  # fmt: skip
        assert text in shown
    before, after = lines(body(**FOUND))
    assert before[-1] == "stopped: classic is in trouble"
    assert after[0] == "1 finding:" and after[1] == "- q-2 fails on Limitless: 7 of 7 calls fail"
    assert "too few calls, or too uneven, to say whether slower: q-1" in after
    assert rows(body(**FOUND))[1][0] == ("q-2", "7", "– → 1.2", "– → 9.5", "7", "many", "–")


def test_a_result_alone_has_a_page_too() -> None:
    assert "Nothing found, 1 statement undecided" in page(body())


def test_nothing_found_says_how_far_it_goes() -> None:
    """Of a run that was stopped, or repeated nothing, no page says that nothing is worse."""
    assert "Stopped early, nothing found yet" in page(body(stopped="classic is in trouble"))
    assert lines(body(statements=[]))[1] == ["Nothing was repeated."]
    assert '<div class="verdict good">' not in page(body())
    [sure, _] = body()["statements"]
    sure["pace"]["p50"] = "not_slower"
    assert lines(body(statements=[sure]))[1] == ["Nothing is worse on Limitless."]
    assert '<div class="verdict good">' in page(body(statements=[sure]))
    assert lines(body())[1][0] == "Nothing found, 1 statement undecided."


def test_another_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="statements"):
        page({"verdict": "clean"})
