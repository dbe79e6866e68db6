"""The commands about the contract: what they say, and the exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from migrator.control.install import install
from tests.fixtures.operator import Operator
from tests.fixtures.postgres import Machines, fresh_name

pytestmark = [pytest.mark.pg, pytest.mark.once]

BREAKS = f"{sys.executable} -m tests.integration.contract.client --broken 'commits without a token'"


@pytest.fixture
def operator(machines: Machines, tmp_path: Path) -> Iterator[Operator]:
    """With two empty databases, A and B."""
    dsns = machines.new_classic(fresh_name("classic")), machines.new_limitless(fresh_name("limitless"))
    yield Operator(tmp_path, {"A": dsns[0], "B": dsns[1], "MIGRATOR_CLASSIC_DSN": dsns[0]})
    machines.drop_pair(dsns)


def test_a_broken_promise_is_told_with_its_evidence_and_leaves_nothing_behind(operator: Operator) -> None:
    given = ("conformance", "--command", BREAKS, "--promise", "closed", "--classic", "env:A", "--limitless", "env:B")
    done = operator(*given, "--json")
    found = json.loads(done.out)

    assert done.code == 3
    assert (found["kept"], [p["promise"] for p in found["promises"]]) == (False, ["closed"])
    assert "classic holds 'closed'" in found["promises"][0]["evidence"][0]
    with psycopg.connect(operator.environment["A"], autocommit=True) as conn:
        left = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('app', 'migrator')").fetchall()
        assert left == []
        install(conn, "other", "digest", {}, {})
    refused = operator(*given)
    assert (refused.code, "is not empty" in refused.err) == (3, True)


def test_databases_that_somebody_uses_are_refused_and_left_as_they_are(operator: Operator) -> None:
    """Those of a migration and of an application, and one that stands for both."""
    given = ("conformance", "--command", "true", "--classic", "env:A", "--limitless")
    assert "name the same database" in operator(*given, "env:A").err
    found = []
    for side, make in (
        ("B", "CREATE TABLE public.settled (id int)"), ("A", "CREATE SEQUENCE orders"), ("A", "CREATE SCHEMA migrator"),
    ):  # fmt: skip
        with psycopg.connect(operator.environment[side], autocommit=True) as conn:
            conn.execute(make.encode())
        done = operator(*given, "env:B")
        found.append((done.code, done.err.partition("\n")[0]))
        with psycopg.connect(operator.environment["B"], autocommit=True) as conn:
            assert conn.execute("SELECT to_regclass('public.settled') IS NOT NULL").fetchone() == (True,)
        if side == "B":
            with psycopg.connect(operator.environment["A"], autocommit=True) as conn:
                assert conn.execute("SELECT to_regnamespace('migrator')").fetchone() == (None,)
    assert [code for code, _ in found] == [3, 3, 3]
    assert ["public.settled" in found[0][1], "public.orders" in found[1][1], "a schema migrator" in found[2][1]] == [
        True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--command", "true", "--classic", "env:A"), "only one of --classic and --limitless"),
        (("--command", ""), "the command is empty"),
        (("--command", "'"), "the command cannot be read"),
        (("--command", "true", "--promise", "everything"), "everything"),
        (("--command", "/nowhere/client", "--classic", "env:A", "--limitless", "env:B"), "cannot be started"),
    ],
)
def test_what_cannot_be_tried_is_said_at_once(operator: Operator, words: tuple[str, ...], says: str) -> None:
    done = operator("conformance", *words)

    assert (done.code, says in done.err) == (2, True), done.err


def test_a_client_that_does_not_start_is_told_by_what_it_wrote_and_judged_in_nothing(operator: Operator) -> None:
    command = f"{sys.executable} -c \"import sys; sys.exit('no driver')\""
    done = operator(
        "conformance",
        "--command",
        command,
        "--classic",
        "env:A",
        "--limitless",
        "env:B",
        "--promise",
        "closed",
        "--json",
    )
    told = json.loads(done.out)

    assert (done.code, told["exit_code"], told["problems"]) == (2, 2, ["it wrote: no driver"])
    assert told["error"] == "the client did not start: it ended with exit code 1 without an answer"
    assert done.err.splitlines()[-2:][0] == "  - it wrote: no driver" and "promises" not in told


def test_a_role_is_given_the_functions_and_no_table(operator: Operator) -> None:
    with psycopg.connect(operator.environment["A"], autocommit=True) as conn:
        install(conn, "shop", "digest", {}, {})
        role = sql.Identifier(name := f"node_{conn.info.dbname}")
        conn.execute(sql.SQL("CREATE ROLE {}").format(role))
        assert "EXECUTE" in operator("grant", name, "--for", "client", "--sql").out
        done = operator("grant", name, "--for", "client")
        assert (done.code, "may call the functions of the contract" in done.err) == (0, True)
        assert conn.execute(
            "SELECT has_function_privilege(%s, 'migrator.client_over()', 'EXECUTE'),"
            " has_table_privilege(%s, 'migrator.route', 'SELECT')",
            (name, name),
        ).fetchone() == (True, False)
        assert operator("grant", name, "--for", "client", "--on", "limitless").code == 2
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))
