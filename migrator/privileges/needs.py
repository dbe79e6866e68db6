"""The rights that the tool's role needs: one table of facts. Checks, statements and docs/privileges.md come from it.

Each need says what a role lacks of it, object by object, with the statement that gives it. Pure: what a role has is
read by `migrator.privileges.held`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from migrator.model.side import Side
from migrator.privileges import guards
from migrator.privileges.held import Held, Owned


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that a role lacks.

    Attributes:
        text: what is true.
        statements: what gives it, without semicolons, run by an administrator.
        do: the same for a person to read, where it is more than the statements.
        unsure: no catalog tells; it is found out when it is tried.
    """

    text: str
    statements: tuple[str, ...]
    do: str = ""
    unsure: bool = False

    @property
    def advice(self) -> str:
        return self.do or "; ".join(self.statements)


@dataclass(frozen=True, slots=True)
class Need:
    """One right.

    Attributes:
        key: stable, for example "classic.owners".
        right: what it is called.
        commands: which commands need it.
        why: what it is for, or what does not work without it.
        without: the way without it, or that there is none.
        plain, rds: how it is given on PostgreSQL, and on RDS and Aurora.
        required: nothing begins without it; otherwise something works less well.
        gaps: what a role lacks of it.
    """

    key: str
    side: Side
    right: str
    commands: str
    why: str
    without: str
    plain: str
    rds: str
    required: bool
    gaps: Callable[[Held], Iterable[Gap]]


@dataclass(frozen=True, slots=True)
class Missing:
    """A need that a role does not have, as doctor and the gates say it."""

    need: Need
    gap: Gap

    @property
    def line(self) -> str:
        """Return what is missing and the statement that gives it, in one line."""
        return f"{self.gap.text}: {self.gap.advice}"


def missing(held: Held) -> tuple[Missing, ...]:
    """Return everything that a role lacks on its side, in the order of the table."""
    return tuple(
        Missing(need, gap) for need in NEEDS if need.side is held.side for gap in need.gaps(held)
    )  # fmt: skip


def quoted(*names: str) -> str:
    """Return a name, or one with its schema, as a statement writes it."""
    return sql.Identifier(*names).as_string(None)


SHOWN = 5


def some(names: Sequence[str]) -> str:
    """Return the first of *names*, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _create(held: Held) -> Iterator[Gap]:
    role = held.role
    if role.creates or (held.side is Side.CLASSIC and role.control_owner is not None):
        return
    yield Gap(
        f"role {role.role} may not create schemas in the database",
        (f"GRANT CREATE ON DATABASE {quoted(role.database)} TO {quoted(role.role)}",),
    )


def _control(held: Held) -> Iterator[Gap]:
    role, owner = held.role, held.role.control_owner
    if role.owns_control is False and owner is not None and owner != role.role:
        give = _membership(held, owner)
        yield Gap(
            f"schema migrator belongs to {owner}, of which role {role.role} is no member",
            (give,),
            f"{give}, or log in as that role",
        )


def _usage(held: Held) -> Iterator[Gap]:
    if closed := held.reach.closed:
        me = quoted(held.role.role)
        yield Gap(
            f"no USAGE on schema {some(closed)}",
            tuple(f"GRANT USAGE ON SCHEMA {quoted(name)} TO {me}" for name in closed),
        )


def _owners(held: Held) -> Iterator[Gap]:
    others: dict[str, list[Owned]] = {}
    for table in held.reach.tables:
        if not table.owned and table.owner != held.role.role:
            others.setdefault(table.owner, []).append(table)
    for owner, tables in others.items():
        count = f"{len(tables)} table{'s' if len(tables) != 1 else ''}"
        state = "whose rights the role does not inherit" if tables[0].member else "of which the role is no member"
        yield Gap(
            f"{count} belong to {owner}, {state}: {some([table.name for table in tables])}",
            (_membership(held, owner, inherits=tables[0].member),),
        )


def _membership(held: Held, owner: str, *, inherits: bool = False) -> str:
    """Return the statement that makes the role a member of *owner*; *inherits*: it is one, without its rights."""
    role = held.role
    if inherits and role.version < INHERIT_BY_GRANT:
        return f"ALTER ROLE {quoted(role.role)} INHERIT"
    return f"GRANT {quoted(owner)} TO {quoted(role.role)}" + (" WITH INHERIT TRUE" if inherits else "")


INHERIT_BY_GRANT = 160000
"""Server version since which a membership, and not the member, says whether rights are inherited."""


def _event_triggers(held: Held) -> Iterator[Gap]:
    role = held.role
    if role.superuser or role.uses_guards:
        return
    run = f"migrator grant {quoted(role.role)} --for tool --sql"
    who = "the cluster's main user" if role.has_rds else "a superuser"
    text = f"role {role.role} is {'not known to be the main user' if role.has_rds else 'no superuser'}"
    why = "and may not use migrator_guards.make" if role.has_guards else "and there is no migrator_guards.make"
    other = "" if role.has_rds else f", or ALTER ROLE {quoted(role.role)} SUPERUSER"
    yield Gap(
        f"{text}, {why}",
        (guards.script(role.role).rstrip(";\n"),),
        f"as {who}, run what this prints: {run}{other}",
        unsure=role.rds_superuser,
    )


def _row_security(held: Held) -> Iterator[Gap]:
    role = held.role
    hidden = [table.name for table in held.reach.tables if table.forced]
    if hidden and not role.passes_policies:
        give = f"ALTER ROLE {quoted(role.role)} BYPASSRLS"
        yield Gap(
            f"row security is forced on {some(hidden)}, also for the owner, and role {role.role} has no BYPASSRLS",
            (give,),
            f"{give}, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY until the migration is over",
        )


def _monitor(held: Held) -> Iterator[Gap]:
    role = held.role
    if not (role.monitors or role.superuser):
        yield Gap(f"role {role.role} is no member of pg_monitor", (f"GRANT pg_monitor TO {quoted(role.role)}",))


def _sequences(held: Held) -> Iterator[Gap]:
    if unread := held.reach.unread:
        me = quoted(held.role.role)
        yield Gap(
            f"role {held.role.role} may not read sequence {some(['.'.join(name) for name in unread])}",
            tuple(f"GRANT SELECT ON SEQUENCE {quoted(*name)} TO {me}" for name in unread),
        )


def _create_in(held: Held) -> Iterator[Gap]:
    closed = [schema.name for schema in held.reach.schemas if schema.usable and not schema.open]
    if closed:
        me = quoted(held.role.role)
        yield Gap(
            f"role {held.role.role} may not make objects in schema {some(closed)}",
            tuple(f"GRANT CREATE ON SCHEMA {quoted(name)} TO {me}" for name in closed),
        )


def _replica_role(held: Held) -> Iterator[Gap]:
    role = held.role
    if not (role.sets_replica or role.superuser):
        yield Gap(
            f"role {role.role} may not set session_replication_role",
            (f"GRANT SET ON PARAMETER session_replication_role TO {quoted(role.role)}",),
        )


def _create_roles(held: Held) -> Iterator[Gap]:
    role = held.role
    if not (role.creates_roles or role.superuser):
        give = f"ALTER ROLE {quoted(role.role)} CREATEROLE"
        yield Gap(
            f"role {role.role} has no CREATEROLE",
            (give,),
            f"{give}; or make the roles by hand (migrator provision --dry-run --sql)",
        )


CLASSIC, LIMITLESS = Side.CLASSIC, Side.LIMITLESS

NEEDS: tuple[Need, ...] = (
    Need(
        "classic.create", CLASSIC, "`CREATE` on the database", "`run`",
        "the tool's own tables go into schema migrator",
        "somebody makes schema `migrator` with the tool's role as its owner",
        "`GRANT CREATE ON DATABASE`", "the same, by the main user", True, _create,
    ),
    Need(
        "classic.control", CLASSIC, "membership of the owner of schema `migrator`", "all",
        "this role cannot use the tool's own tables", "log in as that owner",
        "`GRANT owner TO tool`", "the same", True, _control,
    ),
    Need(
        "classic.usage", CLASSIC, "`USAGE` on the plan's schemas", "all that look at tables",
        "nothing in it can be read", "none", "`GRANT USAGE ON SCHEMA`", "the same", True, _usage,
    ),
    Need(
        "classic.owners", CLASSIC, "membership, with inheritance, of each role that owns captured tables",
        "dual write, backfill, validation, `schema apply`, `decommission run`, `undo dual-write`",
        "triggers of capture need the owner",
        "none: `TRIGGER` alone lets a role make triggers, not switch them to `ALWAYS`",
        "`GRANT owner TO tool`", "the same", True, _owners,
    ),
    Need(
        "classic.sequences", CLASSIC, "`SELECT` on the plan's sequences", "`audit`, `decommission run`",
        "their numbers are carried over at the hand-over", "none", "`GRANT SELECT ON SEQUENCE`", "the same", True,
        _sequences,
    ),
    Need(
        "classic.event_triggers", CLASSIC, "event triggers",
        "dual write, `mirror recopy`, `upgrade`, `undo dual-write`, `decommission run`",
        "only such a role makes event triggers, which guard captured tables against commands past the tool",
        "an administrator lends two functions that make and drop the tool's five event triggers (below)",
        "`SUPERUSER`, or the functions", "the cluster's main user, or the functions, which the main user makes", True,
        _event_triggers,
    ),
    Need(
        "classic.row_security", CLASSIC, "`BYPASSRLS`, only where row security is `FORCE`d",
        "dual write, backfill, validation", "a row that a policy hides is an error to the tool",
        "`ALTER TABLE … NO FORCE ROW LEVEL SECURITY` until the migration is over: then only the owner, and its members,"
        " pass the policies",
        "`ALTER ROLE tool BYPASSRLS` by a superuser",
        "the same by the main user, where the engine lets it", True, _row_security,
    ),
    Need(
        "classic.create_in", CLASSIC, "`CREATE` on the plan's schemas", "`schema apply` of indexes",
        "`migrator schema apply` makes indexes there", "make the index by hand on classic",
        "`GRANT CREATE ON SCHEMA`", "the same", False, _create_in,
    ),
    Need(
        "classic.monitor", CLASSIC, "membership of `pg_monitor`", "`audit`, `cost`, `doctor`, the pace of copies",
        "what other roles run is hidden: the audit, costs and paces are incomplete", "those are incomplete",
        "`GRANT pg_monitor TO tool`", "the same; `rds_superuser` has it", False, _monitor,
    ),
    Need(
        "classic.replica_role", CLASSIC, "`SET` on `session_replication_role`",
        "`schema apply` of a column with a volatile default",
        "the application's own triggers fire when a new column's volatile default is filled in",
        "they fire", "`GRANT SET ON PARAMETER session_replication_role TO tool`",
        "the same by the main user, where the engine lets it", False, _replica_role,
    ),
    Need(
        "limitless.create", LIMITLESS, "`CREATE` on the database", "`provision`, `schema apply`",
        "the tool's own tables go into schema migrator, and the application's schemas, tables and extensions are made"
        " there, also by later schema changes",
        "none", "`GRANT CREATE ON DATABASE`", "the same, by the main user", True, _create,
    ),
    Need(
        "limitless.control", LIMITLESS, "membership of the owner of schema `migrator`", "all",
        "this role cannot use the tool's own tables", "log in as that owner", "`GRANT owner TO tool`", "the same",
        True, _control,
    ),
    Need(
        "limitless.usage", LIMITLESS, "`USAGE` on the plan's schemas, where they exist", "all that look at tables",
        "nothing in it can be read", "none", "`GRANT USAGE ON SCHEMA`", "the same", True, _usage,
    ),
    Need(
        "limitless.owners", LIMITLESS, "ownership of the migrated tables, until the hand-over",
        "provision, mirrors, backfill, validation",
        "the mirror's writes and foreign keys need the owner", "none; what the tool provisions it owns",
        "`GRANT owner TO tool`", "the same", True, _owners,
    ),
    Need(
        "limitless.row_security", LIMITLESS, "`BYPASSRLS`, only where row security is `FORCE`d there by hand",
        "mirrors, backfill, validation", "a row that a policy hides is an error to the tool",
        "`NO FORCE`; provision leaves `FORCE` to the hand-over", "`ALTER ROLE tool BYPASSRLS` by a superuser",
        "the same by the main user, where the engine lets it", True, _row_security,
    ),
    Need(
        "limitless.create_roles", LIMITLESS, "`CREATEROLE`", "`provision`, `roles --apply`",
        "the application's roles are not made there by provision", "people make the roles",
        "`ALTER ROLE tool CREATEROLE`", "the same, by the main user", False, _create_roles,
    ),
    Need(
        "limitless.monitor", LIMITLESS, "membership of `pg_monitor`", "`cost`, `doctor`, the pace of copies",
        "what other roles run is hidden: the audit, costs and paces are incomplete", "those are incomplete",
        "`GRANT pg_monitor TO tool`", "the same; `rds_superuser` has it", False, _monitor,
    ),
)  # fmt: skip
"""In the order in which they are said."""


def as_table() -> str:
    """Return the table as docs/privileges.md shows it."""
    lines = [
        "| right | side | which commands need it | without it | PostgreSQL | RDS, Aurora |",
        "|---|---|---|---|---|---|",
    ]
    for need in NEEDS:
        weight = "" if need.required else "*advised*: "
        cells = (
            need.right,
            need.side.title(),
            need.commands,
            f"{weight}{need.why}; {need.without}",
            need.plain,
            need.rds,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
