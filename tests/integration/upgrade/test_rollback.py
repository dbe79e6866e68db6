"""Everybody's reads go back to classic on the tables of 0.1.0, and at any point of an upgrade."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from migrator.control import upgrade
from migrator.control.install import VERSION
from migrator.db.connect import connect
from migrator.errors import WrongVersion
from migrator.traffic.incident.serve import IncidentServer
from migrator.traffic.route.move import routes
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.upgrade.catalog import catalog, different
from tests.integration.upgrade.earlier import PLAN, Connection, Earlier, steps, version
from tests.integration.upgrade.shim_of_0_1_0 import OldShim
from workflows.activities.base import Context
from workflows.activities.incident import IncidentActivities
from workflows.failures import failure
from workflows.messages import RollbackInput

pytestmark = pytest.mark.pg

SECRET = "a secret of some length"
ALL = ("rollback", "--all", "--reason", "p99 tripled", "--as", "Ada", "--json")


def level(conn: Connection) -> str:
    row = conn.execute("SELECT level FROM migrator.switch").fetchone()
    assert row is not None
    return str(row[0])


def told(conn: Connection) -> list[tuple[str, str]]:
    """Who rolled back, and why, by the decision log."""
    query = "SELECT who, reason FROM migrator.decision WHERE subject = 'switch' AND kind = 'rollback.decided'"
    return conn.execute(query).fetchall()


def incidents(conn: Connection) -> list[str]:
    query = "SELECT reason FROM migrator.incident WHERE kind = 'rollback' AND reason LIKE 'rollback of all%'"
    return [reason for (reason,) in conn.execute(query)]


def test_everybody_reads_classic_again_on_tables_of_0_1_0(old: Earlier) -> None:
    """Confirmed by the process that lives; logged as that version logs; its tables stay as they are."""
    before, there = catalog(old.classic), routes(old.classic)
    with OldShim(old.shop.classic_dsn) as app:
        eventually(lambda: app.polls > 2, "the old shim is at work")
        done = old.operator(*ALL)
        again = old.operator(*ALL)

    assert done.code == again.code == 0, (done.err, again.err)
    assert (done.json["changed"], done.json["processes"], done.json["confirmed"]) == (3, 1, 1)
    assert again.json["already"] and level(old.classic) == "classic" and routes(old.classic) == there
    assert app.epoch >= done.json["epoch"] and app.problems == []
    assert told(old.classic) == [("Ada", "p99 tripled")]
    assert incidents(old.classic) == ["rollback of all (3 tenants): p99 tripled"]
    assert different(before, catalog(old.classic)) == {} and version(old.classic) == 1


def test_a_process_that_does_not_answer_is_waited_for_within_the_bound(old: Earlier) -> None:
    old.classic.execute("UPDATE migrator.process SET seen_at = clock_timestamp(), staleness_s = 600")

    done = old.operator(*ALL, "--timeout", "0.2")

    assert done.code == 5 and [name.split()[0] for name in done.json["pending"]] == ["web"]
    assert level(old.classic) == "classic"


def test_a_name_is_refused_and_the_way_is_said(old: Earlier) -> None:
    """Whoever is rolled back by name is held, and 0.1.0 has nowhere to say so. A dry run says the same."""
    shown = old.operator("rollback", "--all", "--reason", "slow", "--dry-run", "--json")
    named = [
        old.operator("rollback", *whom, "--reason", "slow", *how)
        for whom in (("--tenant", "1"), ("--wave", "1"))
        for how in ((), ("--dry-run",))
    ]

    assert shown.code == 0 and shown.json == {"tenants": ["1", "2", "3"]}
    assert all(done.code == 3 and "migrator rollback --all" in done.err for done in named), named
    assert level(old.classic) == "limitless" and told(old.classic) == []


def test_the_webhook_does_it_too(alone: Connection, classic_dsn: str) -> None:
    with _serving(classic_dsn) as url:
        some = _call(url, {"tenants": ["1"], "reason": "slow"})
        everybody = _call(url, {"all": True, "reason": "p99", "who": "pager"})

    assert some[0] == 409 and "migrator rollback --all" in some[1]["hint"]
    assert everybody[0] == 200 and everybody[1]["changed"] == 3
    assert level(alone) == "classic" and told(alone) == [("pager", "p99")] and version(alone) == 1


@contextmanager
def _serving(dsn: str) -> Iterator[str]:
    server = IncidentServer(("127.0.0.1", 0), dsn, SECRET)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/rollback"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _call(url: str, body: object) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Authorization": f"Bearer {SECRET}"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_the_activity_does_it_and_leaves_a_name_to_a_worker_of_that_version(
    alone: Connection, classic_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may serve the queue: what this one cannot do is tried again, not given up."""
    monkeypatch.setenv("MIGRATOR_CLASSIC_DSN", classic_dsn)
    activities = IncidentActivities(Context(PLAN))

    with pytest.raises(WrongVersion) as refused:
        await activities.roll_back(RollbackInput(plan="shop", tenants=("1",), who="guard", reason="slow"))
    done = await activities.roll_back(RollbackInput(plan="shop", all=True, who="abort", reason="aborted"))

    assert not failure(refused.value).non_retryable
    assert done.changed == 3 and level(alone) == "classic" and told(alone) == [("abort", "aborted")]


def test_it_works_wherever_an_upgrade_was_killed(old: Earlier) -> None:
    """After each step of it, on either side; the upgrade then goes on, and nothing of what was told is lost."""
    there = [("limitless", old.shop.limitless_dsn, step) for step in steps(old.limitless, "limitless")]
    here = [("classic", old.shop.classic_dsn, step) for step in steps(old.classic, "classic")]
    todo = [here[0], *there, *here[1:]]
    with OldShim(old.shop.classic_dsn) as app:
        eventually(lambda: app.polls > 2, "the old shim is at work")
        for side, dsn, step in todo:
            with connect(dsn, "test") as conn:
                upgrade.run(conn, side, [step])
            old.classic.execute("UPDATE migrator.switch SET level = 'limitless', epoch = epoch + 1")

            done = old.operator(*ALL)

            assert done.code == 0, (step.action.id, done.err)
            assert (done.json["changed"], done.json["confirmed"]) == (3, 1), (step.action.id, done.json)
            assert level(old.classic) == "classic", step.action.id
        assert old.operator("upgrade", "--yes").code == 0

    assert app.problems == [] and version(old.classic) == version(old.limitless) == VERSION
    assert len(told(old.classic)) == len(todo)
    row = old.classic.execute(
        "SELECT sum(times) FROM migrator.incident WHERE reason LIKE 'rollback of all%'"
    ).fetchone()
    assert row == (len(todo),)
    assert different(catalog(old.classic), catalog(old.fresh)) == {}
