"""migrator load: from a workload on a file to a result that gates read, and the ways it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.model.traffic_test import LoadResult
from tests.fixtures.operator import Done, Operator
from tests.fixtures.postgres import Machines
from tests.fixtures.rows import value
from tests.fixtures.shop import CASCADES, FILL, PLAN, Shop, copy_of_shop, schema
from tests.fixtures.world import build

pytestmark = [pytest.mark.pg, pytest.mark.once]

PLAN_TOML = """
name = "shop"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
min_acu = 16
[tables]
schemas = ["shop"]
[tables.table]
"shop.line" = { kind = "sharded", via = "purchase_id -> shop.purchase.id" }
"shop.remark" = { kind = "sharded", via = "line_id -> shop.line.id" }
"shop.currency" = { kind = "reference" }
[cost]
acu_hour_usd = 0.2
"""

WORKLOAD = """
name = "shop"
peak_per_s = 60

[pools.purchases]
sql = "SELECT tenant_id, id FROM shop.purchase"

[[transaction]]
name = "order page"
weight = 3
[[transaction.statement]]
sql = "SELECT * FROM shop.purchase WHERE tenant_id = $1 AND id = $2"
parameters = ["tenant", { pool = "purchases", column = 2 }]
[[transaction.statement]]
sql = "SELECT count(*) FROM shop.purchase WHERE tenant_id = $1"
parameters = ["tenant"]

[[transaction]]
name = "order"
weight = 1
writes = true
[[transaction.statement]]
sql = "INSERT INTO shop.purchase (id, tenant_id, total) VALUES ($1, $2, $3)"
parameters = ["unique", "tenant", { integer = [1, 100] }]
"""

QUICK = (
    "--rates", "60", "--seconds", "1.2", "--warm-up", "0.3", "--connections", "4", "--processes", "1", "--even",
    "--p99-ms", "20000", "--stop-p99-ms", "60000", "--refine", "0",
)  # fmt: skip

SIDES = "INSERT INTO shop.tenant SELECT g, 'tenant ' || g FROM generate_series(1, 12) g"
PURCHASES = (
    "INSERT INTO shop.purchase (tenant_id, id, slot, total)"
    " SELECT CASE WHEN g % 3 = 0 THEN 1 ELSE 1 + g % 12 END, g, g, g FROM generate_series(1, 600) g"
)


@pytest.fixture(scope="module")
def shop(machines: Machines) -> Iterator[Shop]:
    """The shop with rows of its tenants on both sides, and the tool's own facts of them."""
    ddl = schema(CASCADES) + FILL
    with copy_of_shop(machines, "shop", lambda classic, limitless: build(classic, limitless, PLAN, ddl)) as made:
        made.limitless.execute(SIDES)
        made.limitless.execute(PURCHASES)
        made.classic.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, rows, writes)"
            " SELECT tenant_id, 1, 'mirrored', count(*), count(*) FROM shop.purchase GROUP BY tenant_id"
        )
        yield made


@pytest.fixture
def operator(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setattr("migrator.load.watch.BEFORE_S", 0.2)
    (tmp_path / "plan.toml").write_text(PLAN_TOML)
    (tmp_path / "shop.toml").write_text(WORKLOAD)
    environment = {"A": shop.classic_dsn, "B": shop.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    return Operator(tmp_path, environment)


def workload(operator: Operator) -> str:
    return str(operator.home / "shop.toml")


def ended(done: Done) -> Any:
    """The JSON of a test that ran. On a machine that is too busy the generator is at its limit: then it says so."""
    assert done.code == (3 if done.json["stopped"] else 0), (done.out[-2000:], done.err)
    assert "generator" in done.json["stopped"] or not done.json["stopped"]
    return done.json


def reports(shop: Shop) -> int:
    return int(value(shop.classic, "SELECT count(*) FROM migrator.report WHERE kind = 'load'"))


def test_a_test_ends_in_a_result_that_gates_read(operator: Operator, shop: Shop) -> None:
    """Offered, served, latencies and cost; kept, logged, shown as text, as JSON and as a page; nothing was written."""
    before = value(shop.limitless, "SELECT count(*) FROM shop.purchase")
    html = operator.home / "load.html"

    done = operator("load", "run", workload(operator), *QUICK, "--html", str(html), "--as", "Größe", "--json", "--yes")

    body = ended(done)
    result = LoadResult.from_json(body)
    assert (result.peak_per_s, result.classic) == (60, None)
    assert result.limitless.offered_per_s == pytest.approx(60, rel=0.05)
    assert result.limitless.errors == {} and result.limitless.latency is not None
    assert value(shop.limitless, "SELECT count(*) FROM shop.purchase") == before, "rolled back"

    details = body["details"]
    assert [step["rate"] for step in details["sides"]["limitless"]["steps"]] == [60]
    assert details["projection"]["least_usd"] == pytest.approx(16 * 1.667 * 730 * 0.2, rel=0.2)
    assert any("rolled back" in note for note in details["notes"]) and details["writes"] == "rolled back"
    assert value(
        shop.classic,
        "SELECT who || ': ' || reason FROM migrator.decision WHERE kind = 'load.tested' ORDER BY id DESC LIMIT 1",
    ).startswith("Größe: holds ")

    shown, again = operator("load", "report"), operator("load", "report", "--json")
    assert shown.code == again.code == 0 and again.json == body
    assert "Limitless: " in shown.out and "shop, plan shop" in shown.out
    page = html.read_text()
    assert "Where it stops to keep up" in page and "order page" in page and page.count("<svg") >= 3
    assert operator("report", "load").code == 0


def test_a_dry_run_offers_nothing(operator: Operator, shop: Shop) -> None:
    """But it tries each transaction once, and says how much would be offered."""
    kept = reports(shop)
    done = operator("load", "run", workload(operator), *QUICK, "--classic-up-to", "50", "--dry-run")

    assert done.code == 0, done.err
    assert "Offer Limitless about 90 transactions" in done.out
    assert "Offer classic about 75 transactions" in done.out and "to 50/s" in done.out
    assert reports(shop) == kept


def test_classic_is_asked_about_and_bounded(operator: Operator, shop: Shop) -> None:
    """Loaded only where it is said, up to a bound, and never without a yes."""
    asked = operator("load", "run", workload(operator), *QUICK, "--classic-up-to", "50")
    assert asked.code == 2 and "--yes" in asked.err and asked.out == ""

    done = operator(
        "load", "run", workload(operator), *QUICK, "--rates", "60,80", "--seconds", "1", "--classic-up-to", "60",
        "--stop-cpu-pct", "100", "--stop-sessions", "1000", "--yes", "--json",
    )  # fmt: skip

    result = LoadResult.from_json(ended(done))
    assert result.classic is not None and result.classic.offered_per_s <= 64
    assert [s["rate"] for s in done.json["details"]["sides"]["classic"]["steps"]] == [60]
    assert any("watched by" in note for note in done.json["details"]["notes"])


def test_what_may_not_run_is_refused_with_every_reason(operator: Operator, shop: Shop) -> None:
    kept = reports(shop)
    done = operator("load", "run", workload(operator), *QUICK, "--commit", "--yes", "--json")
    assert done.code == 3 and len(done.json["blockers"]) == 2
    assert any("schema migrator" in line for line in done.json["blockers"])

    shop.classic.execute(
        "INSERT INTO migrator.route (tenant_id, part, level, epoch, changed_by, reason)"
        " VALUES ('1', 1, 'limitless', 1, 't', '')"
    )
    try:
        done = operator("load", "run", workload(operator), *QUICK, "--yes")
        assert done.code == 3 and "--limitless-up-to" in done.err
    finally:
        shop.classic.execute("DELETE FROM migrator.route")

    many = operator("load", "run", workload(operator), *QUICK, "--connections", "90000", "--yes")
    assert many.code == 3 and "90,000 connections are wanted" in many.err
    assert reports(shop) == kept


def test_the_wrong_server_is_refused(operator: Operator, shop: Shop) -> None:
    done = operator("load", "run", workload(operator), *QUICK, "--limitless", "env:A", "--yes")

    assert done.code == 3 and "not Aurora Limitless" in done.err


def test_one_test_at_a_time(operator: Operator, shop: Shop) -> None:
    with psycopg.connect(shop.classic_dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x6D69676F,))
        done = operator("load", "run", workload(operator), *QUICK, "--yes")

    assert done.code == 3 and "another load test" in done.err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("shop.purchase WHERE tenant_id = $1 AND", "shop.nowhere WHERE tenant_id = $1 AND"), "42P01"),
        (("writes = true", "writes = false"), "writes = true"),
        (('"SELECT tenant_id, id FROM shop.purchase"', '"SELECT 1, 2 WHERE false"'), "pool purchases"),
        (("[pools.purchases]", '[tenants]\nonly = ["4711"]\n[pools.purchases]'), "there is no tenant 4711"),
    ],
)
def test_a_workload_that_does_not_fit_is_named(operator: Operator, change: tuple[str, str], expected: str) -> None:
    path = operator.home / "wrong.toml"
    path.write_text(WORKLOAD.replace(*change))

    done = operator("load", "run", str(path), *QUICK, "--yes")

    assert done.code in (2, 3) and expected in done.err, done.err
    assert "unexpected" not in done.err


def test_bad_input_is_one_message(operator: Operator) -> None:
    path = operator.home / "bad.toml"
    path.write_text("[[transaction]]\nname = 'x'\nwieght = 3\n[[transaction.statement]]\nsql = 'SELECT $2'\n")
    done = operator("load", "run", str(path), "--peak", "5", "--json")

    assert done.code == 2 and len(done.json["problems"]) == 2 and "did you mean weight" in done.out
    for words in (
        ("missing.toml",), (workload(operator), "--rates", "5,x"), (workload(operator), "--classic", "env:A"),
        (workload(operator), "--processes", "9", "--connections", "2"), (workload(operator), "--limitless", "nonsense"),
    ):  # fmt: skip
        assert operator("load", "run", *words, "--yes").code == 2, words


def test_a_report_that_is_not_there_or_not_understood(operator: Operator, shop: Shop) -> None:
    shop.classic.execute("DELETE FROM migrator.report WHERE kind = 'load'")
    none = operator("load", "report")
    shop.classic.execute("INSERT INTO migrator.report (kind, body) VALUES ('load', '{\"peak_per_s\": 1}')")
    half = operator("load", "report")
    shop.classic.execute("DELETE FROM migrator.report WHERE kind = 'load'")

    assert none.code == half.code == 2
    assert "no load test is stored yet" in none.err and "cannot be read" in half.err


def test_a_workload_of_a_trace_runs(operator: Operator, shop: Shop) -> None:
    """What was captured is offered with the values that it had."""
    path = operator.home / "shop.trace"
    lines: list[dict[str, Any]] = [{"migrator_trace": 1, "source": "csvlog"}]
    lines += [
        {"sql": "SELECT * FROM shop.purchase WHERE tenant_id = $1 AND id = $2", "values": [str(1 + n % 12), str(n)]}
        for n in range(1, 40)
    ]
    lines += [{"sql": "UPDATE shop.purchase SET total = $2 WHERE tenant_id = $1", "values": ["2", None]}]
    lines += [{"sql": "VACUUM"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"sql": "SELE')

    drafted = operator("load", "workload", "--trace", str(path), "--json")
    made = operator.home / "traced.toml"
    made.write_text(drafted.json["toml"])
    done = operator("load", "run", str(made), *QUICK, "--peak", "40", "--dry-run")

    assert drafted.code == 0 and drafted.json["statements"] == 1 and len(drafted.json["left_out"]) == 2
    assert done.code == 0 and "Offer Limitless about" in done.out, done.err
    torn = operator.home / "torn.trace"
    torn.write_text('{"migrator_trace": 9}\n')
    assert operator("load", "workload", "--trace", str(torn)).code == 2


def test_a_workload_of_statistics_runs(operator: Operator, shop: Shop) -> None:
    """Weights are the calls that were counted; values come from the tables. Without the extension that is said."""
    none = operator("load", "workload")
    assert none.code == 2 and "pg_stat_statements" in none.err

    shop.classic.execute("CREATE EXTENSION pg_stat_statements SCHEMA public")
    with psycopg.connect(shop.classic_dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as application:
        for number in range(7):
            application.execute("SELECT total FROM shop.purchase WHERE tenant_id = $1 AND id = $2", (1, number))
        application.execute("UPDATE shop.tenant SET name = $1 WHERE tenant_id = $2", ("x", 1))
    drafted = operator("load", "workload")
    made = operator.home / "drafted.toml"
    made.write_text(drafted.out)
    done = operator("load", "run", str(made), *QUICK, "--peak", "60", "--dry-run")

    assert drafted.code == done.code == 0, (drafted.out, drafted.err, done.err)
    assert "weight = 7" in drafted.out and '"shop.purchase"' in drafted.out and "migrator.plan" not in drafted.out
    assert "writes are rolled back" in done.out, "the UPDATE is among them"
