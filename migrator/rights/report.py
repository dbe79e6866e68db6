"""Says of every role which sides have it, what differs, and what people have to do by hand. Pure.

Passwords are on neither side of it: no role may read them, and none is carried over.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

from migrator.rights.catalog import Rights, Role
from migrator.rights.compare import Difference, differences, unacknowledged


@dataclass(frozen=True, slots=True)
class RoleLine:
    """One role.

    Attributes:
        classic, limitless: what it is there, None where there is no such role; a superuser's rights are not compared.
        member_of: the roles it is a member of on classic; where it is missing there, on Limitless.
        differences: what is not the same, without what the plan acknowledges.
    """

    role: str
    classic: Role | None
    limitless: Role | None
    member_of: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def where(self) -> str:
        """Which sides have it."""
        if self.classic and self.limitless:
            return "both"
        return "classic only" if self.classic else "Limitless only"


@dataclass(frozen=True, slots=True)
class RolesReport:
    """Everything about roles.

    Attributes:
        roles: those that have something to do with the migrated schemas on either side.
        others: differences that are no single role's: of PUBLIC, row security, routines, settings of the servers.
        by_hand: statements for Limitless that only people can complete: logins need a password or IAM.
        notes: what Limitless has no counterpart for.
    """

    roles: tuple[RoleLine, ...]
    others: tuple[str, ...]
    by_hand: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.others and not any(line.differences for line in self.roles)


def report(classic: Rights, limitless: Rights, acknowledged: Collection[str] = ()) -> RolesReport:
    """Compare both sides, each read for the roles of either."""
    found = differences(classic, limitless)
    open_ids = {blocker.subject for blocker in unacknowledged(found, acknowledged)}
    left = [d for d in found if d.id in open_ids]
    names = sorted(classic.roles.keys() | {n for n, role in limitless.roles.items() if not role.superuser})
    roles = tuple(_line(name, classic, limitless, left) for name in names)
    told = {line for role in roles for line in role.differences}
    return RolesReport(
        roles,
        tuple(d.line for d in left if d.line not in told),
        tuple(_login(name) for name in names if _waits_for_login(name, classic, limitless)),
        classic.notes,
    )


def _line(name: str, classic: Rights, limitless: Rights, left: Collection[Difference]) -> RoleLine:
    members = classic.members if name in classic.roles else limitless.members
    return RoleLine(
        name,
        classic.roles.get(name),
        limitless.roles.get(name),
        tuple(sorted(m.role for m in members if m.member == name)),
        tuple(d.line for d in left if d.id == f"rights/{name}" or d.id.startswith(f"rights/{name}/")),
    )


def _waits_for_login(name: str, classic: Rights, limitless: Rights) -> bool:
    here, there = classic.roles.get(name), limitless.roles.get(name)
    return here is not None and here.can_login and (there is None or not there.can_login)


def _login(name: str) -> str:
    """Return what lets a role log in; psql asks for the password and hashes it before it is sent."""
    role = sql.Identifier(name).as_string(None)
    return f"ALTER ROLE {role} LOGIN; then in psql: \\password {role}, or with IAM: GRANT rds_iam TO {role}"
