"""Finds what a role may do on classic and not on Limitless, and the other way round. Pure.

Compared is what a role may in the end, as each server answers it: a grant that arrives by another way is no difference.
What exists on one side only is of no interest here; that it is missing is said by the comparison of the catalogs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.rights.catalog import PUBLIC, Policy, Right, Rights, Thing
from migrator.rights.settings import by_default, same

_NOISE = re.compile(r'[\s()"]+')


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
    """Return those that are not acknowledged; "rights/shop_app" covers "rights/shop_app/app.orders"."""
    return tuple(
        Blocker("rights.differ", d.id, d.line)
        for d in found
        if not any(d.id == a or d.id.startswith(f"{a}/") for a in acknowledged)
    )


def differences(classic: Rights, limitless: Rights) -> list[Difference]:
    """Return every difference. *limitless* was read for the roles of *classic*."""
    gone = classic.roles.keys() - limitless.roles.keys()
    result = [
        Difference(f"rights/{name}", f"role {name} exists on classic and not on Limitless") for name in sorted(gone)
    ]
    result += _logins(classic, limitless)
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
            f"rights/definer/{thing.name}",
            f"{thing.words} is SECURITY DEFINER: it runs with the rights of {owner} on classic and of"
            f" {limitless.definers[thing]} on Limitless",
        )
        for thing, owner in sorted(classic.definers.items())
        if owner in classic.roles and limitless.definers.get(thing, owner) != owner
    ]
    return result


def _logins(classic: Rights, limitless: Rights) -> Iterator[Difference]:
    for name, role in sorted(classic.roles.items()):
        there = limitless.roles.get(name)
        if there is not None and role.can_login and not there.can_login:
            yield Difference(
                f"rights/{name}/login",
                f"role {name} can log in on classic and not on Limitless: give it LOGIN and its password or IAM there",
            )


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
    here = {(m.role, m.member) for m in classic.members}
    for found in sorted(limitless.members):
        # a role that made another one is a member of it by itself since PostgreSQL 16
        if (found.role, found.member) not in here and found.member != limitless.tool:
            yield Difference(
                f"rights/{found.member}/member/{found.role}",
                f"role {found.member} is a member of {found.role} on Limitless and not on classic",
            )


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
    """Return what a role may only on Limitless. Schemas and the database open nothing by themselves; what the tool's
    own role may there is the tool's business."""
    here = {(r.grantee, r.thing, r.privilege): r.grantable for r in classic.effective}
    found = {
        Right(right.grantee, right.thing, right.privilege)
        for right in limitless.effective
        if right.thing.kind not in ("schema", "database")
        and right.grantee != limitless.tool
        and not _superuser(limitless, right.grantee)
        and _on(right.thing) in classic.things
        and not _held(here, Right(right.grantee, right.thing, right.privilege))
    }
    added = _added_columns(classic, limitless)
    return {
        right
        for right in _told_once(found, limitless)
        if not (right.thing.kind == "column" and (right.grantee, _on(right.thing), right.privilege) in added)
    }


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
        what = thing.kind if thing.kind == "database" else thing.words.removeprefix(f"{thing.kind} ")
        yield Difference(f"rights/{grantee}/{what}", f"{who} may {words} {where}")


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
            yield Difference(f"rights/policies/{name}", f"row security of {name} is on on {on} and off on {off}")
        here, there = _by_name(classic, table), _by_name(limitless, table)
        for policy in sorted(here.keys() | there.keys()):
            one, other = here.get(policy), there.get(policy)
            if one is None or other is None:
                yield Difference(
                    f"rights/policies/{name}/{policy}",
                    f"row security policy {policy} of {name} exists on {'classic' if one else 'Limitless'} only",
                )
            elif _plain(one) != _plain(other):
                yield Difference(
                    f"rights/policies/{name}/{policy}", f"row security policy {policy} of {name} differs on Limitless"
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


def _plain(policy: Policy) -> tuple[object, ...]:
    """Servers of other versions print the same expression with other blanks and parentheses."""
    texts = (_NOISE.sub("", text or "") for text in (policy.using, policy.check))
    return (policy.permissive, policy.command, policy.roles, *texts)


def lines(side: Rights) -> frozenset[str]:
    """Return everything about one side that a later look may find changed, one fact a line. Needs no `effective`."""
    found = {
        f"{'everybody (PUBLIC)' if r.grantee == PUBLIC else 'role ' + r.grantee} {r.privilege} {r.thing.words}"
        for r in side.granted
    }
    found |= {f"role {name}{' can log in' if role.can_login else ''}" for name, role in side.roles.items()}
    found |= {f"role {m.member} is a member of {m.role}" for m in side.members}
    found |= {f"role {r} gets {n} = {v}" for r, of in side.settings.items() for n, v in of.items()}
    found |= {f"row security of {'.'.join(table)}" for table in side.guarded}
    found |= {f"row security policy {p.name} of {'.'.join(p.table)}: {_plain(p)}" for p in side.policies}
    return frozenset(found)
