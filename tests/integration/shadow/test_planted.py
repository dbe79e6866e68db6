"""A run over mirrored tenants finds what was planted on Limitless, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from migrator.model import trace as traces
from migrator.model.trace import Call
from migrator.model.traffic_test import ShadowResult, Shards, Writes
from migrator.shadow import run as shadow
from migrator.shadow.findings import Finding, Kind
from migrator.shadow.replay import Pacing
from migrator.shadow.sampling import fingerprint
from migrator.shadow.statistics import Limits
from tests.fixtures.postgres import Machines
from tests.fixtures.rows import value
from tests.fixtures.world import World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.slow]

PLAN = plan_of("app", tables={"app.colour": {"kind": "reference"}})
ROWS = 60_000
DDL = f"""
CREATE SCHEMA app;
CREATE TABLE app.purchase (
    tenant_id bigint NOT NULL, id bigint PRIMARY KEY, note text, total numeric, weight float8, placed timestamptz);
CREATE INDEX ON app.purchase (tenant_id, note);
CREATE TABLE app."Größe" (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, "select" text);
CREATE TABLE app.colour (id int PRIMARY KEY, name text);
CREATE SEQUENCE app.numbers;
CREATE FUNCTION app.masked(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left($1, 2) || '***' $$;
INSERT INTO app.purchase SELECT CASE WHEN g <= {ROWS} THEN 1 ELSE 2 + g % 3 END, g, 'note ' || g, g * 1.1, sqrt(g),
    '2026-01-01'::timestamptz + g * interval '1 min' FROM generate_series(1, {ROWS + 300}) g;
INSERT INTO app."Größe" SELECT 1 + g % 4, g, 'it''s ' || g FROM generate_series(1, 200) g;
INSERT INTO app.colour SELECT g, 'colour ' || g FROM generate_series(1, 9) g;
"""

CALLS = 24

BY_NOTE = "SELECT id, total FROM app.purchase WHERE tenant_id = $1 AND note = $2"
MASKED = "SELECT app.masked(note) FROM app.purchase WHERE tenant_id = $1 AND id = $2"
CROSSING = 'SELECT count(*) FROM app."Größe" WHERE "select" = $1'
BY_KEY = "SELECT * FROM app.purchase WHERE tenant_id = $1 AND id = $2"
PLANTED = {BY_NOTE, MASKED, CROSSING, BY_KEY}


def calls() -> Iterator[Call]:
    """What an application ran: each statement often enough to be judged, in four sessions."""
    for number in range(CALLS):
        few, one, session = 2 + number % 3, str(1 + number), f"s{number % 4}"
        of_few = str(ROWS + 3 * number + (few - 2 - ROWS) % 3)
        for text, values in (
            *((BY_NOTE, ("1", f"note {number * 100 + again + 1}")) for again in range(6)),
            (MASKED, ("1", one)),
            (CROSSING, (f"it's {number}",)),
            (BY_KEY, (str(few), of_few if int(of_few) > ROWS else str(int(of_few) + 3))),
            ("SELECT sum(weight), avg(total) FROM app.purchase WHERE tenant_id = $1 AND id < $2", (str(few), "99999")),
            ('SELECT "select" FROM app."Größe" WHERE tenant_id = $1 ORDER BY id DESC LIMIT 7', (str(few),)),
            ('SELECT "select" FROM app."Größe" WHERE tenant_id = $1 LIMIT 3', (str(few),)),
            ("SELECT max(placed), now() FROM app.purchase WHERE tenant_id = $1", (str(few),)),
            ("SELECT c.name FROM app.purchase p JOIN app.colour c ON c.id = p.id % 9"
             " WHERE p.tenant_id = $1 AND p.id = $2", ("1", one)),
            ("SELECT name FROM app.colour WHERE id = $1", (str(1 + number % 9),)),
            ("INSERT INTO app.purchase (tenant_id, id, note) VALUES ($1, $2, 'new')", (str(few), str(10**6 + number))),
            ("UPDATE app.purchase SET note = NULL WHERE tenant_id = $1", (str(few),)),
            ("INSERT INTO app.purchase (tenant_id, id) VALUES ($1, nextval('app.numbers'))", (str(few),)),
            ("NOTIFY jobs", ()),
        ):  # fmt: skip
            yield Call(text, values, session=session)


@pytest.fixture
def world(machines: Machines) -> Iterator[World]:
    def build(classic: str, limitless: str) -> None:
        from tests.fixtures.world import build as made

        made(classic, limitless, PLAN, DDL)

    dsns = machines.new_pair("shadow", build)
    with World.opened(*dsns, PLAN) as opened:
        yield opened
    machines.drop_pair(dsns)


def names(found: Sequence[Finding], kind: Kind) -> set[str]:
    return {finding.fingerprint for finding in found if finding.kind is kind}


def name(text: str) -> str:
    found = fingerprint(text)
    assert found is not None
    return found.id


async def test_what_was_planted_is_found_and_nothing_else(world: World, tmp_path: Path) -> None:
    """A missing index, a function that only classic has, a statement of several shards, a row that is another one."""
    trace = tmp_path / "trace.jsonl"
    traces.write(trace, "shim", calls())
    # However busy the machine is: a statement may take its time, and so may a round trip.
    pacing = Pacing(speed=None, concurrency=2, rate_per_s=2000, timeout_s=60, stop_ms=10_000)
    options = shadow.Options(pacing=pacing, limits=Limits(1.5, 3.0))
    await world.start()
    async with world.mirrors():
        await world.copy_all()
        world.limitless.execute("DROP FUNCTION app.masked(text)")
        world.limitless.execute("DROP INDEX app.purchase_tenant_id_note_idx")
        world.limitless.execute(
            "UPDATE app.purchase SET note = 'another' WHERE tenant_id = 2 AND id = (SELECT min(id) FROM app.purchase"
            " WHERE tenant_id = 2)"
        )

        def done() -> shadow.Report:
            found = shadow.prepare(world.classic, world.limitless, world.plan, traces.read([trace]), "shim", options)
            return shadow.run(world.classic_dsn, world.limitless_dsn, found, options, "Ada")

        report = await asyncio.to_thread(done)

    assert report.result.stopped == ""
    assert report.notes == ()
    assert {kind: names(report.findings, kind) for kind in Kind} == {
        Kind.DIFFERS: {name(BY_KEY)},
        Kind.ERROR: {name(MASKED)},
        Kind.SLOWER: {name(BY_NOTE)},
        Kind.CROSSES: {name(CROSSING)},
    }, (report.trips_ms, [(s.text, s.classic, s.limitless) for s in report.result.statements])
    by_name = {one.fingerprint: one for one in report.result.statements}
    assert by_name[name(MASKED)].limitless_errors == {"42883": CALLS}
    assert 0 < by_name[name(BY_KEY)].differing < by_name[name(BY_KEY)].compared
    assert by_name[name(BY_KEY)].shards is Shards.ONE
    assert report.result.writes is Writes.ROLLED_BACK
    assert report.result.skipped == 2 * CALLS, report.left_out
    reasons = {why.split()[1] if "calls" in why else why.split()[0] for why in report.left_out}
    assert reasons == {"nextval,", "NOTIFY"}
    not_compared = {told.result.fingerprint: told.not_compared for told in report.told if told.not_compared}
    assert ("now()",) in not_compared.values()
    assert ("LIMIT without ORDER BY",) in not_compared.values()
    number = shadow.keep(world.classic, report)
    stored = value(world.classic, f"SELECT body FROM migrator.report WHERE id = {number}")
    assert ShadowResult.from_json(stored) == report.result
    assert value(world.classic, "SELECT count(*) FROM app.purchase WHERE id >= 1000000 OR note IS NULL") == 0
    assert value(world.limitless, "SELECT count(*) FROM app.purchase WHERE id >= 1000000 OR note IS NULL") == 0
    assert value(world.classic, "SELECT is_called FROM app.numbers") is False
