"""What the tool itself says to Limitless is what it asks of an application: nothing refused, nothing that is true for
one router only, and a statement about one tenant is answered by one shard."""

from __future__ import annotations

import re

import psycopg
import pytest

from migrator.audit.catalog import Source
from migrator.audit.evidence import live as evidence_of
from migrator.audit.evidence.rows import RawStatement
from migrator.audit.rules.rulebook import RULES
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import shapes_of_plan
from migrator.capacity.nodes import bytes_of, nodes
from migrator.consistency import digest_sql
from migrator.consistency.run import validate
from migrator.dataplane.mirror import rows_sql
from migrator.db.text_values import array
from migrator.decommission import sequences
from migrator.model.side import Side
from tests.fixtures.postgres import Machines, with_parts
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg

SPEAKERS = ("migrator mirror", "migrator copy", "migrator validate")


@pytest.mark.asyncio
async def test_a_whole_migration_says_nothing_that_limitless_refuses(machines: Machines, shop: Shop) -> None:
    """Everything from the first copy to the restart of sequences, with rows that move, vanish and differ."""
    routers = machines.routers
    if routers is None:
        pytest.skip("the servers were given: nothing of ours stands between")
    shop.classic.execute("CREATE SEQUENCE shop.ticket")
    shop.limitless.execute("CREATE SEQUENCE shop.ticket")
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.purchase SET tenant_id = 2 WHERE id % 7 = 0")
        shop.classic.execute("DELETE FROM shop.purchase WHERE id % 11 = 0")
        shop.classic.execute("UPDATE shop.line SET purchase_id = NULL WHERE id % 13 = 0")
        shop.classic.execute("UPDATE shop.remark SET number = number + 100000")
        await shop.caught_up()
        assert shop.differences() == {}
        shop.limitless.execute("DELETE FROM shop.remark WHERE tenant_id = 1")
        shop.limitless.execute("UPDATE shop.purchase SET total = 0 WHERE tenant_id = 1")
        report = await validate(shop.classic_dsn, shop.limitless_dsn)
        assert report.divergent_rows > 0
    for facts in sequences.read(shop.classic, shop.limitless, ["shop"]):
        sequences.restart(shop.limitless, facts, 100)
    own = shop.limitless.execute("SELECT pg_database_size(current_database()) / 2.0 ^ 30").fetchone()
    assert own is not None and bytes_of(nodes(shop.limitless)) / 2**30 > own[0]

    # Other tests of the run try on purpose what Limitless refuses, under other names.
    ours = [e for e in routers.entries() if str(e["application"]).startswith(SPEAKERS)]
    assert [e for e in ours if e["what"] == "local answer"] == []
    # Control tables count like others; the audit leaves statements about the tool's own schema out.
    texts = sorted({str(e["text"]).replace("migrator.", "control.") for e in ours if e["what"] == "statement"})
    server = with_parts(machines.limitless_admin, dbname=shop.limitless.info.dbname)
    with psycopg.connect(server, autocommit=True) as conn:
        evidence = evidence_of.collect(conn)
    evidence.statements = [RawStatement(text, Source("router")) for text in texts]
    report_of_audit = conclude(evidence, shapes_of_plan(evidence.catalog, shop.plan.tables), [], mode="live")
    refused = {s.sql: s.rules for s in report_of_audit.statements if any(RULES[r].refuses for r in s.rules)}
    assert refused == {}
    assert len(report_of_audit.statements) > 40


@pytest.mark.routers
def test_statements_about_one_tenant_ask_one_shard(shop: Shop) -> None:
    """Deletes, children, digests and rows by name, as they are planned with their values."""
    line, purchase = shop.table("shop.line"), shop.table("shop.purchase")
    remark = shop.table("shop.remark")
    one = {
        "delete": (rows_sql.delete(line, one_tenant=True), [["4"] * 3, ["1", "2", "3"]]),
        "delete by three columns": (rows_sql.delete(remark, one_tenant=True), [["4"] * 2, ["1", "2"], ["1", "2"]]),
        "children": (rows_sql.find_children(purchase, line, one_tenant=True), [["4"], ["7"]]),
        "children of children": (rows_sql.find_children(line, remark, one_tenant=True), [["4"], ["7"]]),
        "digests": (digest_sql.digests(line, Side.LIMITLESS, ["4"]), []),
        "buckets": (digest_sql.bucket_digests(line, Side.LIMITLESS, ["4"], 16), []),
        "rows of a bucket": (digest_sql.bucket_rows(line, Side.LIMITLESS, 16, [("4", 3)]), []),
        "any row": (digest_sql.any_row(line, Side.LIMITLESS, ["4"]), []),
    }
    asked = {}
    with psycopg.RawCursor(shop.limitless) as cursor:
        for name, (statement, columns) in one.items():
            text = statement.as_string(shop.limitless)
            cursor.execute(f"EXPLAIN {text}".encode(), [array(column) for column in columns])
            plan = [str(row[0]) for row in cursor.fetchall()]
            asked[name] = len(set(re.findall(r"_fs(\d{5})\b", "\n".join(plan)))), plan[-1]
    assert asked == dict.fromkeys(one, (1, "Single Shard Optimized"))
