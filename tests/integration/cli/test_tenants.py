"""The commands about single tenants: what they print, refuse and leave as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.operator import PLAN, Operator
from tests.integration.cli import test_names
from tests.integration.cli.test_names import state

pytestmark = pytest.mark.pg

made = test_names.dual


@pytest.fixture
def dual(made: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Tenants 100 and 101 moved in wave 1, 102 waits, 103 signed up just now; all but it validated."""
    with psycopg.connect(made.environment["A"], autocommit=True) as conn:
        conn.execute(
            "UPDATE migrator.tenant SET divergent = 0, rows = 10, clean_at = now(), validated_at = now(),"
            " clean_fingerprint = migrator.schema_fingerprint()"
        )
    yield made


def test_show_says_what_keeps_a_tenant_where_it_is_and_which_wave_takes_it(dual: Operator) -> None:
    assert dual("tenant", "move", "102", "--wave", "2", "--reason", "they asked", "--as", "Ada").code == 0
    shown = dual("tenant", "show", "102", "100", "103", "--json").json["tenants"]

    waits, moved, new = shown
    assert (waits["ordered_wave"], waits["ordered_by"], waits["next_wave"], waits["has_rows"]) == (2, "Ada", 2, True)
    assert (moved["level"], moved["blockers"], moved["next_wave"]) == ("limitless", [], None)
    assert (new["state"], new["has_rows"], new["empty"]) == (None, True, False)
    text = dual("tenant", "show", "102").out
    assert "ordered into wave 2 by Ada: they asked" in text and "will move in wave 2" in text


def test_show_without_names_lists_those_that_are_not_as_the_others(dual: Operator) -> None:
    assert dual("tenant", "show").out == "No tenant is an exception.\n"
    dual("tenant", "hold", "101", "--reason", "they asked", "--until", "2100-01-02")
    dual("tenant", "move", "102", "--wave", "2", "--reason", "r")

    assert [line["tenant"] for line in dual("tenant", "show", "--json").json["tenants"]] == ["101", "102"]
    assert "held on classic until 2100-01-02 00:00" in dual("tenant", "show", "101").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hold", "101", "--reason", "r", "--until", "yesterday"), 2, "'yesterday' is no date"),
        (("hold", "101", "--reason", "r", "--until", "2020-01-01"), 2, "has passed"),
        (("hold", "101", "--reason", "r", "--until", "2020-01-01", "--dry-run"), 2, "has passed"),
        (("move", "nope", "--wave", "2", "--reason", "r"), 2, "no tenant nope"),
        (("move", "102", "--reason", "r"), 2, "where to was not said"),
        (("move", "102", "--wave", "2", "--by-plan", "--reason", "r"), 2, "where to was not said"),
        (("move", "102", "--to", "limitless", "--wave", "2", "--reason", "r"), 2, "--wave says nothing"),
        (("move", "102", "--to", "nowhere", "--reason", "r"), 2, "nowhere"),
        (("move", "102", "--wave", "1", "--reason", "r"), 3, "wave 1 has begun"),
        (("move", "102", "--wave", "1", "--reason", "r", "--dry-run"), 3, "wave 1 has begun"),
        (("move", "100", "101", "--wave", "2", "--reason", "r"), 3, "(and 1 more like it: 101)"),
        (("move", "103", "--to", "limitless", "--reason", "r", "--yes"), 3, "tenant 103 is not copied yet"),
        (("move", "102", "--to", "classic", "--reason", "r"), 2, "Add --yes"),
        (("forget", "nope", "--reason", "r"), 2, "no tenant nope"),
        (("forget", "102", "--reason", "r"), 3, "tenant 102 has rows on classic"),
        (("forget", "102", "--reason", "r", "--dry-run"), 3, "tenant 102 has rows on classic"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    dual: Operator, words: tuple[str, ...], code: int, said: str
) -> None:
    before = state(dual)

    done = dual("tenant", *words)

    assert (done.code, state(dual)) == (code, before) and said in done.err, done


def test_a_dry_run_says_what_would_be_done_and_does_nothing(dual: Operator) -> None:
    before = state(dual)

    assert "tenant 100; its reads come back" in dual("tenant", "hold", "100", "102", "--reason", "r", "--dry-run").out
    assert (
        "Put tenant 102 into wave 4" in dual("tenant", "move", "102", "--wave", "4", "--reason", "r", "--dry-run").out
    )
    back = dual("tenant", "move", "100", "--to", "classic", "--wave", "3", "--reason", "r", "--dry-run", "--json").json
    assert [a["id"] for a in back["actions"]] == ["move/100", "order/100"]
    assert dual("tenant", "move", "102", "--by-plan", "--reason", "r", "--dry-run").out == "Nothing to do.\n"

    assert state(dual) == before


def test_reads_are_brought_back_for_a_later_wave(dual: Operator) -> None:
    done = dual("tenant", "move", "100", "101", "--to", "classic", "--wave", "3", "--reason", "r", "--yes", "--json")

    assert (done.code, done.json["rollback"]["changed"], done.json["order"]["ordered"]) == (0, 2, ["100", "101"])
    lines = dual("tenant", "show", "100", "101", "--json").json["tenants"]
    assert [(line["level"], line["ordered_wave"], line["held_by"]) for line in lines] == [("classic", 3, None)] * 2
    assert "2 of 2 tenants move in the plan's order" in dual("tenant", "move", "100", "101", "--by-plan", "-r", "r").out


@pytest.mark.parametrize("begun", [True, False])
def test_a_canary_that_is_no_tenant_is_a_problem_of_the_plan(dual: Operator, begun: bool) -> None:
    """Before capture as well, where only the application's tables know."""
    with psycopg.connect(dual.environment["A"], autocommit=True) as conn:
        if not begun:
            conn.execute("SELECT set_config('migrator.ddl', 'allowed', false)")
            conn.execute("DROP SCHEMA migrator CASCADE")
    path = dual.home / "canaries.toml"
    rule = '[[alarms.datadog.rules]]\naction = "roll_back"\ntenants = ["103", "nope"]\n'
    path.write_text(f'{PLAN}[waves]\ncanaries = ["103", "0103", "nope"]\n[alarms.datadog]\nsecret = "env:DD"\n{rule}')

    done = dual("plan", "check", str(path), "--connect")

    assert done.code == 2 and "103'" in done.err, done
    assert [name for name in ("'103'", "'0103'", "'nope'") if name in done.err] == ["'0103'", "'nope'"]
    assert "alarms.datadog.rules[1].tenants: there is no tenant 'nope'" in done.err, "nor in a rule about alarms"
