"""The monitor raises what a quorum of processes saw, and takes it away in two steps."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from migrator.local.proxy import Proxy
from migrator.model.route import FallbackScope, Level
from migrator.shim import Shim
from migrator.traffic.breaker.decide import Step
from migrator.traffic.breaker.monitor import MonitorSettings, PassResult, pass_once
from migrator.traffic.incident.request import Request
from migrator.traffic.incident.rollback import RollbackResult
from migrator.traffic.incident.serve import IncidentServer
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import routes
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import QUICK, World, get, ids, put

pytestmark = pytest.mark.pg

SETTINGS = MonitorSettings(open_s=0.1, fresh_s=600.0, catch_up_s=TIMEOUT_S, validate_before_close=False)


def look(world: World, settings: MonitorSettings = SETTINGS, limitless: str | None = None) -> PassResult:
    return pass_once(world.classic, limitless or world.limitless_dsn, settings, datetime.now(UTC))


def fallbacks(world: World) -> list[Any]:
    return world.classic.execute("SELECT scope, scope_key, level FROM migrator.fallback ORDER BY 1, 2").fetchall()


def test_a_quiet_day_changes_nothing(world: World) -> None:
    with world.shim():
        found = look(world)

    assert (found.probe_problem, found.live, found.raised, found.open, found.cleared) == (None, 1, (), (), ())


def test_a_fallback_goes_once_everything_is_well_and_reads_return(world: World) -> None:
    with world.mirror(), world.shim() as shim:
        assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        raise_fallback(world.classic, FallbackScope.PART, "1", by="shim web", reason="slow")
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "classic", "reads fell back")

        found = eventually(lambda: (seen := look(world)).cleared and seen, "the fallback goes")

        assert [(f.scope, f.key, f.step) for f in found.cleared] == [(FallbackScope.PART, "1", Step.CLEAR)]
        assert fallbacks(world) == []
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads returned")
        kinds = [row[0] for row in world.classic.execute("SELECT kind FROM migrator.decision ORDER BY id").fetchall()]
        assert kinds[-3:] == ["fallback.raised", "fallback.eased", "fallback.cleared"]


def test_no_fallback_goes_while_the_mirror_stands_still(world: World) -> None:
    with world.shim():
        with world.mirror():
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        raise_fallback(world.classic, FallbackScope.PART, "1", by="shim web", reason="slow")
        settings = replace(SETTINGS, catch_up_s=0.2, fresh_s=60)
        world.classic.execute("INSERT INTO app.note VALUES ('t1', 9, 'not mirrored')")  # the position misses it

        found = eventually(lambda: (seen := look(world, settings)).open[0].step is Step.UNHEALTHY and seen, "it rested")

        assert "behind" in found.open[0].why
        assert fallbacks(world) == [("part", "1", "joining")], "writes wait for the mirror, reads stay on classic"


def test_one_held_by_a_human_stays(world: World) -> None:
    raise_fallback(world.classic, FallbackScope.ALL, "", by="ann", reason="drill", held=True)
    world.publish()

    assert look(world).open[0].step is Step.HOLD
    assert fallbacks(world) == [("all", "", "classic")]


def test_a_clean_validation_is_asked_for_first(world: World) -> None:
    settings = replace(SETTINGS, validate_before_close=True)
    with world.mirror(), world.shim():
        assert promote_reads(
            world.classic, tenants=ids("t1", "u1"), who="test", reason="test", timeout_s=TIMEOUT_S
        ).done
        raise_fallback(world.classic, FallbackScope.PART, "1", by="shim web", reason="slow")

        found = eventually(lambda: (seen := look(world, settings)).to_validate and seen, "it wants a validation")
        assert found.to_validate == ("t1",), "the affected tenants, and only those"
        assert fallbacks(world) == [("part", "1", "joining")]

        world.classic.execute(
            "UPDATE migrator.tenant SET clean_at = clock_timestamp(), divergent = 0,"
            " clean_fingerprint = migrator.schema_fingerprint() WHERE tenant_id = 't1'"
        )
        assert look(world, settings).cleared
        assert fallbacks(world) == []


def test_whoever_comes_back_reads_the_reference_tables(world: World) -> None:
    """Theirs is a validation to be asked for too, and one with divergent rows keeps everybody on classic."""
    settings = replace(SETTINGS, validate_before_close=True)
    world.classic.execute(
        "INSERT INTO migrator.captured_table (table_id, qualified, descriptor)"
        " VALUES (99, 'app.currency', '{\"kind\": \"reference\"}')"
    )
    with world.mirror(), world.shim():
        assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
        raise_fallback(world.classic, FallbackScope.PART, "1", by="shim web", reason="slow")
        world.classic.execute(
            "UPDATE migrator.tenant SET clean_at = clock_timestamp(), divergent = 0,"
            " clean_fingerprint = migrator.schema_fingerprint() WHERE tenant_id = 't1'"
        )

        found = eventually(lambda: (seen := look(world, settings)).to_validate and seen, "it wants a validation")
        assert found.to_validate == (None,)
        for clean in (False, True):
            assert fallbacks(world) == [("part", "1", "joining")]
            world.classic.execute(
                "INSERT INTO migrator.tenant_verdict"
                " (tenant_id, first_at, last_at, clean, fingerprint, last_fence, rows, divergent)"
                " VALUES (NULL, clock_timestamp(), clock_timestamp(), %s, migrator.schema_fingerprint(), '', 3, %s)",
                (clean, 0 if clean else 1),
            )
            assert bool(look(world, settings).cleared) is clean
        assert fallbacks(world) == []


def test_processes_that_trip_bring_everybody_back(world: World, proxy: Callable[[str], Proxy]) -> None:
    """Limitless goes away: processes trip by themselves, the monitor makes it common, and it heals by itself."""
    between = proxy(world.limitless_dsn)
    through = between.dsn(world.limitless_dsn)
    with world.mirror(), Shim(world.classic_dsn, through, "web-1", settings=QUICK) as one:
        with Shim(world.classic_dsn, through, "web-2", settings=QUICK) as two:
            assert promote_reads(world.classic, tenants=ids("t1"), who="test", reason="test", timeout_s=TIMEOUT_S).done
            eventually(lambda: one.run_read("t1", get("t1", 1))[0] == "limitless", "web-1 reads from limitless")
            between.cut_off()
            eventually(lambda: one.run_read("t1", get("t1", 1)) and one._breakers.open(), "web-1 tripped")

            found = eventually(lambda: (seen := look(world, limitless=through)).raised and seen, "it is raised for all")

            assert fallbacks(world)[0] == ("all", "", "classic")
            assert "cannot be reached" in found.raised[0].reason or "processes tripped" in found.raised[0].reason
            eventually(lambda: two._current.view.fallbacks, "web-2, which read nothing, knows as well")
            two.run_write("t1", put("t1", 1, "x"))
            assert world.classic.execute("SELECT DISTINCT kind FROM migrator.incident").fetchall() == [("fallback",)]
            between.accept()

            eventually(lambda: look(world, limitless=through) and not fallbacks(world), "it heals")
            eventually(lambda: one.run_read("t1", get("t1", 1)) == ("limitless", "x"), "reads return to limitless")
            eventually(
                lambda: not world.classic.execute("SELECT FROM migrator.breaker_trip").fetchall(), "no trip is left"
            )


# -- the webhook


SECRET = "a secret of some length"


@contextmanager
def serving(dsn: str, seen: list[tuple[Request, RollbackResult]]) -> Iterator[str]:
    server = IncidentServer(("127.0.0.1", 0), dsn, SECRET, on_rollback=lambda *both: seen.append(both))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(url: str, body: object = None, token: str = SECRET) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_an_alarm_rolls_back(world: World) -> None:
    seen: list[tuple[Request, RollbackResult]] = []
    with world.shim() as shim, world.mirror(), serving(world.classic_dsn, seen) as url:
        assert promote_reads(
            world.classic, tenants=ids("t1", "t2"), wave=1, who="test", reason="test", timeout_s=TIMEOUT_S
        ).done
        assert call(f"{url}/health") == (200, {"ok": True})
        assert call(f"{url}/rollback", {"all": True, "reason": "p99"}, token="wrong")[0] == 401
        assert call(f"{url}/rollback", {"all": True})[0] == 400
        assert call(f"{url}/elsewhere", {})[0] == 404

        status, answer = call(f"{url}/rollback", {"wave": 1, "reason": "p99 tripled", "who": "pager"})
        assert (status, answer["changed"], answer["confirmed"], answer["already"]) == (200, 2, 1, False)
        assert shim.run_read("t1", get("t1", 1))[0] == "classic"
        assert call(f"{url}/rollback", {"wave": 1, "reason": "p99 tripled"})[1]["already"] is True
        assert [request.who for request, _ in seen] == ["pager", "webhook"]
        (route, _) = routes(world.classic)
        assert route.level is Level.CLASSIC
        assert world.classic.execute("SELECT kind, reported_by FROM migrator.incident").fetchall() == [
            ("rollback", "pager")
        ]


def test_health_says_when_classic_is_gone() -> None:
    with serving("postgresql://nobody:secret@127.0.0.1:1/none", []) as url:
        assert call(f"{url}/health")[0] == 503
        status, answer = call(f"{url}/rollback", {"all": True, "reason": "p99"})
        assert status == 503
        assert "secret" not in json.dumps(answer)
