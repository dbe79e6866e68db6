"""Writes one side's rights as lines, one fact a line: a later look finds what changed by comparing them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.model.expression import canonical
from migrator.rights.catalog import PUBLIC, Membership, Name, Policy, Right, Rights, Role, Thing


def lines(side: Rights) -> frozenset[str]:
    """Return everything about one side that a later look may find changed. Needs no `effective`."""
    found = {line for right in side.granted for line in right_lines(right)}
    found |= {line for role in side.roles.values() for line in role_lines(role)}
    found |= {line for membership in side.members for line in membership_lines(membership)}
    found |= {setting_line(role, name, v) for role, of in side.settings.items() for name, v in of.items()}
    found |= {definer_line(thing, owner) for thing, owner in side.definers.items() if owner in side.roles}
    found |= {guarded_line(table) for table in side.guarded}
    found |= {policy_line(policy) for policy in side.policies}
    return frozenset(found)


def right_lines(right: Right) -> Iterator[str]:
    """Yield the right, and that it may be handed on."""
    who = "everybody (PUBLIC)" if right.grantee == PUBLIC else f"role {right.grantee}"
    line = f"{who} {right.privilege} {right.thing.words}"
    yield line
    if right.grantable:
        yield f"{line} WITH GRANT OPTION"


def role_lines(role: Role) -> Iterator[str]:
    yield f"role {role.name}"
    if role.can_login:
        yield login_line(role.name)
    if not role.inherits:
        yield f"role {role.name} does not inherit"
    if role.valid_until:
        yield f"role {role.name} valid until {role.valid_until}"
    if role.connection_limit != -1:
        yield f"role {role.name} connection limit {role.connection_limit}"


def login_line(name: str) -> str:
    return f"role {name} can log in"


def membership_lines(found: Membership) -> Iterator[str]:
    line = f"role {found.member} is a member of {found.role}"
    yield line
    if found.admin:
        yield f"{line} WITH ADMIN OPTION"


def setting_line(role: str, name: str, value: str) -> str:
    return f"role {role} gets {name} = {value}"


def definer_line(thing: Thing, owner: str) -> str:
    return f"{thing.words} runs with the rights of {owner}"


def guarded_line(table: Name) -> str:
    return f"row security of {'.'.join(table)}"


def policy_line(policy: Policy) -> str:
    return f"row security policy {policy.name} of {'.'.join(policy.table)}: {plain(policy)}"


def plain(policy: Policy) -> tuple[object, ...]:
    """Servers of other versions print the same expression with other blanks, and parentheses that group nothing."""
    return (policy.permissive, policy.command, policy.roles, canonical(policy.using), canonical(policy.check))
