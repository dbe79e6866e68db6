"""What a cluster holds about rights: frozen values, the same for both sides; names, never oids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PUBLIC = "public"
"""PostgreSQL's own word for PUBLIC; no role can have this name."""

Name = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """Something that rights are granted on.

    Attributes:
        kind: database, schema, table (views too), column, sequence, function, procedure or type.
        schema: empty for a database, a schema, and for routines.
        name: of a routine its whole identity as the server writes it, "app.f(integer)"; of a database empty, since
            the two sides may name theirs differently.
        column: set for a column, whose table *name* is.
    """

    kind: str
    schema: str
    name: str
    column: str = ""

    @property
    def words(self) -> str:
        """How messages call it."""
        if self.kind == "database":
            return "the database"
        if self.kind == "table":
            return f"{self.schema}.{self.name}"
        if self.kind == "column":
            return f"{self.schema}.{self.name}.{self.column}"
        return f"{self.kind} {self.schema + '.' if self.schema else ''}{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One privilege of one role, or of PUBLIC. grantable: it may grant it to others."""

    grantee: str
    thing: Thing
    privilege: str
    grantable: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """A role that has something to do with the migrated schemas."""

    name: str
    can_login: bool
    inherits: bool = True
    bypasses_policies: bool = False
    superuser: bool = False
    valid_until: str = ""
    """When its password expires, in UTC; empty: never."""
    connection_limit: int = -1
    """-1: none."""
    of_tool: bool = False
    """Whether the tool's role may act as it."""
    creates_roles: bool = False
    creates_databases: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Membership:
    """*member* may use what *role* may. admin: it may let others in too."""

    role: str
    member: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A row security policy; expressions are the server's own text, None when there is none."""

    table: Name
    name: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True, slots=True)
class Rights:
    """One side.

    Attributes:
        tool: the role that reads this, the tool's own.
        database: the database's name.
        things: everything in the migrated schemas that rights can be granted on.
        columns: of tables on whose single columns somebody has rights.
        granted: rights as they are written down; an owner's are always among them, with the right to hand them on.
        effective: what roles may in the end, by grants, membership, PUBLIC or ownership. Empty unless asked for.
        roles: those with rights, owners, members of these, and those that policies name; without superusers and the
            engine's own.
        superusers: of the names that were asked about as well, those that are superusers here.
        settings: what ALTER ROLE and ALTER DATABASE set, by role, as a session of this database gets it.
        defaults: what a session gets where its role sets nothing, of `migrator.rights.settings.MATTERS`: by the
            database or the server's configuration. What the reading session cannot know is left out.
        of_role: the names among them that are set for the role itself.
        owners: of things.
        definers: routines and views that work with the rights of their owner on what others own, and that owner's name.
        guarded: tables with row security switched on; unforced: those among them whose owner passes.
        serves_shims: PUBLIC may read migrator.settled, where it is: a shim that starts without classic asks it.
        notes: what Limitless has no counterpart for.
    """

    tool: str
    database: str
    things: frozenset[Thing] = frozenset()
    columns: frozenset[Thing] = frozenset()
    granted: frozenset[Right] = frozenset()
    effective: frozenset[Right] = frozenset()
    roles: Mapping[str, Role] = field(default_factory=dict)
    superusers: frozenset[str] = frozenset()
    members: frozenset[Membership] = frozenset()
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    of_role: Mapping[str, frozenset[str]] = field(default_factory=dict)
    owners: Mapping[Thing, str] = field(default_factory=dict)
    definers: Mapping[Thing, str] = field(default_factory=dict)
    guarded: frozenset[Name] = frozenset()
    unforced: frozenset[Name] = frozenset()
    policies: tuple[Policy, ...] = ()
    serves_shims: bool = True
    notes: tuple[str, ...] = ()
