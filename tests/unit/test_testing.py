"""What applications test with: the clock, what is heard, connections without a server, and the example of the docs."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.errors import ClusterUnavailable, CommitUnknown, UsageError
from migrator.shim import Settings, ShadowDiffered, Shim
from migrator.shim.memory import change_in
from migrator.testing import Asked, Block, FixedClock, Heard, Level, MemoryShim, Side, WriteMode

DOC = Path(__file__).parents[2] / "docs" / "testing.md"


def counting(asked: Asked) -> Any:
    """One number per tenant."""
    if asked.text == "up":
        asked.state[asked.params[0]] = asked.state.get(asked.params[0], 0) + 1
        return 1
    if asked.text.startswith("SELECT"):
        return [(asked.state.get(asked.params[0], 0),)]
    return None


def up(tenant: str) -> Any:
    return lambda w: w.connection.execute("up", (tenant,))


def look(tenant: str) -> Any:
    return lambda r: r.connection.execute("SELECT", (tenant,)).fetchone()[0]


def test_time_passes_when_it_is_told_to_and_what_is_due_happens_at_its_time() -> None:
    clock = FixedClock(100)
    seen: list[float] = []
    clock.call_later(3, lambda: seen.append(clock()))
    clock.call_later(1, lambda: clock.call_later(1, lambda: seen.append(clock())))
    clock.call_later(9, lambda: seen.append(clock()))

    clock.advance(5)

    assert (seen, clock()) == ([102, 103], 105)


def test_a_wait_ends_when_it_is_over() -> None:
    clock = FixedClock()
    done: list[bool] = []
    clock.call_later(2, lambda: done.append(True))

    assert clock.wait_until(lambda: bool(done), 5) and clock() == 2
    assert not clock.wait_until(lambda: False, 5) and clock() == 7


def test_events_reach_the_applications_own_listener_too() -> None:
    own = Heard()
    with MemoryShim(counting, {}, listener=own) as shim:
        shim.move("a", Level.LIMITLESS)
        shim.lose(Side.LIMITLESS)
        for _ in range(5):
            shim.run_read("a", look("a"))

    assert own.names() == shim.heard.names()
    assert {event.name for event in shim.heard.warnings()} == {"breaker.opened"}


def test_each_block_says_where_it_went() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.run_write("a", up("a"))
        shim.move("a", Level.LIMITLESS)
        shim.run_read("a", look("a"))
        shim.fall_back("a")
        shim.run_read("a", look("a"))
        shim.end_fallbacks()
        shim.fall_back()
        shim.run_read("a", look("a"))
        shim.end_fallbacks()
        shim.run_read("a", look("a"))

    sides = [Side.LIMITLESS, Side.CLASSIC, Side.CLASSIC, Side.LIMITLESS]
    assert shim.heard.sides("a") == sides
    assert shim.heard.blocks[0] == Block("a", Side.CLASSIC, writes=True)  # type: ignore[arg-type]


def test_a_share_of_the_reads_moves() -> None:
    random.seed(1)
    with MemoryShim(counting, {}) as shim:
        shim.move("a", Level.LIMITLESS, pct=50)
        for _ in range(200):
            shim.run_read("a", look("a"))

    assert 60 < shim.heard.sides("a").count(Side.LIMITLESS) < 140


def test_a_change_of_routes_is_not_heard_while_classic_is_lost() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.move("a", Level.LIMITLESS)
        shim.lose(Side.CLASSIC)
        shim.move("a", Level.CLASSIC)
        shim.clock.advance(2.9)
        assert shim.run_read("a", look("a")) == 0
        shim.clock.advance(0.2)
        with pytest.raises(ClusterUnavailable):
            shim.run_read("a", look("a"))

        shim.restore(Side.CLASSIC)
        shim.run_read("a", look("a"))

    assert shim.heard.sides("a") == [Side.LIMITLESS, Side.CLASSIC]


def test_sides_differ_while_the_mirror_is_stalled() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.stall_mirror()
        shim.run_write("a", up("a"))
        assert (shim.state(Side.CLASSIC), shim.state(Side.LIMITLESS)) == ({"a": 1}, {})
        with pytest.raises(UsageError, match="stalled"):
            shim.write_mode(WriteMode.LIMITLESS_ONLY)

        shim.run_mirror()
        assert shim.state(Side.LIMITLESS) == {"a": 1}
        shim.write_mode(WriteMode.LIMITLESS_ONLY)
        shim.run_write("a", up("a"))
        assert (shim.state(Side.CLASSIC), shim.state(Side.LIMITLESS)) == ({"a": 1}, {"a": 2})
        with pytest.raises(UsageError, match="over"):
            shim.write_mode(WriteMode.DUAL)


def test_a_test_cannot_change_what_a_side_holds_from_outside() -> None:
    given: dict[str, int] = {"a": 1}
    with MemoryShim(counting, given) as shim:
        given["a"] = 2
        shim.state(Side.CLASSIC)["a"] = 3

        assert shim.run_read("a", look("a")) == 1


def test_a_read_that_changes_the_state_changes_nothing() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.run_read("a", up("a"))

        assert shim.state(Side.CLASSIC) == {}


def test_what_another_write_committed_meanwhile_is_not_lost() -> None:
    """As READ COMMITTED has it: an update that ran before works on what the other left."""
    with MemoryShim(counting, {}) as shim:
        with shim.write("a") as w:
            up("a")(w)
            shim.run_write("a", up("a"))
            shim.run_write("b", up("b"))
            assert look("b")(w) == 1

        assert shim.state(Side.CLASSIC) == {"a": 2, "b": 1}


def test_threads_share_a_shim() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.move("a", Level.LIMITLESS)
        threads = [threading.Thread(target=lambda: [shim.run_write("a", up("a")) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert shim.run_read("a", look("a")) == 200


def test_a_commit_that_did_not_happen_is_lost_too() -> None:
    with MemoryShim(counting, {}) as shim:
        shim.lose_commit(committed=False)
        with pytest.raises(CommitUnknown) as unknown:
            shim.run_write("a", up("a"))
        assert unknown.value.xid is not None and shim.outcome(unknown.value.xid) == "aborted"
        shim.run_write("a", up("a"))

    assert shim.state(Side.CLASSIC) == {"a": 1}


def test_shadow_reads_are_compared() -> None:
    def differing(asked: Asked) -> Any:
        return [(str(asked.side),)]

    with MemoryShim(differing, settings=Settings(shadow_ratio=1.0)) as shim:
        shim.move("a", Level.CLASSIC)
        shim.run_read("a", look("a"))

    assert [e.tenant_id for e in shim.heard.events if isinstance(e, ShadowDiffered)] == ["a"]


def test_a_shadow_read_says_nothing_while_limitless_does_not_follow() -> None:
    def differing(asked: Asked) -> Any:
        return [(str(asked.side),)]

    with MemoryShim(differing, settings=Settings(shadow_ratio=1.0)) as shim:
        shim.stall_mirror()
        shim.run_read("a", look("a"))

    assert not [e for e in shim.heard.events if isinstance(e, ShadowDiffered)]


def test_a_block_is_asked_for_its_statements() -> None:
    asked_for: list[Asked] = []

    def answers(asked: Asked) -> Any:
        asked_for.append(asked)
        return ({"n": n} for n in range(3)) if asked.text.startswith("SELECT") else None

    with MemoryShim(answers) as shim:
        with shim.write("a") as w:
            w.connection.execute("SET LOCAL lock_timeout = '1s'")
            with w.connection.cursor() as cursor:
                cursor.execute(sql.SQL("SELECT n FROM {}").format(sql.Identifier("t")))
                assert (cursor.rowcount, cursor.fetchone(), cursor.fetchmany(1)) == (3, {"n": 0}, [{"n": 1}])
                assert (list(cursor), cursor.fetchone()) == ([{"n": 2}], None)
                cursor.executemany(b"INSERT INTO t VALUES (%s)", [(1,), (2,)])
                with pytest.raises(psycopg.ProgrammingError):
                    cursor.fetchone()
            assert list(w.connection.cursor().stream("SELECT 1")) == [{"n": 0}, {"n": 1}, {"n": 2}]

    assert [(a.tenant_id, a.side, a.writes, a.text, a.params) for a in asked_for] == [
        ("a", Side.CLASSIC, True, 'SELECT n FROM "t"', None),
        ("a", Side.CLASSIC, True, "INSERT INTO t VALUES (%s)", (1,)),
        ("a", Side.CLASSIC, True, "INSERT INTO t VALUES (%s)", (2,)),
        ("a", Side.CLASSIC, True, "SELECT 1", None),
    ]


def test_what_only_a_server_can_do_is_said() -> None:
    with MemoryShim(counting, {}) as shim, shim.read("a") as r:
        with pytest.raises(AttributeError, match="give MemoryShim a PostgreSQL"):
            r.connection.pipeline()
        with pytest.raises(AttributeError, match="give MemoryShim a PostgreSQL"):
            r.connection.cursor().copy("COPY t TO STDOUT")
        with pytest.raises(psycopg.NotSupportedError, match="SAVEPOINT a: use"):
            r.connection.execute("SAVEPOINT a")
        with pytest.raises(psycopg.ProgrammingError, match="can't change 'autocommit'"):
            r.connection.autocommit = False


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("select 1", None),
        ("  INSERT INTO t VALUES (1)", "INSERT"),
        ("SELECT 'INSERT'; -- DELETE\n", None),
        ("/* UPDATE */ (SELECT 1)", None),
        ('SELECT "update" FROM t', None),
        ("SELECT 1; DELETE FROM t", "DELETE"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "DELETE"),
        ("SELECT * FROM t FOR UPDATE SKIP LOCKED", "SELECT FOR UPDATE"),
        ("SELECT * FROM t FOR KEY SHARE", "SELECT FOR UPDATE"),
        ("DO $$ BEGIN END $$", None),
        ("", None),
    ],
)
def test_statements_that_change_something_are_told_by_their_words(text: str, change: str | None) -> None:
    assert change_in(text) == change


@pytest.mark.parametrize(
    "arguments",
    [{}, {"answers": counting, "classic": "dbname=a"}, {"answers": counting, "limitless": "dbname=a"}],
)
def test_it_is_either_answers_or_a_server(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MemoryShim(**arguments)


def test_it_has_nothing_public_that_the_shim_lacks_but_what_a_test_does() -> None:
    """Nothing that an application calls is another method here; a method that the shim gets is not forgotten either."""
    mine = {name for name in vars(MemoryShim) if not name.startswith("_")}
    public = {name for name in dir(Shim) if not name.startswith("_")}

    assert mine & public == {"open"}


def test_importing_it_stays_light() -> None:
    probe = (
        "import sys, migrator.shim; before = [m for m in sys.modules if 'memory' in m];"
        "import migrator.testing; print(before, sorted({m.split('.')[0] for m in sys.modules}"
        " - sys.stdlib_module_names - {'migrator', '__main__'}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    before, _, others = done.stdout.strip().partition("] ")
    assert before == "[", "applications in production do not load it"
    assert "psycopg" in others
    assert not re.search("pydantic|structlog|temporalio|typer|pglast", others)


def test_the_example_of_the_docs_holds() -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)[0], names)
    tests = [value for name, value in names.items() if name.startswith("test_")]

    assert len(tests) == 3
    for test in tests:
        test()


def test_everything_a_test_can_do_is_in_the_docs() -> None:
    text = DOC.read_text()
    controls = {n for n in vars(MemoryShim) if not n.startswith("_")} - {"open"}

    assert {name for name in controls if f"{name}(" not in text} == set()
