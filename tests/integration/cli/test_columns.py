"""Names may hold anything: no line is wider than the terminal, none gives it orders, none is cut in a pipe."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import typer

from migrator.cli.app import app
from migrator.cli.lines import cells, safe
from migrator.control.history import add_report
from migrator.control.incident import add_incident
from migrator.control.install import install, install_limitless
from migrator.control.phase import set_phase
from migrator.dataplane.capture.install import install as capture
from migrator.db.connect import connect
from migrator.model import trace as traces
from migrator.model.route import WriteMode
from migrator.model.trace import Call
from migrator.model.traffic_test import Pace, Paces, Percentiles, ShadowResult, StatementResult, Writes
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.tables import resolve_tables
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.postgres import Machines, fresh_name

pytestmark = [pytest.mark.pg, pytest.mark.once]

LONG = "name " * 40
NAMES = (
    "\x1b[2J line\nbreak\t\u202e東京 'q\" 😀" + "x" * 90,
    "line\nbreak", "tab\there", "\x1b[2J\x1b]0;title\x07", "x" * 200, LONG.strip(), "שלום עולם", "\u202eevil",
    "😀" * 45, "東京" * 30, "--16", "-1", "O'Brien \"&\" <script>", "a\u200bb", " ", "$(id)", "%s {0}",
    "[bold]x[/bold]", "\u2028",
)  # fmt: skip

ONE_LINE = NAMES[0].replace("\n", " ")

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id text NOT NULL, id bigint PRIMARY KEY, name text);
CREATE INDEX ON app.users (tenant_id);
CREATE TABLE app."wide 東京 table with a name that is as long as names may be 123456" (
    tenant_id text NOT NULL, id bigint PRIMARY KEY, "col\nwith break" text
);
"""


@pytest.fixture(scope="module")
def shop(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Dual write with a tenant of each name: moved, held, quarantined, fallen back, divergent or ordered."""
    name = fresh_name("names")
    classic_dsn, limitless_dsn = machines.new_classic(name), machines.new_limitless(name)
    home = tmp_path_factory.mktemp("names")
    path = home / "plan.toml"
    path.write_text(PLAN)
    plan = load(path)
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(TABLES)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        install_limitless(limitless)
        capture(classic, resolve_tables(classic, plan.tables), 2, 3)
        write_mode(classic, WriteMode.DUAL, who="test", reason="")
        fill(classic)
    (home / "some.log").write_text(f"2026-01-01 10:00:00 UTC [7] LOG:  statement: SELECT '{ONE_LINE}'\n")
    traces.write(home / "trace.jsonl", ONE_LINE, [Call("SELECT * FROM app.users WHERE name = $1", (ONE_LINE,))])
    operator = Operator(home, {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_CLASSIC_DSN": classic_dsn})
    made = home / "names.dossier"
    assert operator("dossier", "write", str(made)).code == 0
    (home / "altered.dossier").write_bytes(made.read_bytes().replace(b"evil", b"good"))
    yield operator
    machines.drop(classic=name, limitless=name)


def fill(conn: psycopg.Connection[Any]) -> None:
    for number, name in enumerate(NAMES):
        state = "quarantined" if number % 3 == 0 else "mirrored"
        conn.execute("INSERT INTO app.users VALUES (%s, %s)", (name, number))
        conn.execute(
            "INSERT INTO migrator.tenant (tenant_id, part, state, wave, reason, divergent)"
            " VALUES (%s, 1, %s, %s, %s, %s)",
            (name, state, 1 if number % 2 else None, f"{name}: refused" if number % 3 == 0 else None, number % 4),
        )
        conn.execute(
            "INSERT INTO migrator.route (tenant_id, part, level, wave, epoch, changed_by, reason)"
            " VALUES (%s, 1, %s, %s, 1, %s, %s)",
            (name, "limitless" if number % 2 else "classic", 1 if number % 2 else None, name, name),
        )
        if number % 5 == 0:
            conn.execute(
                "INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by) VALUES (%s, %s, %s)", (name, name, name)
            )
        conn.execute(
            "INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, epoch, held)"
            " VALUES ('tenant', %s, 'classic', %s, %s, 1, %s)",
            (name, name, name, number % 2 == 0),
        )
        conn.execute(
            "INSERT INTO migrator.decision (who, kind, subject, reason) VALUES (%s, 'tenant.held', %s, %s)",
            (name, name, name),
        )
        add_incident(conn, "test", name, name)
        add_report(conn, "shadow", ran(name))
        conn.execute(
            "INSERT INTO migrator.shadow_read_sample"
            " (process_id, fingerprint, tenant_id, statement, note, compared, differing, reordered, undecided)"
            " VALUES ('p', left(md5(%s), 12), %s, %s, %s, 2, 1, 0, 0)",
            (name, name, name, name),
        )
        conn.execute(
            "INSERT INTO migrator.sighting (server, kind, database, role, application, client, looks)"
            " VALUES ('writer', 'session', 'shop', %s, %s, '10.0.0.1', 3)",
            (name, name),
        )
    conn.execute(
        "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, problem)"
        " SELECT p, 1, pg_current_snapshot()::text, now() - interval '9 days', %s FROM generate_series(0, 2) p",
        (LONG,),
    )
    for phase in ("audit", "provision"):
        set_phase(conn, phase, "done")
    set_phase(conn, "dual_write", "blocked", LONG, [f"tenant {n} is late" for n in NAMES], f"see {LONG}")


def ran(name: str) -> dict[str, Any]:
    """A stored shadow run whose every text is *name*."""
    text = name.strip() or "-"
    slow = Percentiles(1234.5678, 99999.9, 123456.7)
    statement = StatementResult(
        "q-0123456789ab", text, 1234567, slow, slow, {}, {"0A000": 12}, compared=20, differing=20,
        pace=Paces(Pace.SLOWER, Pace.NOT_SLOWER, Pace.TOO_FEW),
    )  # fmt: skip
    run = ShadowResult((statement,), text, 3.5, 3, Writes.ROLLED_BACK, skipped=5, stopped=text)
    return {
        **run.to_json(),
        "at": "2026-01-01T00:00:00+00:00", "who": text,
        "findings": [{"fingerprint": "q-0123456789ab", "kind": "differs", "text": text}],
        "details": [{"fingerprint": "q-0123456789ab", "not_compared": [text], "errors": {"0A000": text}}],
        "left_out": {text: 5}, "notes": [text], "round_trip_ms": {"classic": 1.5, "limitless": None},
    }  # fmt: skip


ONE = NAMES[0]
"""It has everything."""
COMMANDS: dict[str, str] = {
    # The words after the name of the command; what changes something is a dry run, or fails.
    "approve": "cutover --as {name}",
    "approver list": "",
    "approver token": "{name}",
    "gate": "dual_write",
    "abort": "-r {name} --yes",
    "audit": "--schema app",
    "backfill status": "--units",
    "backfill throttle": "--pause -r {name} --dry-run",
    "breaker reset": "--tenant {name} --dry-run",
    "breaker show": "",
    "breaker trip": "--tenant {name} -r {name} --dry-run",
    "conformance": "--command true --classic env:A --limitless env:B",
    "control restore": "nothing.zip --dry-run",
    "cost": "--shards",
    "shadow capture": "{home}/new.jsonl --log {home}/some.log --dry-run",
    "shadow report": "",
    "shadow run": "{home}/trace.jsonl --tenant {name} --dry-run",
    "shadow status": "",
    "size": "--row-writes 100 --seconds 0.1",
    "cutover": "--dry-run",
    "decide": "--vcpus 64 --cpu-pct 86 --growth-pct 15",
    "decommission check": "",
    "decommission delete": "--as {name} --yes",
    "decommission reopen": "-r {name} --yes",
    "decommission run": "--dry-run",
    "decommission status": "",
    "doctor": "--only rights",
    "drill restore": "--restored env:A --as {name} --yes",
    "drill rollback": "--tenant {name} --as {name} --yes",
    "drill status": "",
    "drill temporal": "--tenant {name} --as {name} --yes",
    "dossier show": "{home}/names.dossier",
    "dossier verify": "{home}/altered.dossier",
    "dossier write": "--dry-run",
    "grant": "nobody_of_this_name",
    "incident alarms": "",
    "incident report": "-r {name} --dry-run",
    "load report": "",
    "load run": "nothing.toml",
    "load workload": "--trace nothing.trace",
    "local standin": "env:A --owner {name}",
    "log accept": "{name} -r {name} --dry-run",
    "log head": "",
    "mirror quarantine": "",
    "mirror recopy": "-r {name} --dry-run",
    "mirror retry": "--dry-run -- {name}",
    "mirror status": "",
    "notify acknowledge": "{name} --as {name}",
    "notify status": "",
    "notify test": "",
    "pause": "-r {name}",
    "plan apply": "plan.toml -r {name} --dry-run",
    "plan check": "--connect",
    "plan diff": "plan.toml",
    "plan history": "",
    "plan terraform": "--check",
    "preflight": "",
    "provision": "--verify",
    "readers": "",
    "reads": "",
    "report": "audit",
    "resume": "-r {name}",
    "roles": "",
    "rollback": "--all -r {name} --dry-run",
    "run": "--dry-run",
    "schema adopt": "--dry-run",
    "schema apply": "nothing.sql",
    "schema check": "nothing.sql",
    "schema status": "",
    "schema undo": "--dry-run",
    "status": "",
    "tenant forget": "-r {name} --dry-run -- {name}",
    "tenant hold": "-r {name} --dry-run -- {name}",
    "tenant move": "-r {name} --to classic --dry-run -- {name}",
    "tenant release": "-r {name} --dry-run -- {name}",
    "tenant show": "",
    "undo dual-write": "--dry-run",
    "undo provision": "--dry-run",
    "upgrade": "--dry-run",
    "validate": "--tenant nope",
    "validation history": "",
    "validation schedule pause": "-r {name}",
    "validation schedule resume": "-r {name}",
    "validation schedule show": "",
    "version": "",
}

NOT_RUN = {
    "cluster create": "asks AWS", "cluster delete": "asks AWS", "cluster status": "asks AWS",
    "control backup": "writes a file",
    "incident serve": "serves until Ctrl-C", "serve": "the same", "worker": "works until SIGTERM",
    "local down": "of servers on this machine", "local status": "of servers on this machine",
    "local up": "of servers on this machine", "rehearse": "takes minutes",
    "plan init": "writes a file", "plan template": "writes a file",
    "plan schema": "JSON for a program, of any width", "plan show": "TOML for a program, of any width",
}  # fmt: skip


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
    for name, one in (inner or {}).items():
        yield from leaves(one, (*path, name))


EVERY = sorted(leaves(typer.main.get_command(app)))


def test_every_command_is_run() -> None:
    assert sorted([*COMMANDS, *NOT_RUN]) == EVERY


def wrong(text: str, columns: int) -> list[str]:
    return [line for line in text.splitlines() if cells(line) > columns or not line.replace("\t", "x").isprintable()]


@pytest.mark.parametrize("command", EVERY)
def test_help_fits(shop: Operator, command: str) -> None:
    for columns in (80, 60):
        done = shop.on_terminal(columns, *command.split(), "--help")
        assert done.code == 0 and wrong(done.out, columns) == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_line_is_wider_than_the_terminal(shop: Operator, command: str) -> None:
    """And what a pipe gets is whole."""
    given = shlex.split(COMMANDS[command])
    words = [word.replace("{name}", ONE).replace("{home}", str(shop.home)) for word in given]
    narrow = shop.on_terminal(80, *command.split(), *words)
    assert wrong(narrow.out, 80) == wrong(narrow.err, 80) == [], narrow
    assert "Traceback" not in narrow.err and "unexpected" not in narrow.err, narrow.err
    least = shop.on_terminal(60, *command.split(), *words)
    assert wrong(least.out, 60) == wrong(least.err, 60) == []

    pipe = shop(*command.split(), *words, COLUMNS="80")
    assert wrong(pipe.out, 100_000) == wrong(pipe.err, 100_000) == []
    assert pipe.code == narrow.code
    if "{name}" in COMMANDS[command]:
        assert "line\nbreak" not in pipe.out + pipe.err


def test_a_pipe_has_every_name_whole(shop: Operator) -> None:
    quarantined = shop("mirror", "quarantine").out
    blocked = shop("status", "--all").out

    for number, name in enumerate(NAMES):
        if number % 3 == 0:
            assert safe(name).strip() in quarantined
        assert f"tenant {safe(name)} is late" in blocked


def test_blockers_are_grouped_unless_all_are_asked_for(shop: Operator) -> None:
    few, every = shop("cutover", "--dry-run"), shop("cutover", "--dry-run", "--all")

    assert few.code == every.code == 3
    listed, causes = (sum(line.startswith("  - ") for line in done.out.splitlines()) for done in (every, few))
    assert listed > causes and causes <= 20
    assert "--all" in few.out and "more like it" in few.out and "more like it" not in every.out
    assert len(shop("cutover", "--dry-run", "--json").json["blockers"]) == listed
