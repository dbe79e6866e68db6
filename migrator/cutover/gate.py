"""May this tenant's reads move to Limitless now, and if not, for which reasons?

Pure: facts in, verdicts out. Unknown is never clean: a tenant without a validation is a blocker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.model.phase import TenantState
from migrator.model.tenant import TenantId
from migrator.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class GateLimits:
    """max_lag_s: the partition's lag, and the age of its published position. max_age_s: of a clean validation."""

    max_lag_s: float
    max_age_s: float


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """One tenant as its gate sees it.

    Attributes:
        lag_s: how far its mirror partition is behind; None without a published position.
        clean_age_s: age of its last validation without divergence; None: never validated clean.
        divergent: rows the last validation found; None: never validated.
        fallbacks: reasons of the fallbacks that cover it now.
        outdated: it was validated clean, but at other schemas than today's.
    """

    tenant_id: TenantId
    state: TenantState
    lag_s: float | None
    clean_age_s: float | None
    divergent: int | None
    fallbacks: tuple[str, ...] = ()
    quarantine: str | None = None
    outdated: bool = False


def needs_validation(facts: TenantFacts, limits: GateLimits) -> bool:
    """Return whether a validation right now could remove a blocker."""
    if facts.state is not TenantState.MIRRORED:
        return False
    return bool(facts.divergent) or facts.clean_age_s is None or facts.clean_age_s > limits.max_age_s


def tenant_verdict(facts: TenantFacts, limits: GateLimits) -> Verdict:
    """Return go, or every reason why this tenant must stay on classic for now."""
    who = f"tenant {facts.tenant_id}"
    found = []
    if facts.state is TenantState.QUARANTINED:
        found.append(f"{who} is quarantined: {facts.quarantine or 'Limitless refused one of its rows'}")
    elif facts.state is not TenantState.MIRRORED:
        found.append(f"{who} is {facts.state.value}, not mirrored")
    if facts.lag_s is None:
        found.append(f"{who}: its mirror partition has published no position")
    elif facts.lag_s > limits.max_lag_s:
        found.append(f"{who}: its mirror partition lags {facts.lag_s:.1f} s (limit {limits.max_lag_s:g} s)")
    if facts.divergent:
        found.append(f"{who} has {facts.divergent} divergent rows")
    elif facts.outdated:
        found.append(f"{who} was last validated at other schemas than today's")
    elif facts.clean_age_s is None:
        found.append(f"{who} was never validated")
    elif facts.clean_age_s > limits.max_age_s:
        found.append(f"{who} was validated {facts.clean_age_s:.0f} s ago (limit {limits.max_age_s:g} s)")
    found += [f"{who} has fallen back to classic: {reason}" for reason in facts.fallbacks]
    return Verdict(tuple(found))


@dataclass(frozen=True, slots=True)
class WaveVerdict:
    """Who of a wave may go, and every reason why the others may not."""

    ready: tuple[TenantId, ...]
    blocked: tuple[TenantId, ...]
    verdict: Verdict


def wave_verdict(facts: Sequence[TenantFacts], limits: GateLimits) -> WaveVerdict:
    """Return the verdicts of a whole wave, every blocker at once."""
    ready: list[TenantId] = []
    blocked: list[TenantId] = []
    all_of_them = Verdict()
    for tenant in facts:
        verdict = tenant_verdict(tenant, limits)
        (ready if verdict.go else blocked).append(tenant.tenant_id)
        all_of_them += verdict
    return WaveVerdict(tuple(ready), tuple(blocked), all_of_them)
