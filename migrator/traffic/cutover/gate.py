"""The gate of a wave: decides which tenants' reads may move to Limitless, and returns every blocker of the others.

Pure: facts in, verdicts out. Unknown is never clean: a tenant without a validation is a blocker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.facts import ReferenceFacts, TenantFacts
from migrator.model.phase import TenantState
from migrator.model.shell import argument
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class GateLimits:
    """max_lag_s: the partition's lag, and the age of its published position. max_age_s: of a clean validation."""

    max_lag_s: float
    max_age_s: float


def _late(lag_s: float, limits: GateLimits, problem: str) -> str:
    return f"lags {lag_s:.1f} s (limit {limits.max_lag_s:g} s)" + (f": {problem}" if problem else "")


def needs_validation(facts: TenantFacts | ReferenceFacts, limits: GateLimits) -> bool:
    """Return whether a validation now could remove a blocker."""
    if isinstance(facts, TenantFacts) and facts.state is not TenantState.MIRRORED:
        return False
    return bool(facts.divergent) or facts.clean_age_s is None or facts.clean_age_s > limits.max_age_s


def _unclean(
    facts: TenantFacts | ReferenceFacts, limits: GateLimits, subject: str, has: str, was: str
) -> list[Blocker]:
    """Return the blocker that validation raises for *subject*, if any; its text begins with *has* or *was*."""
    if facts.divergent:
        return [Blocker("rows.divergent", subject, f"{has} {counted(facts.divergent, 'divergent row')}")]
    if facts.outdated:
        return [Blocker("validation.outdated", subject, f"{was} last validated at other schemas than today's", True)]
    if facts.clean_age_s is None:
        return [Blocker("validation.missing", subject, f"{was} never validated", True)]
    if facts.clean_age_s > limits.max_age_s:
        text = f"{was} validated {facts.clean_age_s:.0f} s ago (limit {limits.max_age_s:g} s)"
        return [Blocker("validation.stale", subject, text, True)]
    return []


def reference_unclean(facts: ReferenceFacts | None, limits: GateLimits) -> tuple[Blocker, ...]:
    """Return the blocker that validation raises for the reference tables; None stands for no reference tables."""
    who = "the reference tables"
    return () if facts is None else tuple(_unclean(facts, limits, "", f"{who} have", f"{who} were"))


def reference_verdict(facts: ReferenceFacts | None, limits: GateLimits) -> Verdict:
    """Return go, or why no tenant's reads may move: the mirror of the reference tables, and their validation."""
    blockers = reference_unclean(facts, limits)
    if facts is not None and facts.lag_s > limits.max_lag_s:
        text = f"mirror partition {REFERENCE_PART} {_late(facts.lag_s, limits, facts.problem)}"
        blockers = (Blocker("mirror.lags", str(REFERENCE_PART), text, True), *blockers)
    return Verdict(blockers)


def tenant_verdict(facts: TenantFacts, limits: GateLimits) -> Verdict:
    """Return go, or every reason why this tenant must stay on classic for now."""
    tenant, who = facts.tenant_id, f"tenant {facts.tenant_id}"
    blockers: list[Blocker] = []
    if facts.held is not None:
        text = f"{who} is held on classic by {facts.held}; migrator tenant release {argument(tenant)}"
        blockers.append(Blocker("tenant.held", tenant, text))
    if facts.state is TenantState.QUARANTINED:
        text = f"{who} is quarantined: {facts.quarantine or 'Limitless refused one of its rows'}"
        blockers.append(Blocker("tenant.quarantined", tenant, text))
    elif facts.state is not TenantState.MIRRORED:
        blockers.append(Blocker("tenant.not_mirrored", tenant, f"{who} is {facts.state.value}, not mirrored", True))
    if facts.lag_s is None:
        text = f"{who}: its mirror partition has published no position"
        blockers.append(Blocker("mirror.no_position", tenant, text, True))
    elif facts.lag_s > limits.max_lag_s:
        text = f"{who}: its mirror partition {_late(facts.lag_s, limits, facts.problem)}"
        blockers.append(Blocker("mirror.lags", tenant, text, True))
    blockers += _unclean(facts, limits, tenant, f"{who} has", f"{who} was")
    blockers += [
        Blocker("reads.fallen_back", tenant, f"{who} has fallen back to classic: {reason}", True)
        for reason in facts.fallbacks
    ]
    return Verdict(tuple(blockers))


@dataclass(frozen=True, slots=True)
class WaveVerdict:
    """The tenants of a wave that may move, and every blocker of the others."""

    ready: tuple[TenantId, ...]
    blocked: tuple[TenantId, ...]
    verdict: Verdict


def wave_verdict(
    facts: Sequence[TenantFacts],
    limits: GateLimits,
    reference: ReferenceFacts | None = None,
    everywhere: Sequence[Blocker] = (),
) -> WaveVerdict:
    """Return the verdicts of a whole wave, every blocker at once; one of the *reference* tables blocks everybody, and
    so does one of *everywhere*, for any tenant."""
    ready: list[TenantId] = []
    blocked: list[TenantId] = []
    all_of_them = everybody = reference_verdict(reference, limits) + Verdict(tuple(everywhere))
    for tenant in facts:
        verdict = tenant_verdict(tenant, limits)
        (ready if verdict.go and everybody.go else blocked).append(tenant.tenant_id)
        all_of_them += verdict
    return WaveVerdict(tuple(ready), tuple(blocked), all_of_them)
