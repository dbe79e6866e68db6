"""Finds what a role may do on classic and not on Limitless, and the other way round. Pure.

Compared is what a role may in the end, as each server answers it: a grant that arrives by another way is no difference.
An object on one side only is of no interest here; that it is missing is said by the comparison of the catalogs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from migrator.model.blocker import Blocker
from migrator.rights.catalog import PUBLIC, Membership, Name, Policy, Right, Rights, Role, Thing
from migrator.rights.lines import plain
from migrator.rights.settings import by_default, same

_KEPT_POLICY = (
    ": rows may be visible there that classic hides. No DROP or ALTER POLICY is documented there (LIM-SEC-01); migrator"
    " roles --apply tries DROP POLICY, and a worker revokes all rights on the table there when it is refused"
)


_WORKS = {"table": "is a view of what others own: it"}


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One difference. A team that wants it so adds *id*, or a leading part of it, to the plan's gates.acknowledged."""

    id: str
    text: str

    @property
    def line(self) -> str:
        """What an operator reads."""
        return f"{self.text} ({self.id})"


def unacknowledged(found: Iterable[Difference], acknowledged: Collection[str]) -> tuple[Blocker, ...]:
    """Return those that are not acknowledged."""
    return tuple(Blocker("rights.differ", d.id, d.line) for d in found if not _covered(d.id, acknowledged))


def without(side: Rights, acknowledged: Collection[str]) -> Rights:
    """Return *side* without what may differ, rights, memberships and row security: nothing is given or taken for it."""
    return replace(
        side,
        guarded=frozenset(t for t in side.guarded if not _covered(policy_id(t), acknowledged)),
        policies=tuple(p for p in side.policies if not _covered(policy_id(p.table, p.name), acknowledged)),
        granted=frozenset(r for r in side.granted if not _covered(_id(r.grantee, r.thing), acknowledged)),
        members=frozenset(m for m in side.members if not _covered(f"rights/{m.member}/member/{m.role}", acknowledged)),
    )


def _covered(found: str, acknowledged: Collection[str]) -> bool:
    """Return whether a plan acknowledges it; "rights/shop_app" covers "rights/shop_app/app.orders"."""
    return any(found == a or found.startswith(f"{a}/") for a in acknowledged)


def policy_id(table: Name, *name: str) -> str:
    """Return the id of a difference in a table's row security, or in its policy *name*."""
    return "/".join(("rights", "policies", ".".join(table), *name))


def opens(policy: Policy, ours: Policy | None) -> bool:
    """Return whether *policy* of Limitless may show rows that classic hides, which has *ours* of that name. A
    restrictive one that classic lacks hides more, and opens nothing."""
    return policy.permissive if ours is None else plain(ours) != plain(policy)


def unless_ajar(classic: Rights, limitless: Rights) -> Rights:
    """Return *classic* without the rights on tables that show more rows on Limitless: no role gets rights on those."""
    here = {(p.table, p.name): p for p in classic.policies}
    ajar = {p.table for p in limitless.policies if opens(p, here.get((p.table, p.name)))}
    return replace(classic, granted=frozenset(r for r in classic.granted if (r.thing.schema, r.thing.name) not in ajar))


def _id(grantee: str, thing: Thing) -> str:
    what = thing.kind if thing.kind == "database" else thing.words.removeprefix(f"{thing.kind} ")
    return f"rights/{grantee}/{what}"


def differences(classic: Rights, limitless: Rights) -> list[Difference]:
    """Return every difference. *limitless* was read for the roles of *classic*."""
    gone = classic.roles.keys() - limitless.roles.keys()
    result = [
        Difference(f"rights/{name}", f"role {name} exists on classic and not on Limitless") for name in sorted(gone)
    ]
    result += [
        Difference(f"rights/{name}", f"role {name} exists on Limitless and not on classic, and has rights there")
        for name in sorted(_logins_of_its_own(classic, limitless))
    ]
    result += _attributes(classic, limitless)
    result += _members(classic, limitless, gone)
    missing = _missing(classic, limitless, gone)
    result += _grouped(_told_once(missing, classic), "on classic and not on Limitless")
    result += _grouped(_extra(classic, limitless, gone), "on Limitless and not on classic")
    result += _settings(classic, limitless, gone)
    result += _defaults(classic, limitless, gone)
    result += _policies(classic, limitless)
    if not limitless.serves_shims:
        result.append(
            Difference(
                "rights/public/migrator.settled",
                "everybody (PUBLIC) may not SELECT migrator.settled on Limitless, so no shim could start once classic"
                " is retired: GRANT USAGE ON SCHEMA migrator, SELECT ON migrator.settled TO PUBLIC",
            )
        )
    result += [
        Difference(
            f"rights/definer/{thing.words if thing.schema else thing.name}",
            f"{thing.words} {_WORKS.get(thing.kind, 'is SECURITY DEFINER: it')} runs with the rights of {owner} on"
            f" classic and of {limitless.owners[thing]} on Limitless",
        )
        for thing, owner in sorted(classic.definers.items())
        if owner in classic.roles and limitless.owners.get(thing, owner) != owner
    ]
    return result


def _attributes(classic: Rights, limitless: Rights) -> Iterator[Difference]:
    """Yield what else sessions of a role depend on. Passwords are on neither side of this: no role may read them."""
    for name, role in sorted(classic.roles.items()):
        there = limitless.roles.get(name)
        if there is None or there.superuser:
            continue
        if role.can_login and not there.can_login:
            yield Difference(
                f"rights/{name}/login",
                f"role {name} can log in on classic and not on Limitless: give it LOGIN and its password or IAM there",
            )
        elif there.can_login and not role.can_login:
            yield Difference(
                f"rights/{name}/login",
                f"role {name} can log in on Limitless and not on classic: ALTER ROLE … NOLOGIN there, as migrator roles"
                " --apply does; sessions that are open stay until they end",
            )
        for what, here, other in _values(role, there):
            if here != other:
                yield Difference(
                    f"rights/{name}/{what.replace(' ', '-')}",
                    f"role {name} has {what} {here} on classic, {other} on Limitless",
                )
        for what, here_may, may in (
            ("CREATEROLE", role.creates_roles, there.creates_roles),
            ("CREATEDB", role.creates_databases, there.creates_databases),
        ):
            if may and not here_may:  # the other way round it is a person's decision, and no application's need
                yield Difference(
                    f"rights/{name}/{what.lower()}", f"role {name} has {what} on Limitless and not on classic"
                )


def _values(role: Role, there: Role) -> Iterator[tuple[str, str, str]]:
    def inherits(one: Role) -> str:
        return "INHERIT" if one.inherits else "NOINHERIT"

    def limit(one: Role) -> str:
        return "none" if one.connection_limit < 0 else str(one.connection_limit)

    yield "inheritance", inherits(role), inherits(there)
    yield "password expiry", role.valid_until or "never", there.valid_until or "never"
    yield "connection limit", limit(role), limit(there)


def _members(classic: Rights, limitless: Rights, gone: Collection[str]) -> Iterator[Difference]:
    there = {(m.role, m.member): m.admin for m in limitless.members}
    for found in sorted(classic.members):
        if not {found.role, found.member} & set(gone) and (
            (found.role, found.member) not in there or (found.admin and not there[found.role, found.member])
        ):
            how = " with admin option" if found.admin else ""
            yield Difference(
                f"rights/{found.member}/member/{found.role}",
                f"role {found.member} is a member of {found.role}{how} on classic and not on Limitless",
            )
    for found in sorted(extra_members(classic, limitless)):
        how = " with admin option" if found.admin else ""
        yield Difference(
            f"rights/{found.member}/member/{found.role}",
            f"role {found.member} is a member of {found.role}{how} on Limitless and not on classic",
        )


def extra_members(classic: Rights, limitless: Rights) -> set[Membership]:
    """Return memberships, or their admin option, that only Limitless has. The tool's role may have to be a member of
    roles whose objects it looks after."""
    here = {(m.role, m.member): m.admin for m in classic.members}
    return {
        Membership(m.role, m.member, m.admin and (m.role, m.member) in here)
        for m in limitless.members
        if m.member != limitless.tool and here.get((m.role, m.member), -1) < m.admin
    }


def _missing(classic: Rights, limitless: Rights, gone: Collection[str]) -> set[Right]:
    held = {(r.grantee, r.thing, r.privilege): r.grantable for r in limitless.effective}
    return {
        right
        for right in classic.effective
        if right.grantee not in gone
        and _on(right.thing) in limitless.things
        and not _held(held, right)
        and not _superuser(limitless, right.grantee)
    }


def _held(held: dict[tuple[str, Thing, str], bool], right: Right) -> bool:
    found = held.get((right.grantee, right.thing, right.privilege))
    if found is None and right.thing.kind == "column":
        found = held.get((right.grantee, _on(right.thing), right.privilege))
    return found is not None and found >= right.grantable


def _on(thing: Thing) -> Thing:
    return Thing("table", thing.schema, thing.name) if thing.kind == "column" else thing


def _superuser(side: Rights, name: str) -> bool:
    return name in side.roles and side.roles[name].superuser


def _told_once(missing: set[Right], classic: Rights) -> set[Right]:
    """Leave out what a role lacks only because PUBLIC, or a group it is in, lacks it."""
    groups: dict[str, list[str]] = defaultdict(lambda: [PUBLIC])
    for found in classic.members:
        groups[found.member].append(found.role)
    lacking = {(r.grantee, r.thing, r.privilege) for r in missing}
    return {
        right
        for right in missing
        if right.grantee == PUBLIC
        or not any((g, right.thing, right.privilege) in lacking for g in groups[right.grantee])
    }


def _extra(classic: Rights, limitless: Rights, gone: Collection[str]) -> set[Right]:
    """Return what a role may only on Limitless, or hand on only there. Schemas and the database open nothing by
    themselves; what the tool's own role may there is the tool's business."""
    found = {
        right
        for right in beyond(classic, limitless, limitless.effective)
        if right.thing.kind not in ("schema", "database")
        and (right.grantee in classic.roles or right.grantee in (PUBLIC, *_logins_of_its_own(classic, limitless)))
    }
    return {right for right in _told_once(found, limitless) if right.grantee not in gone}


def _logins_of_its_own(classic: Rights, limitless: Rights) -> list[str]:
    """Return roles that only Limitless has and that may log in. A group opens nothing but to its members, and what they
    may is compared."""
    own = limitless.roles.keys() - classic.roles.keys()
    return [name for name in own if limitless.roles[name].can_login and not limitless.roles[name].superuser]


def beyond(classic: Rights, limitless: Rights, held: Iterable[Right]) -> set[Right]:
    """Return those rights of *held*, of Limitless, that classic does not give, by whichever way. A right that only its
    grant option is missing for is returned with the option."""
    here = {(r.grantee, r.thing, r.privilege): r.grantable for r in classic.effective}
    added = _added_columns(classic, limitless)
    return {
        Right(
            right.grantee,
            right.thing,
            right.privilege,
            right.grantable and _held(here, replace(right, grantable=False)),
        )
        for right in held
        if right.grantee != limitless.tool
        and not _superuser(limitless, right.grantee)
        and _on(right.thing) in classic.things
        and limitless.owners.get(_on(right.thing)) != right.grantee
        and not _held(here, right)
        and not _held(here, replace(right, grantee=PUBLIC))
        and not _goes_with(right, added, classic)
    }


def _goes_with(right: Right, added: Collection[tuple[str, Thing, str]], classic: Rights) -> bool:
    """Return whether it is a right on a tenant column that only Limitless has, and goes with those on other columns."""
    on_column = right.thing.kind == "column" and right.thing not in classic.columns
    return on_column and (right.grantee, _on(right.thing), right.privilege) in added


def _added_columns(classic: Rights, limitless: Rights) -> set[tuple[str, Thing, str]]:
    """Return which roles have, on classic, rights on single columns of which table: a tenant column that only Limitless
    has goes with them."""
    return {(r.grantee, _on(r.thing), r.privilege) for r in classic.effective if r.thing.kind == "column"}


def _grouped(found: set[Right], where: str) -> Iterator[Difference]:
    """Return one difference per role and thing, with all its privileges."""
    by: dict[tuple[str, Thing], list[str]] = defaultdict(list)
    for right in sorted(found):
        by[right.grantee, right.thing].append(right.privilege + (" WITH GRANT OPTION" if right.grantable else ""))
    for (grantee, thing), privileges in sorted(by.items()):
        who = "everybody (PUBLIC)" if grantee == PUBLIC else f"role {grantee}"
        words = "CONNECT to the database" if thing.kind == "database" else f"{', '.join(privileges)} {thing.words}"
        yield Difference(_id(grantee, thing), f"{who} may {words} {where}")


def _settings(classic: Rights, limitless: Rights, gone: Collection[str]) -> Iterator[Difference]:
    for role in sorted(name for name in classic.roles.keys() - gone if classic.roles[name].can_login):
        here, there = classic.settings.get(role, {}), limitless.settings.get(role, {})
        for name, value in sorted(here.items()):
            if there.get(name) != value:
                yield Difference(
                    f"rights/{role}/setting/{name}",
                    f"sessions of role {role} get {name} = {value} on classic, {there.get(name, 'the default')} on"
                    " Limitless",
                )
        for name in sorted(limitless.of_role.get(role, frozenset()) - here.keys()):
            if same(name, classic.defaults.get(name), there[name]):
                continue
            yield Difference(
                f"rights/{role}/setting/{name}",
                f"sessions of role {role} get {name} = {there[name]} on Limitless, the default on classic",
            )


def _defaults(classic: Rights, limitless: Rights, gone: Collection[str]) -> Iterator[Difference]:
    """Yield in what sessions differ where neither role nor database sets it: one difference a setting, with all roles
    it concerns."""
    logins = sorted(name for name in classic.roles.keys() - gone if classic.roles[name].can_login)
    by_setting: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for role in logins:  # where only superusers log in there is no role to ALTER
        for name, here, there in by_default(classic, limitless, role):
            if name not in limitless.of_role.get(role, frozenset()):
                by_setting[name, here, there].append(role)
    for (name, here, there), roles in sorted(by_setting.items()):
        who = f"role{'s' if len(roles) > 1 else ''} {', '.join(roles)}"
        yield Difference(
            f"rights/settings/{name}",
            f"sessions of {who} get {name} = {here or 'nothing'} on classic, {there or 'nothing'} on Limitless, by the"
            " configuration of the servers: ALTER ROLE … SET there, as migrator provision does, or the cluster's"
            " parameter group (Limitless has no ALTER DATABASE)",
        )


def _policies(classic: Rights, limitless: Rights) -> Iterator[Difference]:
    tables = {(t.schema, t.name) for t in classic.things & limitless.things if t.kind == "table"}
    for table in sorted(tables):
        name = ".".join(table)
        if (table in classic.guarded) != (table in limitless.guarded):
            on, off = ("classic", "Limitless") if table in classic.guarded else ("Limitless", "classic")
            told = ": every row of it is visible there to roles that may read it" if off == "Limitless" else ""
            yield Difference(policy_id(table), f"row security of {name} is on on {on} and off on {off}{told}")
        here, there = _by_name(classic, table), _by_name(limitless, table)
        for policy in sorted(here.keys() | there.keys()):
            one, other = here.get(policy), there.get(policy)
            if one is None or other is None:
                yield Difference(
                    policy_id(table, policy),
                    f"row security policy {policy} of {name} exists on {'classic' if one else 'Limitless'} only"
                    + ("" if one else _KEPT_POLICY),
                )
            elif plain(one) != plain(other):
                yield Difference(
                    policy_id(table, policy),
                    f"row security policy {policy} of {name} differs on Limitless{_KEPT_POLICY}",
                )
        yield from _passes(classic, limitless, table)


def _passes(classic: Rights, limitless: Rights, table: tuple[str, str]) -> Iterator[Difference]:
    """Yield roles that see all rows of a guarded table on classic and not on Limitless, or the other way round."""
    if table not in classic.guarded:
        return
    owner = classic.owners.get(Thing("table", *table)) if table in classic.unforced else None
    for name, role in sorted(classic.roles.items()):
        there = limitless.roles.get(name)
        if there is None:
            continue
        here = role.bypasses_policies or name == owner
        passes = there.bypasses_policies or limitless.owners.get(Thing("table", *table)) == name
        if here != passes:
            on, off = ("classic", "Limitless") if here else ("Limitless", "classic")
            yield Difference(
                f"rights/{name}/policies/{'.'.join(table)}",
                f"role {name} passes the row security of {'.'.join(table)} on {on}, as its owner or by BYPASSRLS, and"
                f" not on {off}",
            )


def _by_name(side: Rights, table: tuple[str, str]) -> dict[str, Policy]:
    return {policy.name: policy for policy in side.policies if policy.table == table}
