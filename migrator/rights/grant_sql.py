"""Builds the statements that give Limitless the rights of classic. Pure.

Roles are created without a password and without LOGIN: who logs in, and how, is decided by people. Nothing is revoked,
except what the engine gives to PUBLIC by itself and classic has revoked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from migrator.rights.catalog import PUBLIC, Membership, Name, Policy, Right, Rights, Role, Thing
from migrator.rights.lines import (
    guarded_line,
    login_line,
    membership_lines,
    policy_line,
    right_lines,
    role_lines,
    setting_line,
)
from migrator.rights.settings import by_default

_LIST_SETTINGS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "shared_preload_libraries",
     "local_preload_libraries", "unix_socket_directories"}
)  # fmt: skip
"""Settings whose stored value is a list of quoted names. Source: PostgreSQL, variable_is_guc_list_quote."""

_NAMES = re.compile(r'"((?:[^"]|"")*)"|([^,\s]+)')

AT_ONCE = 10
"""Things per statement: what takes it back is part of a key in migrator.provisioned, and keys have a limit."""

_DEFAULTS = {"function": "EXECUTE", "procedure": "EXECUTE", "type": "USAGE"}
"""What the engine gives to PUBLIC on something new."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of rights.

    Attributes:
        kind, name, detail: its record, see migrator.provisioned; *detail* of a grant is what takes it back. Without
            detail a grant is not recorded.
        closing: what is done instead when it is refused.
        lines: what it makes of classic's lines (lines.py) true on Limitless, or what it ends.
    """

    kind: str
    name: str
    detail: str
    summary: str
    statements: tuple[sql.Composed, ...]
    lines: tuple[str, ...] = ()
    closing: Closing | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """What closes *table* where Limitless refuses the change: no rows are better than rows that classic hides."""

    table: Name
    statement: sql.Composed


def role_changes(classic: Rights, limitless: Rights) -> list[Change]:
    """Return what makes the roles: themselves, what they are members of, and what their sessions are set to."""
    made = [_role(role) for name, role in sorted(classic.roles.items()) if name not in limitless.roles]
    made += [
        c
        for name in sorted(classic.roles.keys() & limitless.roles.keys())
        for c in _attributes(classic, limitless, name)
    ]
    there = {(m.role, m.member): m.admin for m in limitless.members}
    for member in sorted(classic.members):
        held = there.get((member.role, member.member))
        if held is None or (member.admin and not held):
            made.append(_membership(member))
    for name in sorted(classic.roles):
        known = limitless.settings.get(name, {})
        for setting, value in sorted(classic.settings.get(name, {}).items()):
            if known.get(setting) != value:
                made.append(_setting(name, setting, value))
        if classic.roles[name].can_login:
            made += [_setting(name, setting, value) for setting, value, _ in by_default(classic, limitless, name)]
    return made


def grant_changes(
    classic: Rights,
    limitless: Rights,
    things: frozenset[Thing],
    tenant_columns: Mapping[Name, str],
    only: Collection[str] | None = None,
) -> list[Change]:
    """Return the grants, and policies, that *things* on Limitless lack.

    Args:
        things: what Limitless has or is about to have.
        tenant_columns: those that Limitless alone has, by table: rights on single columns extend to them.
        only: of rights, those that have one of these lines; nothing is revoked then.
    """
    wanted = {r for r in classic.granted if _on(r.thing) in things or r.thing.kind == "database"}
    wanted |= {
        Right(r.grantee, Thing("column", r.thing.schema, r.thing.name, tenant_columns[_table(r.thing)]), r.privilege)
        for r in wanted
        if r.thing.kind == "column" and _table(r.thing) in tenant_columns
    }
    held = {(r.grantee, r.thing, r.privilege): r.grantable for r in limitless.granted}
    by_default = {(PUBLIC, t, _DEFAULTS[t.kind]) for t in things - limitless.things if t.kind in _DEFAULTS}
    held |= dict.fromkeys(by_default, False)
    missing = {r for r in wanted if not _held(held, r) and r.grantee != limitless.tool}
    connect = Thing("database", "", "")
    if (PUBLIC, connect, "CONNECT") in held:  # the engine's default; the database may not be the tool's to give
        missing = {r for r in missing if r.thing != connect}
    if only is not None:
        missing = {r for r in missing if any(line in only for line in right_lines(r))}
    names = {(r.grantee, r.thing, r.privilege) for r in wanted}
    surplus = {
        Right(*key)
        for key in held
        if only is None
        and key[0] == PUBLIC
        and _DEFAULTS.get(key[1].kind) == key[2]
        and key[1] in things & classic.things
        and key not in names
    }
    tables = {(t.schema, t.name) for t in things if t.kind == "table"}
    changes = [c for table in sorted(tables) for c in _policies(classic, limitless, table)]  # before who may read
    changes += [_revoke(group) for group in grouped(surplus)]
    return changes + [_grant(group, limitless.database) for group in grouped(missing)]


def _held(held: Mapping[tuple[str, Thing, str], bool], right: Right) -> bool:
    found = held.get((right.grantee, right.thing, right.privilege))
    return found is not None and found >= right.grantable


def _on(thing: Thing) -> Thing:
    return Thing("table", thing.schema, thing.name) if thing.kind == "column" else thing


def _table(thing: Thing) -> Name:
    return (thing.schema, thing.name)


@dataclass(frozen=True)
class Group:
    """The same privileges of one grantee on several things of a kind."""

    grantee: str
    kind: str
    schema: str
    privileges: tuple[str, ...]
    grantable: bool
    things: tuple[Thing, ...]

    @property
    def rights(self) -> Iterator[Right]:
        """What it consists of."""
        return (Right(self.grantee, t, p, self.grantable) for t in self.things for p in self.privileges)


def grouped(rights: Iterable[Right]) -> Iterator[Group]:
    per_thing: dict[tuple[str, Thing, bool], tuple[str, ...]] = defaultdict(tuple)
    for right in sorted(rights):
        per_thing[right.grantee, right.thing, right.grantable] += (right.privilege,)
    groups: dict[tuple[str, str, str, tuple[str, ...], bool, str], list[Thing]] = defaultdict(list)
    for (grantee, thing, grantable), privileges in per_thing.items():
        apart = thing.name if thing.kind == "column" else ""  # column lists belong to one table
        groups[grantee, thing.kind, thing.schema, privileges, grantable, apart].append(thing)
    for (grantee, kind, schema, privileges, grantable, _), things in sorted(groups.items()):
        things.sort()
        for start in range(0, len(things), AT_ONCE):
            yield Group(grantee, kind, schema, privileges, grantable, tuple(things[start : start + AT_ONCE]))


def who(name: str) -> sql.Composable:
    return sql.SQL("PUBLIC") if name == PUBLIC else sql.Identifier(name)


def on_what(group: Group, database: str) -> sql.Composed:
    """Return "SELECT, INSERT ON TABLE a, b"."""
    privileges: sql.Composable = sql.SQL(", ").join(map(sql.SQL, group.privileges))
    first = group.things[0]
    match group.kind:
        case "column":
            columns = sql.SQL(", ").join(sql.Identifier(t.column) for t in group.things)
            privileges = sql.SQL(", ").join(sql.SQL("{} ({})").format(sql.SQL(p), columns) for p in group.privileges)
            return sql.SQL("{} ON TABLE {}").format(privileges, sql.Identifier(first.schema, first.name))
        case "database":
            names: sql.Composable = sql.Identifier(database)
        case "schema":
            names = sql.SQL(", ").join(sql.Identifier(t.name) for t in group.things)
        case "function" | "procedure":
            # the identity is the server's own text: a quoted name and argument types
            names = sql.SQL(", ").join(sql.SQL(t.name) for t in group.things)
        case _:
            names = sql.SQL(", ").join(sql.Identifier(t.schema, t.name) for t in group.things)
    return sql.SQL("{} ON {} {}").format(privileges, sql.SQL(group.kind.upper()), names)


def _grant(group: Group, database: str) -> Change:
    what = on_what(group, database)
    grant = sql.SQL("GRANT {} TO {}").format(what, who(group.grantee))
    if group.grantable and group.grantee != PUBLIC:
        grant += sql.SQL(" WITH GRANT OPTION")
    back = sql.SQL("REVOKE {} FROM {}").format(what, who(group.grantee))
    given = tuple(line for right in group.rights for line in right_lines(right))
    return Change("grant", group.grantee, back.as_string(None), _summary("Grant", group, "to"), (grant,), given)


def _revoke(group: Group) -> Change:
    what = on_what(group, "")
    revoke = sql.SQL("REVOKE {} FROM {}").format(what, who(group.grantee))
    back = sql.SQL("GRANT {} TO {}").format(what, who(group.grantee))
    return Change("grant", group.grantee, back.as_string(None), _summary("Revoke", group, "from"), (revoke,))


def _summary(verb: str, group: Group, to: str) -> str:
    who = "everybody (PUBLIC)" if group.grantee == PUBLIC else group.grantee
    names = ", ".join(t.words for t in group.things)
    return f"{verb} {', '.join(group.privileges)} on {names} {to} {who}"


def _role(role: Role) -> Change:
    statement = sql.SQL("CREATE ROLE {} NOLOGIN{}").format(
        sql.Identifier(role.name), sql.SQL("" if role.inherits else " NOINHERIT")
    )
    statement += _limits(role)
    login = "; it cannot log in until it gets LOGIN there" if role.can_login else ""
    return Change("role", role.name, "", f"Create role {role.name}{login}", (statement,), _without_login(role))


def _limits(role: Role) -> sql.Composed:
    """Return the password's expiry and the limit of connections; the password itself is never known here."""
    parts: list[sql.Composable] = []
    if role.valid_until:
        parts.append(sql.SQL(" VALID UNTIL {}").format(sql.Literal(role.valid_until)))
    if role.connection_limit != -1:
        parts.append(sql.SQL(" CONNECTION LIMIT {}").format(sql.Literal(role.connection_limit)))
    return sql.Composed(parts)


def _without_login(role: Role) -> tuple[str, ...]:
    return tuple(line for line in role_lines(role) if line != login_line(role.name))


def _attributes(classic: Rights, limitless: Rights, name: str) -> Iterator[Change]:
    """Yield what brings inheritance, expiry and limit of connections of a role that both sides have to classic's."""
    here, there = classic.roles[name], limitless.roles[name]
    if there.superuser or _same_attributes(here, there):
        return
    back, statement = (
        sql.SQL("ALTER ROLE {} {} VALID UNTIL {} CONNECTION LIMIT {}").format(
            sql.Identifier(name),
            sql.SQL("INHERIT" if role.inherits else "NOINHERIT"),
            sql.Literal(role.valid_until or "infinity"),
            sql.Literal(role.connection_limit),
        )
        for role in (there, here)
    )
    summary = f"Give role {name} inheritance, password expiry and connection limit as on classic"
    yield Change("grant", name, back.as_string(None), summary, (statement,), _without_login(here))


def _same_attributes(one: Role, other: Role) -> bool:
    return (one.inherits, one.valid_until, one.connection_limit) == (
        other.inherits, other.valid_until, other.connection_limit,
    )  # fmt: skip


def _membership(found: Membership) -> Change:
    role, member = sql.Identifier(found.role), sql.Identifier(found.member)
    grant = sql.SQL("GRANT {} TO {}{}").format(role, member, sql.SQL(" WITH ADMIN OPTION" if found.admin else ""))
    back = sql.SQL("REVOKE {} FROM {}").format(role, member).as_string(None)
    summary = f"Make {found.member} a member of {found.role}"
    return Change("grant", found.member, back, summary, (grant,), tuple(membership_lines(found)))


def _setting(role: str, name: str, value: str) -> Change:
    setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
    who = sql.Identifier(role)
    statement = sql.SQL("ALTER ROLE {} SET {} TO {}").format(who, setting, _value(name, value))
    back = sql.SQL("ALTER ROLE {} RESET {}").format(who, setting).as_string(None)
    line = setting_line(role, name, value)
    return Change("grant", role, back, f"Set {name} for sessions of {role}", (statement,), (line,))


def _value(name: str, value: str) -> sql.Composable:
    if name not in _LIST_SETTINGS:
        return sql.Literal(value)
    names = [quoted.replace('""', '"') if quoted or not plain else plain for quoted, plain in _NAMES.findall(value)]
    return sql.SQL(", ").join(map(sql.Literal, names or [""]))


def _policies(classic: Rights, limitless: Rights, table: Name) -> Iterator[Change]:
    """Yield what makes the policies of one table, and switches them on. DROP POLICY is not documented for Limitless:
    what takes this back switches them off."""
    there = {p.name for p in limitless.policies if p.table == table}
    missing = [p for p in classic.policies if p.table == table and p.name not in there]
    on = table in classic.guarded and table not in limitless.guarded
    if not missing and not on:
        return
    name, switch = sql.Identifier(*table), "ALTER TABLE {} {} ROW LEVEL SECURITY"
    statements = [create_policy(p) for p in missing]
    if on:
        statements.append(sql.SQL(switch).format(name, sql.SQL("ENABLE")))
    back = sql.SQL(switch).format(name, sql.SQL("ENABLE" if table in limitless.guarded else "DISABLE"))
    what = ", ".join(p.name for p in missing)
    summary = f"Create row security of {'.'.join(table)}" + (f": {what}" if what else "")
    made = (*map(policy_line, missing), *((guarded_line(table),) if on else ()))
    yield Change("grant", ".".join(table), back.as_string(None), summary, tuple(statements), made)


def create_policy(policy: Policy) -> sql.Composed:
    parts = [
        sql.SQL("CREATE POLICY {} ON {} AS {} FOR {} TO {}").format(
            sql.Identifier(policy.name),
            sql.Identifier(*policy.table),
            sql.SQL("PERMISSIVE" if policy.permissive else "RESTRICTIVE"),
            sql.SQL(policy.command),
            sql.SQL(", ").join(map(who, policy.roles)),
        )
    ]
    # expressions are the server's own text, with every name qualified
    parts += [sql.SQL("USING ({})").format(sql.SQL(policy.using))] if policy.using is not None else []
    parts += [sql.SQL("WITH CHECK ({})").format(sql.SQL(policy.check))] if policy.check is not None else []
    return sql.SQL(" ").join(parts)
