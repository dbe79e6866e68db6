"""Brings Limitless what changes in classic's rights while dual write lasts: a REVOKE must not stay open there.

Commands that give and take rights pass the DDL guard, and those about roles fire no event trigger. So rights on classic
are read again and again, and compared with those of the last comparison (`check`). What is new is given, what is gone
is taken; what differed before is left, since people may have meant it. With `everything` nothing is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from migrator.control import provisioned
from migrator.control.log import decide
from migrator.control.provisioned import Compared, Made, compared_rights
from migrator.control.route import write_mode
from migrator.db.connect import fault
from migrator.db.error_text import server_message
from migrator.db.lock_retry import until_free
from migrator.errors import PreconditionFailed
from migrator.model.blocker import Blocker
from migrator.model.route import WriteMode
from migrator.model.sqlstate import Fault
from migrator.rights.catalog import Name, Rights
from migrator.rights.check import check, new_changes
from migrator.rights.compare import unless_ajar, without
from migrator.rights.grant_sql import Change, grant_changes, role_changes
from migrator.rights.lines import lines
from migrator.rights.owner_sql import definer_changes
from migrator.rights.read import read, sides
from migrator.rights.revoke_sql import revoke_changes

Connection = psycopg.Connection[Any]

WHO = "rights"
LOCKED_TIMEOUT_S = 30.0
"""How long a statement is tried again while others hold the locks it needs."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What was done.

    Attributes:
        done: one line a change.
        refused: changes that Limitless refused, with its reason.
        blockers: what differs now.
    """

    done: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    blockers: tuple[Blocker, ...] = ()


def changed(classic: Connection, schemas: Sequence[str]) -> bool:
    """Return whether rights on classic are others than when they were last compared; False before they ever were, and
    once classic decides no more."""
    last = compared_rights(classic)
    if last is None or _handed_over(classic, last):
        return False
    return lines(read(classic, schemas, effective=False)) != frozenset(last.rights)


def _handed_over(classic: Connection, last: Compared | None) -> bool:
    """Return whether Limitless is authoritative: closing classic's roles then must not close them there."""
    return last is not None and write_mode(classic) is WriteMode.LIMITLESS_ONLY


def _require_classic_decides(classic: Connection, last: Compared | None) -> None:
    if _handed_over(classic, last):
        raise PreconditionFailed(
            f"write mode is {WriteMode.LIMITLESS_ONLY}: rights on Limitless are its own by now",
            hint="Grant and revoke there; migrator roles still compares both sides.",
        )


def planned(
    classic: Connection,
    limitless: Connection,
    schemas: Sequence[str],
    acknowledged: Collection[str] = (),
    tenant_columns: Mapping[Name, str] | None = None,
) -> list[Change]:
    """Return what brings everything on Limitless to classic's rights: first what is taken, then what is given.

    Raises:
        PreconditionFailed: Limitless is authoritative.
    """
    _require_classic_decides(classic, compared_rights(classic))
    here, there = _sides(classic, limitless, schemas, acknowledged)
    return revoke_changes(here, there) + _given(here, there, tenant_columns or {})


def follow(
    classic: Connection,
    limitless: Connection,
    schemas: Sequence[str],
    acknowledged: Collection[str] = (),
    *,
    tenant_columns: Mapping[Name, str] | None = None,
    everything: bool = False,
    who: str = WHO,
) -> Followed:
    """Take from Limitless what classic took, give it what classic gave; then compare both, and keep the answer.

    Each change is a transaction of its own. One that Limitless refuses is reported, tried again by the next run, and a
    blocker of every gate. Safe to run at any time.

    Args:
        everything: also what differed when rights were last compared.
        tenant_columns: those that Limitless alone has, by table: rights on single columns extend to them.

    Raises:
        PreconditionFailed: Limitless is authoritative, and *everything* was asked for.
    """
    last = compared_rights(classic)
    if everything:
        _require_classic_decides(classic, last)
    elif last is None or _handed_over(classic, last):
        return Followed()
    once = None if everything or last is None else frozenset(last.rights)
    taken = revoke_changes(*_sides(classic, limitless, schemas, acknowledged), once)
    done, refused = make(limitless, taken)
    here, there = _sides(classic, limitless, schemas, acknowledged)  # CASCADE may have taken more
    still = {change.summary for change in revoke_changes(here, there, once)}
    refused += [
        f"{line}: another role granted it there, so that role has to revoke it" for line in done if line in still
    ]
    done = [line for line in done if line not in still]
    if once is None:
        wanted = _given(here, there, tenant_columns or {})
    else:
        new = lines(here) - once
        wanted = new_changes(unless_ajar(here, there), there, new, tenant_columns or {})
    given, not_given = make(limitless, wanted)
    done, refused = done + given, refused + not_given
    if done:
        decide(classic, who, "rights.followed", "rights", "as on classic", after={"done": done, "refused": refused})
    return Followed(tuple(done), tuple(refused), check(classic, limitless, schemas, acknowledged))


def _sides(
    classic: Connection, limitless: Connection, schemas: Sequence[str], acknowledged: Collection[str]
) -> tuple[Rights, Rights]:
    here, there = sides(classic, limitless, schemas)
    return without(here, acknowledged), without(there, acknowledged)


def _given(here: Rights, there: Rights, tenant_columns: Mapping[Name, str]) -> list[Change]:
    things = here.things & there.things
    grants = grant_changes(unless_ajar(here, there), there, things, tenant_columns)
    return role_changes(here, there) + grants + definer_changes(here, there, things)


def make(limitless: Connection, changes: Iterable[Change]) -> tuple[list[str], list[str]]:
    """Make *changes*, each in a transaction of its own; return what was done, and what was refused with the reason."""
    done, refused = [], []
    for change in changes:
        if why := _refused(limitless, change):
            refused.append(f"{change.summary}: {why}" + _closed(limitless, change))
        else:
            done.append(change.summary)
    return done, refused


def _closed(limitless: Connection, change: Change) -> str:
    """Close what a refused change leaves open; return what was done about it, as the end of a message."""
    if change.closing is None:
        return ""
    name = ".".join(change.closing.table)
    instead = Change("grant", name, "", f"Close {name}", (change.closing.statement,))
    if why := _refused(limitless, instead):
        return f"; {name} stays open: {why}"
    return f"; so rights on {name} were revoked there, and classic answers its reads"


def _refused(limitless: Connection, change: Change) -> str:
    """Make one change; return why it was refused, or ''."""
    try:
        tried = until_free(partial(_make, limitless, change), LOCKED_TIMEOUT_S)
    except psycopg.Error as error:
        if limitless.broken or fault(error) in (Fault.UNREACHABLE, Fault.OVERLOADED):
            raise
        return server_message(error)
    return "" if tried else f"its locks stayed busy {tried}"


def _make(limitless: Connection, change: Change) -> None:
    with limitless.transaction():
        limitless.execute("SET LOCAL lock_timeout = '2s'")
        provisioned.only_maker(limitless)
        for statement in change.statements:
            limitless.execute(statement)
        if change.kind == "role" or change.detail:
            provisioned.record(limitless, Made(change.kind, "", change.name, change.detail))
