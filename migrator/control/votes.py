"""Keeps what approvers said of gates, and the evidence they were shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control.history import add_report_if_new
from migrator.db.named import load
from migrator.model.approval import How, Vote, digest

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "votes.sql")
_LOCK = 0x6D696776  # "migv"
_PHASE = {"decommission": "stabilize"}
_PREPARING = ("audit", "provision")


@dataclass(frozen=True, slots=True)
class Kept:
    """A vote with what proves it. proof: key and signature, or issuer and subject; empty where a name was taken."""

    vote: Vote
    proof: dict[str, str]
    facts: dict[str, str]


def facts_of(conn: Connection, gate: str) -> dict[str, str]:
    """Return what an approval of *gate* is about now: facts that do not change by themselves while all is well.

    The gate's own answer is not among them: an approval is taken only while the gate waits for one, and it is asked
    again before it is passed.
    """
    row = conn.execute(_SQL["facts"], {"verdict": f"{gate}.verdict"}).fetchone()
    assert row is not None
    plan, verdict, incidents, tables, quarantined, divergent, level, shadow, tried = row
    found = {"gate": gate, "plan": str(plan or "none")[:16]}
    if gate in _PREPARING:
        found["report"] = str(verdict or "none")
        if gate == "provision" and (shadow or tried):
            found["shadow run, load test"] = f"{shadow or 'none'}, {tried or 'none'}"
        return found
    return {
        **found,
        "incidents": str(incidents),
        "captured tables": str(tables),
        "quarantined tenants": str(quarantined),
        "divergent tenants": str(divergent),
        "reads at most from": str(level),
    }


def waits(conn: Connection, gate: str) -> bool:
    """Return whether a phase waits for an approval of *gate*, as its workflow noted."""
    wanted = f"migrator approve {gate} "
    return any(str(step).startswith(wanted) for _, _, step, _ in conn.execute(_SQL["waiting"]))


def blockers(conn: Connection, gate: str) -> tuple[str, ...]:
    """Return what stands in the way of the phase before *gate*, as its workflow noted it last."""
    row = conn.execute(_SQL["blockers"], {"phase": _PHASE.get(gate, "cutover" if "-" in gate else gate)}).fetchone()
    return tuple(str(line) for line in row[0]) if row else ()


def votes(conn: Connection, gate: str) -> list[Kept]:
    """Return the votes about *gate* that were not voided, the oldest first."""
    return [
        Kept(Vote(str(approver), How(how), str(evidence), at), dict(proof), dict(facts))
        for approver, how, evidence, at, proof, facts in conn.execute(_SQL["votes"], {"gate": gate})
    ]


def put(conn: Connection, gate: str, vote: Vote, facts: Mapping[str, str], proof: Mapping[str, str]) -> None:
    """Keep *vote*, in the caller's transaction. How long it counts the plan says, whenever it is asked."""
    values = {"at": vote.at, "gate": gate, "approver": vote.approver, "how": vote.how.value, "evidence": vote.evidence}
    texts = {"facts": json.dumps(dict(facts)), "proof": json.dumps(dict(proof))}
    conn.execute(_SQL["put_vote"], {**values, **texts})


def void(conn: Connection, gate: str, why: str) -> None:
    """Let the votes about *gate* count no more."""
    conn.execute(_SQL["void_votes"], {"gate": gate, "why": why})


def lock(conn: Connection) -> None:
    """Let no one else vote until the caller's transaction ends."""
    conn.execute(_SQL["lock"], {"lock": _LOCK})


def now(conn: Connection) -> datetime:
    """Return classic's clock."""
    row = conn.execute(_SQL["now"]).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def refusals(conn: Connection, subject: str, seconds: float) -> int:
    """Return how often a person was refused as approver *subject* within so many seconds."""
    row = conn.execute(_SQL["refusals"], {"subject": subject, "seconds": seconds}).fetchone()
    return int(row[0]) if row else 0


def keep_shown(conn: Connection, gate: str, facts: Mapping[str, str]) -> str:
    """Keep evidence that is shown, so that what changed can be told later; return its digest."""
    found = digest(facts)
    add_report_if_new(conn, f"evidence.{gate}", {"digest": found, "facts": dict(facts)})
    return found


def shown(conn: Connection, gate: str, evidence: str) -> dict[str, str] | None:
    """Return the facts of evidence that was shown; None where none of this digest was."""
    row = conn.execute(_SQL["known_evidence"], {"kind": f"evidence.{gate}", "digest": evidence}).fetchone()
    return dict(row[0]) if row else None
