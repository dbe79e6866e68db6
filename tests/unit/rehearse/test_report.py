"""The rehearsal's verdict and its page: whatever did not hold is said, and the page needs nothing but itself."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from migrator.rehearse.demo import DemoLoad
from migrator.rehearse.facts import Facts, PhaseFact, facts_of
from migrator.rehearse.ledger import Failure, Ledger, Outcome, Read, RowKey, Seen, Write
from migrator.rehearse.ledger_tail import LedgerTail, Traffic
from migrator.rehearse.observer import PhaseSpan, Sample
from migrator.rehearse.proof import Comparison, ReadsChecked, WritesChecked
from migrator.rehearse.result import Event, Record, judge, percentile, report_of
from migrator.rehearse.sizes import demo_tenants
from migrator.report import words
from migrator.report.rehearsal import page
from migrator.report.svg import Scale, nice_ticks, polyline, steps


def record(**changes: Any) -> Record:
    """A rehearsal of a minute in which everything held."""
    tenants = demo_tenants(20, 4000, 100, 1)
    facts = [Facts(True, True, "limitless", "dual", tenants={"mirrored": i}, reading=i, lag_s=0.02) for i in range(20)]
    key = RowKey("orders", "1", "5")
    found = Record(
        plan="demo",
        began=1000.0,
        started_at="2026-01-01 10:00 UTC",
        machine="2 cores",
        ended=1060.0,
        demo=DemoLoad(tuple(tenants), {"app.orders": 4000}, 1.0, True),
        samples=[Sample(1001.0 + i, f, Traffic()) for i, f in enumerate(facts)],
        spans=[PhaseSpan("audit", 1001.0, 1005.0), PhaseSpan("cutover", 1005.0, 1040.0, "wave <2>")],
        events=[Event("limitless_killed", "Limitless crashes", 1010.0, "3 < 4 & more", 1015.0)],
        timings={"rollback_s": 0.2, "rollback_processes": 2, "rollback_confirmed": 2},
        ledger=Ledger(
            writes=[Write("web-1", 1, "update", 1010.0, "classic", (), Outcome.ACKNOWLEDGED, 1010.1, 12.0)],
            reads=[Read("web-1", 1012.0, 1012.01, "limitless", (Seen(key, 1),), 0, 10.0)],
        ),
        comparison=Comparison({"app.orders": 4000}, {"app.orders": 0}),
        writes=WritesChecked(acknowledged=1500, changes=3000, rows=2000),
        reads=ReadsChecked(reads=3000, rows=9000),
        released={"orders.revision": (30, 40), "shipments": (5, 6)},
        quiet_since=1050.0,
        peak_mb=700.0,
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_a_rehearsal_in_which_everything_held_is_ok() -> None:
    """Nothing to say, and report.json says so."""
    report = report_of(record())

    assert judge(record()) == []
    assert report["ok"] is True
    assert {k: report[k] for k in ("acknowledged_writes", "lost_writes", "missed_own_writes", "divergent_rows")} == {
        "acknowledged_writes": 1500,
        "lost_writes": 0,
        "missed_own_writes": 0,
        "divergent_rows": 0,
    }
    assert [p["phase"] for p in report["phases"]] == ["audit", "cutover", "limitless_only"]
    json.dumps(report)


def test_an_accident_that_was_only_played_is_named_on_the_page() -> None:
    """Whoever reads of a server cut off must not believe that it crashed."""
    assert "Left out" not in page(report_of(record()))
    shown = page(report_of(record(left_out=["Limitless was not killed: <network>"])))
    assert "Left out:</b> Limitless was not killed: &lt;network&gt;." in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problems": ["a wait gave up"]}, "a wait gave up"),
        ({"comparison": None}, "not compared"),
        ({"comparison": Comparison({"app.orders": 9}, {"app.orders": 2})}, "2 rows differed"),
        ({"writes": None}, "not checked"),
        ({"writes": WritesChecked(acknowledged=1500, lost=1)}, "1 acknowledged writes are lost"),
        ({"writes": WritesChecked(acknowledged=1500, phantom=1)}, "never committed"),
        ({"writes": WritesChecked(acknowledged=999)}, "only 999"),
        ({"reads": None}, "reads"),
        ({"reads": ReadsChecked(reads=10, missed=1)}, "older than acknowledged"),
        ({"reads": ReadsChecked(reads=10, counted_at_once=1)}, "older than acknowledged"),
        ({"reads": ReadsChecked(reads=10, missed_of_others=1)}, "to another process"),
        ({"released": None}, "deployment"),
        ({"released": {"orders.revision": (30, 4), "shipments": (30, 0)}}, "brought shipments: 30 writes and 0 reads"),
        ({"released": {}}, "deployment"),
        ({"ledger": Ledger(failures=[Failure("web-1", 1055.0, "write", "OSError")])}, "after classic was stopped"),
        ({"ledger": Ledger(failures=[Failure("web-1", 1005.0, "write", "RowVanished")])}, "was missing"),
        (
            {"ledger": Ledger(failures=[Failure("web-1", 1005.0, "read", "ReadStale")])},
            "1 read ended in ReadStale",
        ),
    ],
)
def test_whatever_did_not_hold_is_said(changes: dict[str, Any], said: str) -> None:
    """One broken promise is enough to fail, and its words are in the report and on the page."""
    report = report_of(record(**changes))

    assert report["ok"] is False
    assert any(said in p for p in report["problems"]), report["problems"]
    assert "The rehearsal failed" in page(report)


def test_the_page_needs_nothing_but_itself() -> None:
    """No script, no request, texts escaped, drawings well-formed."""
    html = page(report_of(record()))

    assert not re.search(r"<script|<link|<img|https?://|url\(|@import", html)
    assert "3 &lt; 4 &amp; more" in html
    assert "Nothing was lost" in html
    drawings = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(drawings) == 2
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_a_rehearsal_that_broke_off_early_still_has_a_page() -> None:
    """Without demo, samples and ledger the page says what went wrong."""
    empty = Record("demo", 1.0, "now", "here", ended=2.0, problems=["classic did not start"])

    assert "classic did not start" in page(report_of(empty))


def test_lag_percentiles_leave_the_outage_out() -> None:
    """The outage has its own number."""
    calm = Facts(True, True, "limitless", "dual", lag_s=0.02)
    ill = Facts(True, True, "limitless", "dual", lag_s=6.0)
    samples = [Sample(1000.0 + i, ill if 10 <= i <= 15 else calm, Traffic()) for i in range(30)]
    timings = report_of(record(samples=samples))["timings"]

    assert (timings["lag_p99_s"], timings["lag_max_s"]) == (0.02, 6.0)


def test_the_tail_follows_growing_files(tmp_path: Path) -> None:
    """Half a line is left for the next look."""
    path = tmp_path / "web-1.jsonl"
    tail = LedgerTail(tmp_path)
    ack = '{"k":"outcome","n":1,"t":1.0,"is":"acknowledged","ms":1}\n'
    path.write_text(ack + '{"k":"read","t0":1,"t1":2,"side":"limit')
    assert tail.follow() == Traffic(acknowledged=1)

    with path.open("a") as file:
        file.write('less","rows":[],"missed":2}\n' + '{"k":"failure","t":1,"op":"read","error":"X"}\n')
    assert tail.follow() == Traffic(acknowledged=1, reads_limitless=1, missed=2, failures=1)
    assert tail.total.since(Traffic(acknowledged=1)).reads == 1


def test_facts_name_the_phase_that_is_not_done() -> None:
    """The latest phase that has begun, in the order of the decision."""
    phases = {"cutover": PhaseFact("blocked"), "audit": PhaseFact("done"), "dual_write": PhaseFact("running")}

    assert Facts(phases=phases).current == ("cutover", PhaseFact("blocked"))
    assert Facts().current is None


def test_facts_read_the_answer_of_classic() -> None:
    """The JSON of facts.sql becomes a value with the same names."""
    body = {
        "level": "limitless", "write_mode": "dual", "tenants": {"mirrored": 3}, "units": {"joined": 2},
        "copying": ["a@b", None], "attempts": 2, "copied_rows": 10, "copied_s": 1.5, "moved": 3, "reading": 1,
        "replica": "serving", "reads": {"replica": 9, "writer": 1},
        "fallbacks": [{"scope": "part", "key": "1", "level": "classic", "by": "x", "at": 1.0}], "lag_s": None,
        "applied": 7, "trips": 0, "problems": [], "processes": 2, "incidents": 0, "divergent": 0, "validations": 1,
        "phases": {"audit": {"state": "done", "detail": "", "blockers": [], "next_step": ""}},
    }  # fmt: skip
    facts = facts_of(body)

    assert (facts.reading, facts.moved, facts.copying, facts.lag_s) == (1, 3, ("a@b",), None)
    assert facts.fallbacks[0].key == "1"


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0004, "0.4 ms"), (0.021, "21 ms"), (0.2, "0.20 s"), (12.34, "12.3 s"), (125, "2 min 05 s")],
)
def test_durations_are_said_in_fitting_units(value: float, said: str) -> None:
    """Milliseconds below a tenth of a second, minutes from two on."""
    assert words.seconds(value) == said


def test_drawing_primitives() -> None:
    """Scales clamp, ticks are round and reach the top, lines have gaps, steps hold."""
    assert Scale(0, 10, 0, 100)(5) == 50
    assert Scale(1, 100, 0, 100, log=True)(10) == 50
    assert Scale(0, 10, 0, 100)(99) == 100
    assert nice_ticks(180, 3)[-1] >= 180
    assert polyline([(0, 0), None, (1, 1)]) == "M0.0 0.0M1.0 1.0"
    assert steps([(0, 1), (5, 2)]) == [(0, 1), (5, 1), (5, 2)]
    assert percentile([3, 1, 2], 0.99) == 3
    assert percentile([], 0.5) is None
