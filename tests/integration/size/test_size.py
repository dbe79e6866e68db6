"""migrator size asks both servers, before dual write and while it runs, and says what is unknown."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.fixtures.operator import Operator
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg

PLAN = """
name = "shop"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[tables]
schemas = ["shop"]
[tables.table]
"shop.line" = { kind = "sharded", via = "purchase_id -> shop.purchase.id" }
"shop.remark" = { kind = "sharded", via = "line_id -> shop.line.id" }
"shop.currency" = { kind = "reference" }
[backfill]
mb_per_s = 10
"""


@pytest.fixture
def operator(shop: Shop, tmp_path: Path) -> Operator:
    (tmp_path / "plan.toml").write_text(PLAN)
    environment = {"A": shop.classic_dsn, "B": shop.limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    return Operator(tmp_path, environment)


def figures(body: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return {str(figure["name"]): figure["value"] for figure in body["figures"]}


def test_each_figure_is_measured(operator: Operator, shop: Shop) -> None:
    shop.classic.execute("ANALYZE")
    with psycopg.connect(shop.classic_dsn, application_name="web"):
        done = operator("size", "--processes", "7", "--row-writes", "1000", "--json")
        text = operator("size", "--processes", "7", "--row-writes", "1000")

    assert done.code == text.code == 0, (done.out, text.err)
    known = done.json["known"]
    counted = shop.classic.execute(
        "SELECT sum(n) FROM (SELECT count(*) n FROM shop.tenant UNION ALL SELECT count(*) FROM shop.purchase"
        " UNION ALL SELECT count(*) FROM shop.line UNION ALL SELECT count(*) FROM shop.remark"
        " UNION ALL SELECT count(*) FROM shop.currency) AS c"
    ).fetchone()
    assert counted is not None and known["rows"] == int(counted[0])
    assert known["classic"]["others"] >= 1 and known["limitless"]["most"] > 10
    assert figures(done.json)["dual_write.parts"] == 1
    assert "connections on classic" in text.out and "docs/performance.md" in text.out


def test_tables_that_were_never_analysed_are_named(operator: Operator, shop: Shop) -> None:
    with shop.classic.transaction():  # of its own, so no autovacuum has seen it
        shop.classic.execute("CREATE TABLE shop.fresh (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)")
        shop.classic.execute("ALTER TABLE shop.fresh SET (autovacuum_enabled = off)")
    shop.classic.execute("INSERT INTO shop.fresh VALUES (1, 1)")
    done = operator("size", "--processes", "7", "--row-writes", "1000", "--json")

    assert done.code == 3 and any("ANALYZE" in problem for problem in done.json["problems"])
    assert figures(done.json)["memory of a worker"] is None


def test_what_nobody_said_and_nothing_measured_is_unknown(operator: Operator, shop: Shop) -> None:
    """No process has a shim yet, and Limitless is not there."""
    shop.classic.execute("ANALYZE")
    done = operator("size", "--seconds", "0.1", "--json", B="postgresql://127.0.0.1:1/none")
    text = operator("size", "--seconds", "0.1", B="postgresql://127.0.0.1:1/none")

    assert done.code == text.code == 3
    assert figures(done.json)["connections on classic"] is None
    assert any("--processes" in problem for problem in done.json["problems"])
    assert any("does not answer" in problem for problem in done.json["problems"])
    assert "Limitless is not asked" in done.err and "--processes" in text.err


def test_row_writes_are_those_of_now_or_the_mean(operator: Operator, shop: Shop) -> None:
    shop.classic.execute("ANALYZE")
    shop.classic.execute("SELECT pg_stat_force_next_flush()")
    shop.classic.execute("UPDATE shop.purchase SET total = total + 1")
    done = operator("size", "--processes", "1", "--seconds", "0.1", "--json")

    assert done.code == 0, done.out
    assert done.json["known"]["row_writes_per_s"] >= 0 and "no peak" in done.json["known"]["row_writes_source"]


def test_an_option_that_makes_no_sense_is_refused(operator: Operator) -> None:
    assert operator("size", "--processes", "-1").code == 2
    assert operator("size", "--mb-per-s", "0").code == 2
