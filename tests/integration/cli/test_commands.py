"""Every command explains itself, and bad input ends in one message with nothing touched."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer
from psycopg import conninfo

from migrator.cli.app import app
from tests import ROOT
from tests.fixtures.operator import Done, Operator

# They only show something, write a file of their own, or run until they are stopped.
CHANGE_NOTHING = {
    "approver list", "approver token", "audit", "backfill status", "breaker show", "cluster status", "conformance",
    "control backup",
    "cost", "decide", "decommission check", "decommission status", "doctor",
    "dossier show", "dossier verify", "drill status", "gate",
    "load report", "load workload", "log head", "preflight", "readers", "reads",
    "incident alarms", "incident serve",
    "local status", "mirror quarantine", "mirror status", "notify status", "notify test",
    "plan check", "plan diff", "plan history",
    "plan init", "plan schema", "plan show",
    "plan template", "rehearse", "report", "schema check", "schema status", "serve",
    "shadow report", "shadow status", "size", "status", "tenant show",
    "validation history", "validation schedule show", "version", "worker",
}  # fmt: skip
SHOW_NO_DATA = {"worker", "incident serve", "serve", "plan schema", "plan template"}


def commands() -> Iterator[tuple[str, typer.core.TyperCommand]]:
    def walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, typer.core.TyperCommand]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            assert isinstance(command, typer.core.TyperCommand)
            yield " ".join(path), command
        else:
            for name, found in inner.items():
                yield from walk(found, (*path, name))

    yield from walk(typer.main.get_command(app), ())


COMMANDS = dict(commands())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str) -> None:
    """Help in a sentence, an example that starts with the command itself, a row in docs/cli.md."""
    command = COMMANDS[path]
    example = command.epilog or ""

    assert command.help and len(command.help.strip()) > 10
    assert re.match(rf"^Example: ([A-Z_]+=\S+ )?migrator {re.escape(path)}( |$)", example), example
    row = re.search(
        rf"^\| `migrator {re.escape(path)}` \| (.+) \| ([0-9, ]+) \|$", (ROOT / "docs/cli.md").read_text(), re.M
    )
    assert row, "docs/cli.md has no row for it"


@pytest.mark.parametrize("path", COMMANDS)
def test_options_read_the_same_everywhere(path: str) -> None:
    """--json where it shows something, --dry-run where it changes something."""
    options = {name for parameter in COMMANDS[path].params for name in parameter.opts}

    assert "--json" in options or path in SHOW_NO_DATA
    assert "--dry-run" in options or path in CHANGE_NOTHING


def test_docs_name_no_command_that_is_gone() -> None:
    text = (ROOT / "docs/cli.md").read_text()

    groups = getattr(typer.main.get_command(app), "commands", {})
    alone = {name for name, group in groups.items() if getattr(group, "invoke_without_command", False)}
    assert set(re.findall(r"^\| `migrator ([a-z -]+)` \|", text, re.MULTILINE)) == set(COMMANDS) | alone


def test_settings_are_documented() -> None:
    """Every environment variable that the settings read has a row in docs/cli.md, and none other."""
    read = set(re.findall(r"MIGRATOR_[A-Z_]+", (ROOT / "migrator/settings.py").read_text()))
    rows = set(re.findall(r"^\| `(MIGRATOR_[A-Z_]+)` \|", (ROOT / "docs/cli.md").read_text(), re.MULTILINE))

    assert rows == read


def test_help_loads_nothing_heavy() -> None:
    """An operator in a hurry does not wait for Temporal, pydantic or the audit to load."""
    heavy = ("temporalio", "pydantic", "pgparse", "rich", "psycopg")
    probe = f"import sys, migrator.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.fixture
def operator(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Operator:
    return Operator(tmp_path, {"A": classic_dsn, "B": limitless_dsn})


PLAN = """
name = "shop"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
[tables]
schemas = ["app"]
"""
TABLES = "CREATE SCHEMA app; CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY);"


def write(operator: Operator, text: str = PLAN) -> str:
    path = operator.home / "plan.toml"
    path.write_text(text)
    return str(path)


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement)


def untouched(dsn: str) -> bool:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'migrator'").fetchone()
        return row == (0,)


def one_message(done: Done) -> str:
    """The message of a failed command: one block on stderr that starts with the tool's name."""
    assert done.err.startswith("migrator: "), done.err
    assert done.err.count("migrator: ") == 1
    return done.err


@pytest.mark.pg
def test_a_bad_plan_is_one_error_and_touches_nothing(operator: Operator) -> None:
    path = write(operator, PLAN + '[waves]\nsizez = [1]\nramp_pct = [3]\n[gates]\naudit = "no"\n')

    done = operator("run", "--plan", path, "--yes")
    as_json = operator("run", "--plan", path, "--yes", "--json")

    assert done.code == as_json.code == 2
    message = one_message(done)
    for key in ("waves.sizez", "waves.ramp_pct", "gates.audit"):
        assert f"  - {key}: " in message
    assert len(as_json.json["problems"]) == 3
    assert untouched(operator.environment["A"]) and untouched(operator.environment["B"])


@pytest.mark.pg
@pytest.mark.parametrize("command", ["run", "provision"])
@pytest.mark.parametrize(
    ("ddl", "plan", "expected"),
    [
        ("CREATE SCHEMA app; CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint)", PLAN, "no primary key"),
        ("CREATE SCHEMA app; CREATE TABLE app.users (id bigint PRIMARY KEY)", PLAN, "has no column tenant_id"),
        (TABLES, PLAN + '[tables.table."app.orderz"]\nkind = "sharded"\n', "app.orderz"),
        ("SELECT 1", PLAN, "no tables in schema app"),
    ],
    ids=["no primary key", "no tenant column", "unknown table", "nothing there"],
)
def test_a_plan_that_does_not_fit_is_refused(
    operator: Operator, command: str, ddl: str, plan: str, expected: str
) -> None:
    """Tables without a key or tenant, and tables that are not there, end in exit code 2 with nothing touched."""
    execute(operator.environment["A"], ddl)

    done = operator(command, "--plan", write(operator, plan), "--yes")

    assert done.code == 2
    assert expected in one_message(done)
    assert untouched(operator.environment["A"]) and untouched(operator.environment["B"])


@pytest.mark.pg
@pytest.mark.parametrize("side", ["A", "B"])
@pytest.mark.parametrize("words", [("run", "--yes"), ("provision", "--yes"), ("plan", "check", "--connect")])
def test_an_unreachable_server_is_try_again(operator: Operator, side: str, words: tuple[str, ...]) -> None:
    """Whichever side is down: exit code 5, its address without the password, nothing touched on the other."""
    execute(operator.environment["A"], TABLES)
    path = write(operator)

    done = operator(*words, **{side: "postgresql://u:geheim@127.0.0.1:1/db", "MIGRATOR_PLAN": path})

    assert done.code == 5
    assert "127.0.0.1:1" in one_message(done) and "geheim" not in done.err
    assert untouched(operator.environment["A"]) and untouched(operator.environment["B"])


@pytest.mark.pg
def test_a_wrong_password_is_said_and_not_shown(operator: Operator) -> None:
    execute(operator.environment["A"], TABLES)
    wrong = conninfo.make_conninfo(operator.environment["A"], password="nicht-dies")

    done = operator("run", "--plan", write(operator), "--yes", A=wrong)

    assert done.code == 5
    assert "password" in one_message(done) and "nicht-dies" not in done.err


@pytest.mark.pg
def test_missing_rights_are_a_no_go(operator: Operator) -> None:
    """A role that may not create the control schema is told so, with the place that lists the rights."""
    dsn = operator.environment["A"]
    execute(dsn, TABLES)
    database = conninfo.conninfo_to_dict(dsn)["dbname"]
    role = f"guest_{database}"
    execute(dsn, f"CREATE ROLE {role} LOGIN PASSWORD 'guest'; GRANT USAGE ON SCHEMA app TO {role}")
    try:
        done = operator(
            "run", "--plan", write(operator), "--yes", A=conninfo.make_conninfo(dsn, user=role, password="guest")
        )
    finally:
        execute(dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert done.code == 3
    assert "permission denied" in one_message(done) and "docs/privileges.md" in done.err
    assert untouched(dsn)


@pytest.mark.pg
def test_a_missing_variable_is_named(operator: Operator) -> None:
    done = operator("run", "--plan", write(operator, PLAN.replace("env:A", "env:NOT_SET_ANYWHERE")), "--yes")

    assert done.code == 2 and "NOT_SET_ANYWHERE is not set" in one_message(done)


@pytest.mark.pg
def test_an_ordinary_server_cannot_stand_for_limitless(operator: Operator, classic_dsn: str) -> None:
    """DDL for sharded tables would silently make ordinary ones there."""
    execute(operator.environment["A"], TABLES)

    done = operator("provision", "--plan", write(operator), "--yes", B=classic_dsn + " application_name=other")

    assert done.code == 2 and "not Aurora Limitless" in one_message(done)


@pytest.mark.pg
def test_a_dangerous_command_asks_and_nobody_answers(operator: Operator) -> None:
    """Without a terminal and without --yes nothing happens."""
    execute(operator.environment["A"], TABLES)

    done = operator("provision", "--plan", write(operator))

    assert done.code == 2 and "--yes" in one_message(done)
    assert untouched(operator.environment["B"])


@pytest.mark.pg
def test_temporal_that_is_down_is_try_again(operator: Operator) -> None:
    """The migration cannot be started without it; what is on classic stays readable."""
    execute(operator.environment["A"], TABLES)
    path = write(operator, PLAN + '[temporal]\naddress = "127.0.0.1:1"\n')

    done = operator("run", "--plan", path, "--yes")
    status = operator("status", "--plan", path)

    assert done.code == 5 and "temporal" in one_message(done)
    assert status.code == 0 and "audit" in status.out


def test_the_unexpected_is_one_line_and_a_trace_only_when_asked(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug ends in exit code 1 and says how to see more; MIGRATOR_DEBUG=1 shows it."""
    monkeypatch.setattr("migrator.plan.load.load", lambda path: 1 / 0)

    quiet = operator("plan", "check", "plan.toml")
    loud = operator("plan", "check", "plan.toml", MIGRATOR_DEBUG="1")

    assert quiet.code == loud.code == 1
    assert "unexpected ZeroDivisionError" in one_message(quiet) and "MIGRATOR_DEBUG=1" in quiet.err
    assert "Traceback" in loud.err and "Traceback" not in quiet.err


def test_the_program_itself_ends_with_the_code(tmp_path: Path) -> None:
    """In a process of its own: data on stdout, the message on stderr, no trace."""
    operator = Operator(tmp_path, {})
    good, bad = operator.process("version", "--json"), operator.process("plan", "check", "missing.toml")

    assert good.code == 0 and good.err == "" and "version" in good.json
    assert bad.code == 2 and bad.out == "" and "missing.toml: no such plan file" in one_message(bad)
    assert "Traceback" not in bad.err


def test_no_plan_at_all_says_how_to_give_one(tmp_path: Path) -> None:
    done = Operator(tmp_path, {})("run", "--yes")

    assert done.code == 2 and "--plan PLAN.toml" in one_message(done)


@pytest.mark.parametrize("words", [("nonsense",), ("rollback", "--nonsense"), ("rollback",), ("backfill", "throttle")])
def test_wrong_words_are_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert Operator(tmp_path, {})(*words).code == 2


def test_plan_commands_need_no_server(tmp_path: Path) -> None:
    """check, show, schema and template work anywhere."""
    operator = Operator(tmp_path, {})
    path = str(tmp_path / "new.toml")

    assert operator("plan", "template", path, "--name", "billing").code == 0
    assert operator("plan", "template", path).code == 2, "an existing file is never overwritten"
    assert operator("plan", "template", str(tmp_path / "other.toml"), "--name", "Not A Name").code == 2
    assert not (tmp_path / "other.toml").exists()
    assert operator("plan", "check", path, "--json").json["plan"] == "billing"
    assert operator("plan", "show", path, "--json").json["limitless"]["dsn"] == "env:MIGRATOR_LIMITLESS_DSN"
    assert "properties" in operator("plan", "schema").json


# -- rollback before anything -----------------------------------------------------------------------------------


@pytest.mark.pg
@pytest.mark.parametrize("scope", [("--all",), ("--wave", "1"), ("--tenant", "7")])
def test_a_rollback_before_anything_was_cut_over_is_done_already(operator: Operator, scope: tuple[str, ...]) -> None:
    """What was asked for holds, with and without a control schema: exit code 0. It needs only MIGRATOR_CLASSIC_DSN."""
    dsn = operator.environment["A"]
    bare = operator("rollback", *scope, "--reason", "drill", MIGRATOR_CLASSIC_DSN=dsn)
    execute(dsn, TABLES)
    operator("run", "--plan", write(operator, PLAN + '[temporal]\naddress = "127.0.0.1:1"\n'), "--yes")

    installed = operator("rollback", *scope, "--reason", "drill", "--json", MIGRATOR_CLASSIC_DSN=dsn)
    again = operator("rollback", *scope, "--reason", "drill", "--json", MIGRATOR_CLASSIC_DSN=dsn)

    assert bare.code == installed.code == again.code == 0
    assert "Nothing to roll back" in bare.out
    assert installed.json["changed"] == 0
    assert again.json["already"] is True
