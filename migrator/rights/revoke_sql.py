"""Builds the statements that take from Limitless what classic does not give, or gives no more. Pure.

Classic decides. Privileges go with CASCADE: what was handed on with a grant option went on classic too, and what
another grant of classic still gives comes back with the grants, which are made afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from psycopg import sql

from migrator.rights.catalog import Membership, Policy, Right, Rights
from migrator.rights.compare import beyond, extra_members, opens
from migrator.rights.grant_sql import Change, Closing, Group, create_policy, grouped, on_what, who
from migrator.rights.lines import (
    guarded_line,
    login_line,
    membership_lines,
    plain,
    policy_line,
    right_lines,
    setting_line,
)
from migrator.rights.settings import same

_LOGIN_GROUPS = ("rds_iam",)
"""Membership says how a role may log in, which people decide on each side."""


def revoke_changes(classic: Rights, limitless: Rights, once: Collection[str] | None = None) -> list[Change]:
    """Return what takes back everything that classic does not give.

    Args:
        classic, limitless: with `effective`, both read for the roles of either side.
        once: take back only what classic once gave, by the lines (lines.py) of that time; None: everything.
    """
    held = beyond(classic, limitless, limitless.granted)
    if once is None:  # a schema and the database open nothing by themselves, and may be granted by hand for other ends
        held = {r for r in held if r.thing.kind not in ("schema", "database")}
    else:
        held = {r for r in held if [*right_lines(r)][-1] in once or _with_its_columns(r, once)}
    rest = [*_members(classic, limitless), *_logins(classic, limitless, once), *_settings(classic, limitless)]
    rest += _row_security(classic, limitless)
    revokes = [_revoke(group, limitless.database) for group in grouped(held)]
    return revokes + [change for change in rest if once is None or change.lines[-1] in once]


def _with_its_columns(right: Right, once: Collection[str]) -> bool:
    """Return whether the role once had the right on other columns of the table: that on the tenant column, which
    Limitless alone may have, came with them."""
    if right.thing.kind != "column":
        return False
    (line,) = right_lines(replace(right, grantable=False))
    return any(known.startswith(line.removesuffix(right.thing.column)) for known in once)


def _revoke(group: Group, database: str) -> Change:
    option = sql.SQL("GRANT OPTION FOR " if group.grantable else "")
    statement = sql.SQL("REVOKE {}{} FROM {} CASCADE").format(option, on_what(group, database), who(group.grantee))
    names = ", ".join(thing.words for thing in group.things)
    what = f"{'the grant option of ' if group.grantable else ''}{', '.join(group.privileges)} on {names}"
    lines = tuple(line for right in group.rights for line in right_lines(right))
    return Change("grant", group.grantee, "", f"Revoke {what} from {group.grantee}", (statement,), lines)


def _members(classic: Rights, limitless: Rights) -> Iterator[Change]:
    for found in sorted(extra_members(classic, limitless)):
        if found.role in _LOGIN_GROUPS:
            continue
        option = sql.SQL("ADMIN OPTION FOR " if found.admin else "")
        statement = sql.SQL("REVOKE {}{} FROM {} CASCADE").format(
            option, sql.Identifier(found.role), sql.Identifier(found.member)
        )
        what = f"{'admin option of ' if found.admin else ''}membership in {found.role}"
        lines = tuple(membership_lines(Membership(found.role, found.member, found.admin)))
        yield Change("grant", found.member, "", f"Revoke {what} from {found.member}", (statement,), lines)


def _logins(classic: Rights, limitless: Rights, once: Collection[str] | None) -> Iterator[Change]:
    """Yield what ends the logins of roles that may not log in on classic, or were dropped there. A role that Limitless
    alone has ever had is reported and kept."""
    for name, there in sorted(limitless.roles.items()):
        here = classic.roles.get(name)
        if there.can_login and not there.superuser and (once is not None if here is None else not here.can_login):
            statement = sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name))
            yield Change("grant", name, "", f"Take the login of {name}", (statement,), (login_line(name),))


def _settings(classic: Rights, limitless: Rights) -> Iterator[Change]:
    for role in sorted(classic.roles.keys() & limitless.roles.keys()):
        own, there = classic.settings.get(role, {}), limitless.settings.get(role, {})
        for name in sorted(limitless.of_role.get(role, frozenset()) - own.keys()):
            if same(name, classic.defaults.get(name), there[name]):
                continue  # given because the servers are configured otherwise
            setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
            statement = sql.SQL("ALTER ROLE {} RESET {}").format(sql.Identifier(role), setting)
            line = setting_line(role, name, there[name])
            yield Change("grant", role, "", f"Reset {name} for sessions of {role}", (statement,), (line,))


def _row_security(classic: Rights, limitless: Rights) -> Iterator[Change]:
    """Yield what drops policies that classic does not have, makes those anew that differ, and switches row security
    off where classic has it off."""
    tables = {(t.schema, t.name) for t in classic.things & limitless.things if t.kind == "table"}
    here = {(p.table, p.name): p for p in classic.policies}
    for policy in limitless.policies:
        ours = here.get((policy.table, policy.name))
        if policy.table in tables and (ours is None or plain(ours) != plain(policy)):
            yield _replaced(policy, ours, _closing(limitless, policy, ours))
    for table in sorted(limitless.guarded - classic.guarded):
        if table in tables:
            statement = sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(sql.Identifier(*table))
            name = ".".join(table)
            yield Change("grant", name, "", f"Switch row security of {name} off", (statement,), (guarded_line(table),))


def _replaced(policy: Policy, ours: Policy | None, closing: Closing | None) -> Change:
    name = ".".join(policy.table)
    drop = sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(sql.Identifier(policy.name), sql.Identifier(*policy.table))
    verb = "Drop" if ours is None else "Make anew"
    statements = (drop,) if ours is None else (drop, create_policy(ours))
    summary = f"{verb} row security policy {policy.name} of {name}"
    return Change("grant", name, "", summary, statements, (policy_line(policy),), closing)


def _closing(limitless: Rights, policy: Policy, ours: Policy | None) -> Closing | None:
    """Return what closes the table while the policy cannot be dropped: all roles but the tool's lose their rights.

    Reads of it are answered by classic then, which does not give that error.
    """
    if not opens(policy, ours):
        return None
    on = {(r.grantee, r.thing.name) for r in limitless.granted if (r.thing.schema, r.thing.name) == policy.table}
    roles = sorted(grantee for grantee, _ in on if grantee != limitless.tool)
    if not roles:
        return None
    statement = sql.SQL("REVOKE SELECT, INSERT, UPDATE, DELETE ON TABLE {} FROM {} CASCADE").format(
        sql.Identifier(*policy.table), sql.SQL(", ").join(map(who, roles))
    )
    return Closing(policy.table, statement)
