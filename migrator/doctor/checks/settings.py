"""Do settings, limits and other people's event triggers leave room for a migration?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrator.audit.target import Target
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Finding, ok, problem, some, warning
from migrator.doctor.server import Connection, of, one, rows
from migrator.model import session
from migrator.plan.schema import Plan

ORDER = 50

SIDES = frozenset({Kind.CLASSIC, Kind.LIMITLESS})

XIDS = 2_000_000_000
"""Transaction ids that a table may be old, about; the server stops taking writes a little before 2^31."""

OPEN_S = 300.0

EXPIRES_DAYS = 200.0
"""A password that ends within a migration's calendar (24 weeks) and some weeks more."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Who is connected. valid_days: until the role's password ends; None: it does not.

    Attributes:
        role_limit, database_limit: -1: none.
    """

    most: int
    reserved: int
    used: int
    role_limit: int
    role_used: int
    database_limit: int
    database_used: int
    valid_days: float | None
    ours: int


CONNECTIONS: Section[Connections] = Section(
    "connections", SIDES, lambda conn, _plan: of(Connections, one(conn, "connections"))
)


@dataclass(frozen=True, slots=True)
class Configured:
    """How classic is configured. oldest_s: the oldest transaction of others; None: there is none, or it is hidden."""

    fsync: bool
    full_pages: bool
    autovacuum: bool
    event_triggers: bool
    old_snapshot: str | None
    track_functions: str
    statements: bool
    xid_age: int
    prepared: int
    oldest_s: float | None
    foreign_triggers: list[str]
    guards_off: list[str]
    bytes: float


CONFIGURED: Section[Configured] = Section(
    "its configuration", frozenset({Kind.CLASSIC}), lambda conn, _plan: of(Configured, one(conn, "settings"))
)


def _pinned(conn: Connection, _plan: Plan | None) -> dict[str, str]:
    names = [pin.name for pin in session.EVERYTHING]
    return {row["name"]: row["value"] for row in rows(conn, "pinned", names=names) if row["value"] is not None}


PINNED: Section[dict[str, str]] = Section("settings of the tool's sessions", SIDES, _pinned)


def judge_connections(facts: Facts) -> Iterable[Finding]:
    """Return whether the migration's connections have room on each side, and whether the login will last."""
    needed = Target.of(facts.plan).connections
    for server, found in facts.each(CONNECTIONS):
        if not isinstance(found, Unasked):
            yield from room(server, found, needed)


def room(server: Server, found: Connections, needed: int) -> Iterable[Finding]:
    """Return what the limits leave, of server, database and role; sessions of the tool are counted as its own. Pure."""
    more = max(0, needed - found.ours)
    limits = [("the server", found.most - found.reserved, found.used, "max_connections")]
    if found.database_limit >= 0:
        limits.append(("the database", found.database_limit, found.database_used, "ALTER DATABASE … CONNECTION LIMIT"))
    if found.role_limit >= 0:
        limits.append(("the tool's role", found.role_limit, found.role_used, "ALTER ROLE … CONNECTION LIMIT"))
    here = " of this router" if server.kind is Kind.LIMITLESS else ""
    short = [limit for limit in limits if limit[1] - limit[2] < more]
    for whose, most, used, by in short:
        yield warning(
            server.name,
            f"{used} of {most} connections of {whose}{here} are used; the migration takes about {needed}, of which"
            f" {found.ours} are there",
            "mirrors and copies would be refused, and applications with them",
            f"Raise it ({by}), or lower dual_write.parts or backfill.concurrency.",
        )
    if not short:
        yield ok(server.name, f"{found.used} of {found.most} connections{here} are used, about {more} more are needed")
    if found.valid_days is not None and found.valid_days < EXPIRES_DAYS:
        end = "has ended" if found.valid_days < 0 else f"ends in {found.valid_days:.0f} days"
        yield warning(
            server.name,
            f"the login of the tool's role {end} (VALID UNTIL)",
            "from then on no worker and no rollback gets in",
            "ALTER ROLE … VALID UNTIL 'infinity', or note the day",
        )


def judge_sessions(facts: Facts) -> Iterable[Finding]:
    """Return what of the tool's session settings its role may not set."""
    for server, found in facts.each(PINNED):
        if not isinstance(found, Unasked):
            yield from pinned(server.name, found)


def pinned(name: str, found: Mapping[str, str]) -> Iterable[Finding]:
    """Return what is otherwise than the tool sets it, and whether rows depend on it. Pure."""
    loses = session.refused(found.items())
    if loses:
        yield problem(
            name,
            f"{some(loses)} in the tool's sessions, and its role may not set it",
            "rows could be missed",
            "ALTER ROLE … RESET it, or GRANT SET ON PARAMETER … to the role",
        )
    granted = [pin for pin in session.EVERYTHING if pin.right is session.Right.GRANTED]
    granted = [pin for pin in granted if pin.name not in session.MATTERS and pin.name in found]
    other = [f"{pin.name} = {found[pin.name]}" for pin in granted if found[pin.name] != pin.value]
    if other:
        yield warning(
            name,
            f"{some(other)} in the tool's sessions, and its role may not set it",
            "large sorts may fail, locks may wait for longer, or its sessions may be hidden",
            "ALTER ROLE … RESET it, or GRANT SET ON PARAMETER … to the role",
        )
    if not loses and not other:
        yield ok(name, "timeouts and formats that roles and databases set do not reach the tool's sessions")


def judge_classic(facts: Facts) -> Iterable[Finding]:
    """Return what of classic's configuration endangers capture, copies or figures."""
    found = facts.known(CONFIGURED, Kind.CLASSIC)
    if found is None:
        return
    notes = [*_endangers(found), *_delays(found), *_hides(found)]
    yield from notes or [ok("classic", "nothing in its configuration stands in the way")]


def _endangers(found: Configured) -> Iterable[Finding]:
    if found.guards_off:
        yield problem(
            "classic",
            f"the event trigger{'s' if len(found.guards_off) != 1 else ''} {some(found.guards_off)} of the tool"
            " do not fire always",
            "commands past the tool may change captured tables unseen",
            "migrator mirror status says what was lost; migrator mirror recopy makes capture anew",
        )
    if not found.event_triggers:
        yield problem(
            "classic",
            "event_triggers is off",
            "the guard of captured tables does not fire for applications",
            "ALTER SYSTEM RESET event_triggers (AWS: the parameter group), then SELECT pg_reload_conf()",
        )
    if found.old_snapshot not in (None, "-1"):
        yield problem(
            "classic",
            f"old_snapshot_threshold is {found.old_snapshot}",
            "copies read for longer than that with one snapshot, and would fail",
            "Set it to -1 and restart classic.",
        )
    if not found.fsync or not found.full_pages:
        name = "full_page_writes" if found.fsync else "fsync"
        yield warning(
            "classic",
            f"{name} is off",
            "what was committed may be lost in a crash of the machine, and Limitless would hold more than classic",
            f"ALTER SYSTEM SET {name} = on, unless this is a test",
        )
    if found.foreign_triggers:
        yield warning(
            "classic",
            f"event triggers of others fire on commands: {some(found.foreign_triggers)}",
            "they run for the tool's own commands too, and may refuse them",
            "Read what they do; disable those that refuse while the tool works (ALTER EVENT TRIGGER … DISABLE).",
        )


def _delays(found: Configured) -> Iterable[Finding]:
    if found.xid_age > XIDS / 2:
        say = problem if found.xid_age > 0.9 * XIDS else warning
        yield say(
            "classic",
            f"the oldest transaction id is {found.xid_age:,} old, {found.xid_age / XIDS:.0%} of what may be",
            "near the end the server takes no writes; a copy's snapshot holds freezing back",
            "VACUUM (FREEZE) the oldest tables before the copy begins.",
        )
    if not found.autovacuum:
        yield warning("classic", "autovacuum is off", "tables grow, the tool's too", "ALTER SYSTEM SET autovacuum = on")
    if found.prepared:
        yield warning(
            "classic",
            f"{found.prepared} prepared transactions are older than 5 minutes",
            "they hold locks and the mirror's position back until they end",
            "SELECT gid, prepared, owner FROM pg_prepared_xacts; COMMIT PREPARED or ROLLBACK PREPARED them",
        )
    if found.oldest_s is not None and found.oldest_s > OPEN_S:
        yield warning(
            "classic",
            f"a transaction of another session has been open for {found.oldest_s:,.0f} s (limit {OPEN_S:g} s)",
            "capture waits for writers when it begins, and dead rows stay until it ends",
            "SELECT pid, usename, xact_start, state FROM pg_stat_activity ORDER BY xact_start; end what was forgotten",
        )


def _hides(found: Configured) -> Iterable[Finding]:
    if not found.statements:
        yield warning(
            "classic",
            "pg_stat_statements is not installed in this database",
            "the audit does not see which statements run, and what the tool's cost is unknown",
            "Add it to shared_preload_libraries, restart, CREATE EXTENSION pg_stat_statements",
        )
    if found.track_functions == "none":
        yield warning(
            "classic",
            "track_functions is none",
            "what capture costs is modelled from rows written, not measured (docs/runway.md)",
            "ALTER SYSTEM SET track_functions = pl (AWS: the parameter group), SELECT pg_reload_conf()",
        )


CHECKS = (
    Check("settings.connections", (CONNECTIONS,), judge_connections),
    Check("settings.sessions", (PINNED,), judge_sessions),
    Check("settings.classic", (CONFIGURED,), judge_classic),
)
