"""The tee writes down what a shim's blocks run, as it can be repeated; it is bounded, private, and in nobody's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.errors import UsageError
from migrator.model import trace as traces
from migrator.model.trace import Call
from migrator.shadow.ask import ask, session
from migrator.shim.tee import Tee, TeeShim
from tests.fixtures.postgres import Machines
from tests.fixtures.rows import value
from tests.integration.traffic.world import CALM, World, build, get, put

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture
def world(machines: Machines) -> Iterator[World]:
    dsns = machines.new_pair("traffic", build)
    made = World.opened(*dsns)
    yield made
    made.close()
    machines.drop_pair(dsns)


def teed(world: World, tee: Tee) -> TeeShim:
    return TeeShim(world.classic_dsn, world.limitless_dsn, "web", settings=CALM, tee=tee)


def calls(path: Path) -> list[Call]:
    return list(traces.read([path]))


def several(block: Any) -> int:
    """Two statements of one block: parameters of several types, by place and by name, on cursors of either kind."""
    conn = block.connection
    conn.execute(
        "SELECT %s::int[], %s::numeric, %s::bytea, %s::timestamptz, %s::text",
        ([1, 2], 1.5, b"\x00\xff", "2026-01-01", None),
    )
    with conn.cursor() as cursor:
        cursor.execute("SELECT id FROM app.note WHERE tenant_id = %(t)s AND id >= %(n)s", {"t": "t1", "n": 1})
        found = cursor.fetchone()
    return int(found[0]) if found else 0


def test_what_blocks_run_is_written_down_and_can_be_repeated(world: World, tmp_path: Path) -> None:
    path = tmp_path / "tee"
    tee = Tee(path, share=1.0)
    with teed(world, tee) as shim:
        shim.run_write("t1", put("t1", 1, "it's"))
        assert shim.run_read("t1", get("t1", 1)) == ("classic", "it's")
        assert shim.run_read("t1", several) == 1
    tee.close()
    found = calls(path)

    assert path.stat().st_mode & 0o077 == 0
    assert traces.sources([path]) == "shim"
    assert {call.tenant for call in found} == {"t1"}
    assert [call.sql.split()[0] for call in found] == ["INSERT", "SELECT", "SELECT", "SELECT"]
    assert len({call.session for call in found}) == 3 and found[2].session == found[3].session
    assert all(call.at_s and call.ms is not None and len(call.types) == len(call.values) for call in found)
    assert "it's" in found[0].values
    with session(world.classic_dsn, "classic", ["app"], 5, read_only=True) as conn:
        answers = [ask(conn, call, begin="BEGIN READ ONLY", keep=True) for call in found]
    assert [answer.state for answer in answers] == ["25006", "", "", ""]
    last = answers[3].result
    assert last is not None and list(last.rows) == [(b"1",)]
    odd = answers[2].result
    assert odd is not None
    assert list(odd.rows) == [(b"{1,2}", b"1.5", b"\\x00ff", b"2026-01-01 00:00:00+00", None)]


def test_nothing_is_written_down_unless_it_is_asked_for(world: World, tmp_path: Path) -> None:
    """Not of a share of nothing, not after its time, not above its size; and the shim goes on in each."""
    clock = [0.0]
    none = Tee(tmp_path / "none", share=0.0)
    late = Tee(tmp_path / "late", share=1.0, for_s=10, clock=lambda: clock[0])
    small = Tee(tmp_path / "small", share=1.0, most_mb=0.0003)
    clock[0] = 11.0
    for tee in (none, late, small):
        with teed(world, tee) as shim:
            for number in range(5):
                shim.run_write("t1", put("t1", number, "x"))

    assert calls(tmp_path / "none") == calls(tmp_path / "late") == []
    assert none.on and not late.on and not small.on
    assert 0 < (tmp_path / "small").stat().st_size <= 300
    assert value(world.classic, "SELECT count(*) FROM app.note") == 5


def test_a_tee_that_cannot_write_ends_and_no_statement_fails(world: World, tmp_path: Path) -> None:
    tee = Tee(tmp_path / "tee", share=1.0)
    with teed(world, tee) as shim:
        shim.run_write("t1", put("t1", 1, "x"))
        os.close(tee._file or 0)
        shim.run_write("t1", put("t1", 2, "x"))
        shim.run_write("t1", put("t1", 3, "x"))

    assert not tee.on
    assert value(world.classic, "SELECT count(*) FROM app.note") == 3


def test_an_error_of_the_application_is_its_own(world: World, tmp_path: Path) -> None:
    tee = Tee(tmp_path / "tee", share=1.0)
    with teed(world, tee) as shim, pytest.raises(psycopg.errors.UndefinedTable):
        shim.run_read("t1", lambda read: read.connection.execute("SELECT * FROM app.none WHERE id = %s", (1,)))
    tee.close()

    assert calls(tmp_path / "tee") == []


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    shared, link = tmp_path / "shared", tmp_path / "link"
    shared.touch(0o644)
    link.symlink_to(tmp_path / "elsewhere")

    for path in (shared, link, tmp_path / "none" / "x"):
        with pytest.raises(UsageError):
            Tee(path)
    assert not (tmp_path / "elsewhere").exists()
