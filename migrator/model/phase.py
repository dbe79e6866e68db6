"""The phases and their order, and the states of a tenant's rows."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The phases of the decision. Backfill and validation run inside DUAL_WRITE; decommission ends STABILIZE."""

    AUDIT = "audit"
    PROVISION = "provision"
    DUAL_WRITE = "dual_write"
    CUTOVER = "cutover"
    STABILIZE = "stabilize"
    DECOMMISSION = "decommission"


ORDER: tuple[Phase, ...] = tuple(Phase)


class TenantState(StrEnum):
    """State of a tenant's rows. Only the mirror moves a tenant into or out of MIRRORED."""

    PENDING = "pending"  # known, not copied
    COPYING = "copying"  # at least one of its copy units is leased or copied, not all
    MIRRORED = "mirrored"  # Limitless follows classic
    QUARANTINED = "quarantined"  # Limitless refused one of its rows
