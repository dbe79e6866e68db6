"""Proves that nothing a shadow read reads changed on classic between its two answers.

Capture leaves the key of every row that changes in the journal, in the writer's own transaction. Before the first
answer classic says how far each mirror partition is (a snapshot of classic that Limitless holds entirely) and how it
stands with the tenant; afterwards it says whether any key of the tenant, of the reference tables, or of an unknown
tenant has been journalled since. When there is none, the tenant's rows were the same on classic at every moment from
those snapshots on. Limitless was at one of these moments when it was read, so both answers are of the same rows. See
docs/protocols.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from migrator.errors import MigratorError
from migrator.model.position import Snapshot
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.current_view import CurrentView
from migrator.shim.link import OwnCursor
from migrator.shim.pool import PING, Pool
from migrator.shim.view import View

WAIT_S = 1.5
"""How long Limitless may take to hold what classic held: an idle partition publishes its position once a second."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What classic said before the first answer.

    Attributes:
        tenant_id: whose read it is.
        said: classic's words, which go back to it unread.
        part: the tenant's mirror partition.
        snapshot: what classic's answer sees at least.
        covered: partitions that were seen to hold all of *snapshot*.
    """

    tenant_id: TenantId
    said: dict[str, Any]
    part: int
    snapshot: Snapshot
    covered: frozenset[int] = frozenset()


class Evidence(Protocol):
    """What shadow reads ask classic; migrator.testing has another one."""

    def begin(self, tenant_id: TenantId) -> Begun | None:
        """Return where a comparison starts; None while the tenant's rows do not follow classic, so that none may."""

    def wait(self, begun: Begun, timeout_s: float) -> Begun:
        """Wait until Limitless holds what the first answer saw, within a bound; return what is known then."""

    def unchanged(self, begun: Begun, *, everything: bool) -> bool:
        """Return whether the tenant's rows were the same all the time; with *everything* the rows of all tenants."""


class JournalEvidence:
    """Asks classic's journal, through two functions of the tool's schema."""

    def __init__(self, classic: Pool, current: CurrentView) -> None:
        self._classic = classic
        self._current = current

    def begin(self, tenant_id: TenantId) -> Begun | None:
        said = self._ask(st.SHADOW_BEGIN, {"tenant": tenant_id})
        if not said:
            return None
        found = json.loads(said)
        return Begun(tenant_id, found, int(found["part"]), Snapshot.parse(found["snapshot"]))

    def wait(self, begun: Begun, timeout_s: float) -> Begun:
        def holds(view: View, part: int) -> bool:
            return part in view.positions and view.positions[part].includes(begun.snapshot)

        with self._current.attention():
            self._current.wait_until(lambda view: holds(view, begun.part), timeout_s)
        view = self._current.view
        covered = frozenset(part for part in view.positions if holds(view, part))
        return Begun(begun.tenant_id, begun.said, begun.part, begun.snapshot, covered)

    def unchanged(self, begun: Begun, *, everything: bool) -> bool:
        values = {
            "tenant": begun.tenant_id,
            "begun": json.dumps(begun.said),
            "covered": sorted(begun.covered),
            "everything": everything,
        }
        return self._ask(st.SHADOW_UNCHANGED, values) == "true"

    def _ask(self, statement: str, values: dict[str, object]) -> str | None:
        """Return the one value that classic answers; None when it cannot or may not be asked."""
        try:
            link = self._classic.take(PING)
            try:
                row = OwnCursor(link.conn).execute(statement, values).fetchone()
            finally:
                self._classic.give(link)
        except (psycopg.Error, MigratorError):
            # Unreachable, of an earlier version, or without the right: then nothing is compared, which the gate sees.
            return None
        return None if row is None or row[0] is None else str(row[0])
