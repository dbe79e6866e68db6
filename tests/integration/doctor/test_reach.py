"""Where the way to a server ends is told apart, in bounded time, and the other servers are asked all the same."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import psycopg
import pytest
from psycopg import conninfo

from migrator.doctor.reach import Stage, reach
from tests.fixtures.postgres import Servers, with_parts
from tests.integration.doctor.conftest import Patient

pytestmark = pytest.mark.pg


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word, as a frozen server does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def parts(dsn: str) -> dict[str, str]:
    return {key: str(value) for key, value in conninfo.conninfo_to_dict(dsn).items()}


@pytest.mark.parametrize(
    ("wrong", "stage", "said"),
    [
        ({}, Stage.DONE, ""),
        ({"host": "no-such-host.invalid"}, Stage.NAME, "no-such-host.invalid"),
        ({"port": "1"}, Stage.PORT, "refused"),
        ({"password": "wrong"}, Stage.LOGIN, "refused the user or password"),
        ({"user": "no_such_role"}, Stage.LOGIN, "user or password"),
        ({"dbname": "no_such_database"}, Stage.DATABASE, "does not exist"),
        ({"sslmode": "require"}, Stage.TLS, "SSL"),
        ({"sslmode": "verify-full", "sslrootcert": "/no/such/file"}, Stage.TLS, "SSL"),
    ],
)
def test_each_stage_is_told_apart(classic_dsn: str, wrong: dict[str, str], stage: Stage, said: str) -> None:
    """No text holds the password."""
    found, conn = reach(lambda: with_parts(classic_dsn, **wrong))
    if conn is not None:
        conn.close()

    assert (found.stage, conn is not None) == (stage, stage is Stage.DONE)
    assert said in found.why
    assert parts(classic_dsn).get("password", "-") not in f"{found}"


def test_a_port_that_says_nothing_is_told_apart_from_one_that_refuses(silent: int) -> None:
    found, conn = reach(lambda: f"postgresql://u:of-a-test@127.0.0.1:{silent}/d")

    assert (found.stage, conn) == (Stage.ANSWER, None)
    assert "of-a-test" not in f"{found}"


def test_of_several_hosts_those_that_are_closed_are_named(classic_dsn: str) -> None:
    given = parts(classic_dsn)
    found, conn = reach(
        lambda: with_parts(classic_dsn, host=f"{given['host']},{given['host']}", port=f"{given['port']},1")
    )
    assert conn is not None
    conn.close()

    assert found.stage is Stage.DONE
    assert [re.sub(r" .*", "", one) for one in found.closed] == [f"{given['host']}:1"]


def test_nothing_can_be_written_through_its_connections(classic_dsn: str, limitless_dsn: str) -> None:
    for dsn in (classic_dsn, limitless_dsn):
        _, conn = reach(partial(str, dsn))
        assert conn is not None
        with closing(conn), pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("CREATE TABLE public.written (id int)")


def test_a_proxy_that_answers_in_the_servers_place_is_named(patient: Patient, classic_dsn: str) -> None:
    """Without one nothing is said; a pooler is tried where there are containers."""
    told = patient("reach")

    assert not [text for text in told.of("classic") if "pooler" in text]
    assert [text for text in told.of("classic", "ok") if "answers" in text]
    assert told.done.code == 0, told.level("problem")


def test_a_lost_limitless_leaves_everything_else_known(broken: Patient, servers: Servers) -> None:
    servers.limitless.stop()
    told = broken("reach", "versions", "rights", "clocks")

    assert told.done.code == 3
    (lost,) = told.of("Limitless", "problem", "reach")
    assert "accepts no connection" in lost or "does not answer" in lost, "routers stand before the stand-in"
    assert told.of("classic", "ok", "rights") and told.of("classic", "ok", "clocks")
    for group in ("versions", "rights", "clocks"):
        assert told.of("Limitless", group=group) == ["not known, since it was not reached"]


def test_a_frozen_limitless_is_given_up(broken: Patient, servers: Servers) -> None:
    servers.limitless.freeze()
    told = broken()

    assert told.done.code == 3
    (frozen,) = told.of("Limitless", "problem", "reach")
    assert "does not answer" in frozen or "did not answer" in frozen
    assert told.of("classic", "ok", "rights")


def test_nothing_asked_is_another_answer_than_a_problem(broken: Patient, servers: Servers) -> None:
    """Both servers are lost, and Temporal with them: try again later (5)."""
    servers.classic.stop()
    servers.limitless.freeze()
    told = broken()

    assert told.done.code == 5 and (told.done.json["asked"], told.done.json["servers"]) == (0, 3)
    assert told.of("classic", "problem", "reach") and told.of("Limitless", "problem", "reach")


def test_the_stored_plan_is_enough(broken: Patient, servers: Servers) -> None:
    """With classic's connection string alone, and classic frozen, there is an answer too."""
    environment = {"MIGRATOR_PLAN": "", "MIGRATOR_CLASSIC_DSN": servers.classic_dsn}
    without = broken("plan", "reach", **environment)
    servers.classic.freeze()
    frozen = broken("plan", "reach", **environment)

    assert "none is stored on classic" in without.level("problem")[0]
    assert without.of("classic", "ok", "reach")
    assert frozen.done.code == 5 and frozen.of("classic", "problem", "reach")
