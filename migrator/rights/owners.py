"""Gives objects on Limitless to the roles that own them on classic, once the tool changes them no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.rights.follow import Followed, make
from migrator.rights.grant_sql import Change
from migrator.rights.owner_sql import owner_changes
from migrator.rights.read import sides

Connection = psycopg.Connection[Any]


def planned_owners(classic: Connection, limitless: Connection, schemas: Sequence[str]) -> list[Change]:
    """Return what gives everything to its owner."""
    return owner_changes(*sides(classic, limitless, schemas))


def give_owners(classic: Connection, limitless: Connection, schemas: Sequence[str], *, who: str) -> Followed:
    """Give everything in *schemas* to its owner, each thing in a transaction of its own. Safe to run twice.

    Limitless is authoritative by then and classic about to go, so what was refused is kept in the decision log, with
    the reason: the last place that knows the owners.
    """
    done, refused = make(limitless, planned_owners(classic, limitless, schemas))
    if done or refused:
        decide(classic, who, "owners.given", "rights", "as on classic", after={"done": done, "refused": refused})
    return Followed(tuple(done), tuple(refused))
