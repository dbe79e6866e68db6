"""Renders a dossier's own page: what was decided, by whom, on which evidence, and how the file is verified.

Self-contained, as the page of a migration. It is a member of the file it speaks of, so it names no digest of that file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from migrator.model.dossier import Manifest
from migrator.model.migration import MigrationFacts
from migrator.report.migration import page as migration
from migrator.report.standing import stand
from migrator.report.template import render

__all__ = ["SHOWN", "DossierPage", "Tenants", "VersionLine", "migration", "page"]

SHOWN = 100
"""Rows of a table; all of them are in the member that the page names."""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version of the plan."""

    number: int
    at: datetime
    who: str
    reason: str
    approver: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tenants:
    """Verdicts of validation, of all tenants. apart: tenants that are not clean, the first of them."""

    known: int = 0
    clean: int = 0
    divergent: int = 0
    never: int = 0
    apart: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class DossierPage:
    """What the page shows, with rows as they lie in the dossier.

    Attributes:
        members: file names of the dossier, with how many rows each has; None where that says nothing.
        attempts: of the decommission. kinds: of reports, how many and when the newest.
    """

    contents: Manifest
    facts: MigrationFacts
    members: Sequence[tuple[str, str, int | None]]
    versions: Sequence[VersionLine]
    approvals: Sequence[Mapping[str, Any]]
    votes: Sequence[Mapping[str, Any]]
    incidents: Sequence[Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    kinds: Sequence[tuple[str, int, str]]
    tenants: Tenants
    validations: Sequence[Mapping[str, Any]]
    schema_changes: Sequence[Mapping[str, Any]]
    workers: Sequence[Mapping[str, Any]]
    installed: Sequence[Mapping[str, Any]]


def page(dossier: DossierPage) -> str:
    """Return the HTML page of *dossier*."""
    return render(
        "dossier.html",
        dossier=dossier,
        contents=dossier.contents,
        facts=dossier.facts,
        standing=stand(dossier.facts),
        shown=SHOWN,
    )
