"""Brings the members of a dossier into the values of its page: counts of everything, rows of what a person reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from migrator.dossier import manifest
from migrator.model.dossier import Manifest
from migrator.model.migration import MigrationFacts
from migrator.report.dossier import SHOWN, DossierPage, Tenants, VersionLine

ATTEMPTS = "decommission"
_NEWEST_VALIDATIONS = 20

MEMBERS = {
    manifest.READ_ME: "how this file is verified, with openssl and sha256sum",
    manifest.SUMS: "SHA-256 of each member, for sha256sum",
    manifest.PAGE: "this page",
    "migration.html": "the migration over time: lines, waves, cost, incidents",
    manifest.FACTS: "status and everything that page rests on",
    "plan.json": "the plan, and its earlier versions: who changed what, and why",
    manifest.LOG: "the decision log with its hash chain",
    "approvals.jsonl": "approvals that stand: gate, by whom, when, and the digest of the evidence",
    "votes.jsonl": "what each approver said, how it was known who that is, with the evidence and the proof",
    "incidents.jsonl": "incidents",
    "phases.jsonl": "phases",
    manifest.REPORTS: "reports: verdicts of the audit and of provisioning, forecasts, cost, drills, the decommission",
    "tenants.jsonl": "each tenant with its last verdict",
    "verdicts.jsonl": "earlier verdicts, the newest first",
    "validations.jsonl": "validations, the newest first",
    "divergences.jsonl": "divergences without keys and values, the newest first",
    "schema_changes.jsonl": "changes of the schema",
    "workers.jsonl": "workers of the last day, with their versions",
    "installed.jsonl": "versions of the control schema",
}
"""What a member holds, by its name."""

Rows = Callable[[str], Iterator[dict[str, Any]]]


def dossier_facts(
    contents: Manifest, facts: MigrationFacts, versions: Iterable[VersionLine], rows: Rows, counts: Mapping[str, int]
) -> DossierPage:
    """Return what the page of a dossier shows.

    Args:
        rows: the rows of a member, by its name without ending. counts: how many those are.
    """
    kinds, attempts = _reports(rows("reports"))
    lines = {f"{name}.jsonl": number for name, number in counts.items()} | {manifest.LOG: contents.log.entries}
    return DossierPage(
        contents=contents,
        facts=facts,
        members=[(name, what, lines.get(name)) for name, what in MEMBERS.items()],
        versions=list(versions),
        approvals=list(rows("approvals")),
        votes=list(rows("votes")),
        incidents=list(rows("incidents")),
        attempts=attempts,
        kinds=kinds,
        tenants=_tenants(rows("tenants")),
        validations=list(islice(rows("validations"), _NEWEST_VALIDATIONS)),
        schema_changes=list(rows("schema_changes")),
        workers=list(rows("workers")),
        installed=list(rows("installed")),
    )


def _reports(rows: Iterable[dict[str, Any]]) -> tuple[list[tuple[str, int, str]], list[dict[str, Any]]]:
    found: dict[str, tuple[int, str]] = {}
    attempts = []
    for row in rows:
        found[row["kind"]] = found.get(row["kind"], (0, ""))[0] + 1, row["at"]
        if row["kind"] == ATTEMPTS:
            attempts.append(row)
    return [(kind, number, newest) for kind, (number, newest) in sorted(found.items())], attempts


def _tenants(rows: Iterable[dict[str, Any]]) -> Tenants:
    known = clean = divergent = never = 0
    apart: list[dict[str, Any]] = []
    for row in rows:
        known += 1
        if row["divergent"] is None:
            never += 1
        elif row["divergent"]:
            divergent += 1
        else:
            clean += 1
            continue
        if len(apart) < SHOWN:
            apart.append(row)
    return Tenants(known, clean, divergent, never, tuple(apart))
