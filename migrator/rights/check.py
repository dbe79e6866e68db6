"""Compares the rights of both sides as they are now, for provisioning and the gates.

The answer is kept on classic, with the rights as they were: `status`, which needs classic alone, says what the last
comparison found and what has changed on classic since; and `follow` brings Limitless what has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import psycopg

from migrator.control.provisioned import compared_rights, keep_rights
from migrator.model.blocker import Blocker
from migrator.rights.catalog import Name, Rights
from migrator.rights.compare import differences, unacknowledged, without
from migrator.rights.grant_sql import Change, grant_changes, role_changes
from migrator.rights.lines import lines
from migrator.rights.owner_sql import definer_changes
from migrator.rights.read import read, read_with, sides
from migrator.rights.revoke_sql import revoke_changes

Connection = psycopg.Connection[Any]


def check(
    classic: Connection,
    limitless: Connection,
    schemas: Sequence[str],
    acknowledged: Collection[str] = (),
    *,
    keep: bool = True,
) -> tuple[Blocker, ...]:
    """Return every difference that is not acknowledged, in the operator's words; keep the answer on classic."""
    now = lines(read(classic, schemas, effective=False))
    here, there = sides(classic, limitless, schemas)
    remaining = unacknowledged(differences(here, there), acknowledged)
    if keep:
        last = compared_rights(classic)
        known = (
            now
            if last is None
            else settled(now, last.rights, without(here, acknowledged), without(there, acknowledged))
        )
        keep_rights(classic, remaining, sorted(known))
    return remaining


def settled(now: frozenset[str], before: Iterable[str], here: Rights, there: Rights) -> frozenset[str]:
    """Return classic's lines without those that Limitless has yet to get, and with those it has yet to lose: a
    comparison in between does not make them forgotten. Pure."""
    once = frozenset(before)
    return (now - (_lines(new_changes(here, there, now - once)) - once)) | (
        _lines(revoke_changes(here, there, once)) & once - now
    )


def new_changes(
    here: Rights, there: Rights, new: frozenset[str], tenant_columns: Mapping[Name, str] | None = None
) -> list[Change]:
    """Return what gives Limitless what has one of the *new* lines of classic. Pure."""
    fresh = {name for name in here.roles if f"role {name}" in new}
    roles = [c for c in role_changes(here, there) if c.name in fresh or any(line in new for line in c.lines)]
    grants = grant_changes(here, there, here.things & there.things, tenant_columns or {}, only=new)
    grants += definer_changes(here, there, here.things & there.things)
    return roles + [c for c in grants if c.name == there.tool or any(line in new for line in c.lines)]


def _lines(changes: Iterable[Change]) -> frozenset[str]:
    return frozenset(line for change in changes for line in change.lines)


def known(cursor: psycopg.Cursor[dict[str, Any]], schemas: Sequence[str]) -> tuple[str, ...]:
    """Return what the last comparison found, and what has changed on classic since, from classic alone."""
    last = compared_rights(cursor.connection)
    if last is None:
        return ()
    before, now = frozenset(last.rights), lines(read_with(cursor, schemas, effective=False))
    since = f"since rights were last compared, {last.at:%Y-%m-%d %H:%M}"
    return (
        *last.blockers,
        *(f"new on classic {since}: {line}" for line in sorted(now - before)),
        *(f"gone from classic {since}: {line}" for line in sorted(before - now)),
    )
