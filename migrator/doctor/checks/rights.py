"""May the tool's roles do what they have to, on both sides; and applications' roles what their shims need?

What the tool's roles need, and the statement that gives it, is `migrator.privileges`; docs/privileges.md says what for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from migrator.control.grants import lacking
from migrator.control.install import installed_version, version_problem
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, warning
from migrator.doctor.server import Connection, rows
from migrator.model.side import Side
from migrator.plan.schema import Plan
from migrator.privileges.held import Held, Reach, Role, excluded, read_reach, read_role
from migrator.privileges.needs import Missing, missing
from migrator.rights.read import ENGINES_OWN, holders

ORDER = 40

SIDES = frozenset({Kind.CLASSIC, Kind.LIMITLESS})

SIDE = {Kind.CLASSIC: Side.CLASSIC, Kind.LIMITLESS: Side.LIMITLESS}

ROLE: Section[Role] = Section("the tool's role", SIDES, lambda conn, _plan: read_role(conn))


def _reach(conn: Connection, plan: Plan | None, *, leaves: bool) -> Reach:
    if plan is None:
        return Reach()
    return read_reach(conn, plan.tables.schemas, excluded(plan.tables.table), leaves=leaves)


ON_CLASSIC: Section[Reach] = Section(
    "tables and their owners", frozenset({Kind.CLASSIC}), lambda conn, plan: _reach(conn, plan, leaves=True)
)
ON_LIMITLESS: Section[Reach] = Section(
    "tables and their owners there", frozenset({Kind.LIMITLESS}), lambda conn, plan: _reach(conn, plan, leaves=False)
)

HOLDERS: Section[frozenset[str]] = Section(
    "roles with rights",
    frozenset({Kind.CLASSIC}),
    lambda conn, plan: holders(conn, plan.tables.schemas) if plan else frozenset(),
)
ADMINISTERED: Section[dict[str, bool]] = Section(
    "roles it may change",
    frozenset({Kind.LIMITLESS}),
    lambda conn, _plan: {row["name"]: row["administered"] for row in rows(conn, "administered")},
)


def _lacking(conn: Connection, _plan: Plan | None) -> dict[str, list[str]]:
    if read_role(conn).owns_control is False:  # which is said by itself
        return {}
    version = installed_version(conn)
    return {} if version is None or version_problem(version, "classic") else lacking(conn)


SHIMS: Section[dict[str, list[str]]] = Section("rights of shims", frozenset({Kind.CLASSIC}), _lacking)


def _name(role: str) -> str:
    return sql.Identifier(role).as_string(None)


def _said(server: Server, lacks: Iterable[Missing]) -> Iterable[Finding]:
    for lack in lacks:
        # On RDS no catalog tells who the main user is: the gate before dual write tries it.
        certain = lack.need.required and not lack.gap.unsure
        yield (problem if certain else warning)(server.name, lack.gap.text, lack.need.why, lack.gap.advice)


def judge_role(facts: Facts) -> Iterable[Finding]:
    """Return what the tool's role lacks by itself, on either side."""
    for server, found in facts.each(ROLE):
        if not isinstance(found, Unasked):
            lacks = list(_said(server, missing(Held(SIDE[server.kind], found, Reach()))))
            yield from lacks or [ok(server.name, f"role {found.role} has what it needs in the database")]


def judge_tables(facts: Facts) -> Iterable[Finding]:
    """Return which tables and schemas of the plan the role cannot work on."""
    if facts.plan is None:
        return
    for section in (ON_CLASSIC, ON_LIMITLESS):
        for server, found in facts.each(section):
            role = facts.of(ROLE, server)
            if not isinstance(found, Unasked) and not isinstance(role, Unasked):
                yield from _tables(server, found, role)


def _tables(server: Server, found: Reach, role: Role) -> Iterable[Finding]:
    if found.absent and server.kind is Kind.CLASSIC:
        yield problem(
            server.name,
            f"there is no schema {some(found.absent)}",
            "the plan says to migrate it",
            "Correct tables.schemas, or the database in the connection string.",
        )
    side = SIDE[server.kind]
    by_itself = {lack.gap.text for lack in missing(Held(side, role, Reach()))}
    lacks = [lack for lack in missing(Held(side, role, found)) if lack.gap.text not in by_itself]
    yield from _said(server, lacks)
    if found.tables and all(table.owned for table in found.tables):
        count = f"{len(found.tables)} table{'s' if len(found.tables) != 1 else ''}"
        yield ok(server.name, f"owns, or is a member of the owner of, {count} of {some(found_schemas(found))}")
    elif not found.tables and server.kind is Kind.LIMITLESS:
        yield not_applicable(server.name, "no table of the plan is there yet (migrator provision)")


def found_schemas(found: Reach) -> Sequence[str]:
    """Return the schemas of the tables, as their names write them."""
    return list(dict.fromkeys(table.name.rpartition(".")[0] for table in found.tables))


def judge_admin(facts: Facts) -> Iterable[Finding]:
    """Return which of the application's roles the tool may not change on Limitless."""
    here, there = facts.known(HOLDERS, Kind.CLASSIC), facts.known(ADMINISTERED, Kind.LIMITLESS)
    role = facts.known(ROLE, Kind.LIMITLESS)
    if here is None or there is None or role is None:
        return
    closed = sorted(name for name in here if there.get(name) is False and name != role.role)
    closed = [name for name in closed if not ENGINES_OWN.match(name)]
    if closed and not role.superuser:
        yield warning(
            "Limitless",
            f"role {role.role} has no ADMIN OPTION on {some(closed)}",
            "their memberships and settings cannot be brought there",
            "; ".join(f"GRANT {_name(name)} TO {_name(role.role)} WITH ADMIN OPTION" for name in closed[:5]),
        )
    elif here:
        yield ok("Limitless", f"{len(here & there.keys())} of {len(here)} roles with rights on classic are there")


def judge_shims(facts: Facts) -> Iterable[Finding]:
    """Return which application's roles lack what this release's shim needs on classic."""
    found = facts.known(SHIMS, Kind.CLASSIC)
    if found is None:
        return
    for role, lacks in found.items():
        yield problem(
            "classic",
            f"role {role} was granted the use of the shim, and lacks {some(lacks)}",
            "its processes cannot report, or use replicas",
            f"migrator grant {role}",
        )


CHECKS = (
    Check("rights.role", (ROLE,), judge_role),
    Check("rights.tables", (ON_CLASSIC, ON_LIMITLESS, ROLE), judge_tables),
    Check("rights.admin", (HOLDERS, ADMINISTERED, ROLE), judge_admin),
    Check("rights.shims", (SHIMS,), judge_shims),
)
