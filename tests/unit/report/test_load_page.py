"""The page of a load test: complete, escaped, and right about what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from migrator.report.load import page, verdict

STEP: dict[str, Any] = {
    "rate": 100.0, "seconds": 10.0, "arrived": 1000, "offered": 100.0, "served": 99.0, "p50_ms": 3.0, "p99_ms": 20.0,
    "p999_ms": 80.0, "error_share": 0.0, "abandoned": 0, "generator_cpu": 0.2, "generator_late_ms": 2.0,
    "failure": None, "errors": {},
}  # fmt: skip


def body(**changes: Any) -> dict[str, Any]:
    side = {
        "steps": [STEP, {**STEP, "rate": 200.0, "offered": 201.0, "served": 140.0, "failure": "queue"}],
        "held_per_s": 100.0, "failed_per_s": 201.0, "why": "queue", "generator_limited": False,
        "generator_per_s": 1800.0,
        "statements": [
            {"statement": "<script>alert(1)</script>", "from_rate": 200.0, "ratio": 9.5, "base_ms": 4.0,
             "last_ms": 38.0, "points": [{"rate": 100.0, "calls": 500, "p99_ms": 4.0}]},
        ],
        "connect": None, "seconds": 21.0, "stopped": "",
        "moments": [{"at_s": float(n), "rate": 100.0, "answered": 99, "errors": 0, "waiting": n} for n in range(1, 20)],
    }  # fmt: skip
    found = {
        "peak_per_s": 90.0, "peak_source": "given (--peak)", "seconds": 21.0, "stopped": "", "classic": None,
        "limitless": {
            "offered_per_s": 201.0, "served_per_s": 99.0, "saturation_per_s": 100.0, "errors": {"53300": 3},
            "latency": {"p50_ms": 3.0, "p99_ms": 20.0, "p999_ms": 80.0},
        },
        "details": {
            "plan": "shop", "workload": "Größe & <b>", "at": "2026-11-30T10:00:00+00:00", "who": "Ada", "seed": 1,
            "arrivals": "poisson", "processes": 2, "connections": 32, "storm": True,
            "sessions": {"transactions": 1, "think_s": 0.0}, "writes": "rolled back",
            "bounds": {"p99_ms": 500.0, "error_share": 0.01},
            "transactions": [{"name": "page", "weight": 3.0, "writes": False, "sql": ["SELECT '</pre>'"]}],
            "sides": {"limitless": side}, "notes": ["writes are rolled back"], "uses": [{"rate": 99.0, "acu": 20.0}],
            "projection": {"peak_acu": 60.0, "mean_acu": None, "monthly_usd": None, "least_usd": 3504.0,
                           "enough": False, "assumptions": ["one"]},
        },
    }  # fmt: skip
    found.update(changes)
    return found


def test_a_page_has_everything_and_loads_nothing() -> None:
    html = page(body(stopped="Limitless: 9% of the answers were errors"))

    for part in (
        "Limitless: 100.0/s", "not with 201.0/s", "9% of the answers", "53300 3", "more than limitless.max_acu",
        "3,504.00", "Größe &amp; &lt;b&gt;", "&lt;script&gt;alert(1)", "about 1,800/s", "a new one for each arrival",
    ):  # fmt: skip
        assert part in html, part
    assert "<script" not in html and "http://" not in html and "src=" not in html
    assert html.count("<svg") == 4


def test_nothing_measured_is_a_page_too() -> None:
    empty = body()
    side = empty["details"]["sides"]["limitless"]
    side.update(steps=[], moments=[], statements=[], generator_per_s=None)
    empty["limitless"].update(latency=None, served_per_s=0.0, saturation_per_s=None, errors={})
    empty["details"].update(uses=[], projection=None)

    assert "None was run." in page(empty)


@pytest.mark.parametrize(
    ("of_result", "of_side", "figure", "css"),
    [
        ({}, {}, "100.0/s", "good"),
        ({"saturation_per_s": 50.0}, {}, "50.0/s", "bad"),
        ({"saturation_per_s": None}, {}, "≥ 99.0/s", "good"),
        ({"saturation_per_s": None, "served_per_s": 40.0}, {}, "≥ 40.0/s", "wait"),
        ({"saturation_per_s": None}, {"generator_limited": True}, "≥ 99.0/s", "wait"),
        ({"saturation_per_s": 0.0}, {"held_per_s": None}, "&lt; 201.0/s", "bad"),
        ({"saturation_per_s": None}, {"held_per_s": None, "why": None}, "not known", "wait"),
    ],
)
def test_the_verdict_says_what_is_known(
    of_result: dict[str, Any], of_side: dict[str, Any], figure: str, css: str
) -> None:
    given = body()
    given["limitless"].update(of_result)
    given["details"]["sides"]["limitless"].update(of_side)
    found = verdict(given, "limitless")

    assert (found.figure.replace("<", "&lt;"), found.css) == (figure, css)
