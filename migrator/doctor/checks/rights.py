"""May the tool's roles do what they have to, on both sides; and applications' roles what their shims need?

docs/roles.md says what each right is for; what a role lacks is named with the statement that gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from migrator.control.grants import lacking
from migrator.control.install import installed_version, version_problem
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, warning
from migrator.doctor.server import Connection, of, one, rows
from migrator.model.table import qualify
from migrator.plan.schema import Plan
from migrator.rights.read import ENGINES_OWN, holders

ORDER = 40

SIDES = frozenset({Kind.CLASSIC, Kind.LIMITLESS})


@dataclass(frozen=True, slots=True)
class Role:
    """The role that the tool logs in with.

    Attributes:
        creates: schemas in this database.
        has_rds: the engine is Aurora or RDS, where rds_superuser stands in for a superuser.
        control_owner, owns_control: of schema migrator; None while there is none.
    """

    role: str
    superuser: bool
    creates_roles: bool
    passes_policies: bool
    creates: bool
    has_rds: bool
    rds_superuser: bool
    monitors: bool
    control_owner: str | None
    owns_control: bool | None

    @property
    def powerful(self) -> bool:
        return self.superuser or self.rds_superuser


ROLE: Section[Role] = Section("the tool's role", SIDES, lambda conn, _plan: of(Role, one(conn, "role")))


@dataclass(frozen=True, slots=True)
class Owned:
    """A table of the plan's schemas, and whether the tool's role is a member of its owner."""

    name: str
    owner: str
    owned: bool
    forced: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """The plan's schemas on one side. absent: schemas that are not there; closed: those the role may not use."""

    absent: tuple[str, ...]
    closed: tuple[str, ...]
    tables: tuple[Owned, ...]


def _reach(conn: Connection, plan: Plan | None, *, leaves: bool) -> Reach:
    if plan is None:
        return Reach((), (), ())
    schemas = plan.tables.schemas
    usable = {row["name"]: row["usable"] for row in rows(conn, "schemas", schemas=schemas)}
    excluded = {name for name, entry in plan.tables.table.items() if entry.kind == "excluded"}
    found = [(qualify(row["schema"], row["name"]), row) for row in rows(conn, "owners", schemas=schemas, leaves=leaves)]
    return Reach(
        tuple(name for name in schemas if name not in usable),
        tuple(name for name in schemas if usable.get(name) is False),
        tuple(Owned(name, r["owner"], r["owned"], r["forced"]) for name, r in found if name not in excluded),
    )


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
    version = installed_version(conn)
    return {} if version is None or version_problem(version, "classic") else lacking(conn)


SHIMS: Section[dict[str, list[str]]] = Section("rights of shims", frozenset({Kind.CLASSIC}), _lacking)


def _name(role: str) -> str:
    return sql.Identifier(role).as_string(None)


def judge_role(facts: Facts) -> Iterable[Finding]:
    """Return what the tool's role lacks by itself, on either side."""
    for server, found in facts.each(ROLE):
        if not isinstance(found, Unasked):
            lacks = list(_lacks(server, found))
            yield from lacks or [ok(server.name, f"role {found.role} has what it needs in the database")]


def _lacks(server: Server, role: Role) -> Iterable[Finding]:
    me, database = _name(role.role), "the database"
    if role.owns_control is None and not role.creates:
        yield problem(
            server.name,
            f"role {role.role} may not create schemas in {database}",
            "the tool's own tables go into schema migrator" + _and_others(server),
            f"GRANT CREATE ON DATABASE … TO {me}",
        )
    elif role.owns_control is False:
        yield problem(
            server.name,
            f"schema migrator belongs to {role.control_owner}, of which role {role.role} is no member",
            "this role cannot use the tool's own tables",
            f"GRANT {_name(role.control_owner or '')} TO {me}, or log in as that role",
        )
    elif server.kind is Kind.LIMITLESS and not role.creates:
        yield problem(
            server.name,
            f"role {role.role} may not create schemas in {database}",
            "schemas, tables and extensions are made there, also by later schema changes",
            f"GRANT CREATE ON DATABASE … TO {me}",
        )
    if server.kind is Kind.CLASSIC and not role.powerful:
        power = f"GRANT rds_superuser TO {me}" if role.has_rds else f"ALTER ROLE {me} SUPERUSER"
        yield problem(
            server.name,
            f"role {role.role} is {'no member of rds_superuser' if role.has_rds else 'no superuser'}",
            "only such a role makes event triggers, which guard captured tables against commands past the tool",
            power,
        )
    if server.kind is Kind.LIMITLESS and not (role.creates_roles or role.powerful):
        yield warning(
            server.name,
            f"role {role.role} has no CREATEROLE",
            "the application's roles are not made there by provision",
            f"ALTER ROLE {me} CREATEROLE; or make the roles by hand (migrator provision --dry-run --sql)",
        )
    if not (role.monitors or role.powerful):
        yield warning(
            server.name,
            f"role {role.role} is no member of pg_monitor",
            "what other roles run is hidden: the audit, costs and paces are incomplete",
            f"GRANT pg_monitor TO {me}",
        )


def _and_others(server: Server) -> str:
    return ", and the application's schemas are made there" if server.kind is Kind.LIMITLESS else ""


def judge_tables(facts: Facts) -> Iterable[Finding]:
    """Return which tables and schemas of the plan the role cannot work on."""
    if facts.plan is None:
        return
    for section in (ON_CLASSIC, ON_LIMITLESS):
        for server, found in facts.each(section):
            if not isinstance(found, Unasked):
                role = next((r for s, r in facts.each(ROLE) if s is server and not isinstance(r, Unasked)), None)
                yield from _tables(server, found, role)


def _tables(server: Server, found: Reach, role: Role | None) -> Iterable[Finding]:
    me, mine = _name(role.role if role else "migrator"), [t for t in found.tables if t.owned]
    if found.absent and server.kind is Kind.CLASSIC:
        yield problem(
            server.name,
            f"there is no schema {some(found.absent)}",
            "the plan says to migrate it",
            "Correct tables.schemas, or the database in the connection string.",
        )
    if found.closed:
        yield problem(
            server.name,
            f"no USAGE on schema {some(found.closed)}",
            "nothing in it can be read",
            "; ".join(f"GRANT USAGE ON SCHEMA {_name(name)} TO {me}" for name in found.closed),
        )
    others: dict[str, list[str]] = {}
    for table in found.tables:
        if not table.owned:
            others.setdefault(table.owner, []).append(table.name)
    for owner, names in others.items():
        what = "triggers of capture" if server.kind is Kind.CLASSIC else "the mirror's writes and foreign keys"
        yield problem(
            server.name,
            f"{len(names)} table{'s' if len(names) != 1 else ''} belong to {owner}, of which the role is no member:"
            f" {some(names)}",
            f"{what} need the owner",
            f"GRANT {_name(owner)} TO {me}",
        )
    hidden = [table.name for table in mine if table.forced]
    if hidden and role is not None and not role.passes_policies:
        yield problem(
            server.name,
            f"row security is forced on {some(hidden)}, also for the owner, and role {role.role} has no BYPASSRLS",
            "a row that a policy hides is an error to the tool",
            f"ALTER ROLE {me} BYPASSRLS",
        )
    if found.tables and not others:
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
