"""Judges reads on Limitless during a soak: which tenants are rolled back, and whether the whole wave is.

Pure. A tenant is compared with its own baseline on classic: a p99 that is several times worse *and* above a floor that
matters, or an error ratio over the limit that classic does not have too. One bad second proves nothing, so a breach has
to last; and what affects all tenants at once is an outage, which the breaker handles and no tenant is blamed for.

The last minute (the plan's window) counts, so that twenty good hours do not hide ten bad minutes. Longer windows and
the whole soak count too: they catch a tenant with few reads, and one that is slow for a few seconds repeatedly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrator.model.counted import counted
from migrator.model.latency import FEWEST
from migrator.model.latency import Sample as Sample
from migrator.model.tenant import TenantId


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The plan's [waves] limits.

    Attributes:
        min_reads: with fewer reads than this a window is not judged.
        patience: consecutive passes in which the same tenant must be over a limit.
        max_failed: more rolled back tenants than this roll the whole wave back.
        window_s: how long the sliding window is.
        tail_s: its last seconds: when they are within limits, a breach earlier in the window is over.
        p99_limit_ms: the limit where there is no baseline; None: no limit.
    """

    p99_factor: float
    p99_floor_ms: float
    error_ratio: float
    min_reads: int
    patience: int
    max_failed: int
    window_s: float = 60.0
    tail_s: float = 3.0
    p99_limit_ms: float | None = None


def complaint(baseline: Sample, now: Sample, limits: GuardLimits) -> str | None:
    """Return which limit a tenant exceeds on Limitless; None when none, or when too little was measured."""
    if now.reads < limits.min_reads:
        return None
    if now.error_ratio > limits.error_ratio and now.errors >= FEWEST:
        return (
            f"{now.errors} of {now.reads} reads failed on Limitless "
            f"({now.error_ratio:.1%}, limit {limits.error_ratio:.1%})"
        )
    if now.p99_ms is None or now.p99_ms <= limits.p99_floor_ms:
        return None
    if baseline.p99_ms is None or baseline.reads < limits.min_reads:
        # Without a baseline there is nothing to compare with; errors are still judged.
        if limits.p99_limit_ms is None or now.p99_ms <= limits.p99_limit_ms:
            return None
        return f"p99 {now.p99_ms:.0f} ms on Limitless (limit {limits.p99_limit_ms:.0f} ms)"
    allowed = max(limits.p99_floor_ms, baseline.p99_ms * limits.p99_factor)
    if now.p99_ms > allowed:
        return (
            f"p99 {now.p99_ms:.0f} ms on Limitless against {baseline.p99_ms:.0f} ms on classic (limit {allowed:.0f} ms)"
        )
    return None


def lasting(baseline: Sample, window: Sample, tail: Sample, limits: GuardLimits) -> str | None:
    """Return the breach of a window, unless its last seconds are within limits."""
    reason = complaint(baseline, window, limits)
    if reason is not None and tail.reads >= limits.min_reads and complaint(baseline, tail, limits) is None:
        return None
    return reason


def longer_windows(watched_s: float, limits: GuardLimits) -> tuple[float, ...]:
    """Return the lengths in seconds of the windows besides the sliding one, after *watched_s* seconds of soak.

    Ten and sixty windows once so much time has passed, and the whole soak. The whole of a short soak holds little
        more than the window: it is used only for tenants with too few reads in the window (`longer_complaint`).
    """
    if watched_s <= limits.window_s:
        return ()
    many = (limits.window_s * n for n in (10, 60))
    return (*(w for w in many if w < watched_s), watched_s)


def longer_complaint(
    baseline: Sample, window: Sample, longer: Mapping[float, Sample], limits: GuardLimits
) -> str | None:
    """Return the breach of the shortest window of *longer* (by length in seconds) that is over a limit."""
    for length_s in sorted(longer):
        if length_s < 10 * limits.window_s and window.reads >= limits.min_reads:
            continue
        reason = complaint(baseline, longer[length_s], limits)
        if reason is not None:
            return f"{reason}, over {length_s:.0f} s"
    return None


@dataclass(frozen=True, slots=True)
class Watch:
    """The guard's state between two passes.

    Attributes:
        bad: in how many consecutive passes each tenant was over a limit.
        longer: breaches of longer windows, which are judged less often.
        longer_at_s: when they were judged, by classic's clock; None: not yet.
    """

    bad: Mapping[TenantId, int] = field(default_factory=dict)
    longer: Mapping[TenantId, str] = field(default_factory=dict)
    longer_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one pass.

    Attributes:
        roll_back: tenants to roll back now, each with its reason.
        whole_wave: why the whole wave is rolled back and the cutover stops; None: it goes on.
    """

    watch: Watch
    roll_back: tuple[tuple[TenantId, str], ...] = ()
    whole_wave: str | None = None


def look(
    watch: Watch,
    samples: Mapping[TenantId, tuple[Sample, Sample]],
    failed_before: int,
    limits: GuardLimits,
    tails: Mapping[TenantId, Sample] | None = None,
) -> Decision:
    """Judge every tenant of the wave once.

    Args:
        samples: per tenant its baseline on classic and its samples on Limitless in the sliding window.
        failed_before: tenants of this wave that were rolled back earlier.
        tails: samples of the last seconds of the window.
    """
    bad: dict[TenantId, int] = {}
    guilty: list[tuple[TenantId, str]] = []
    for tenant in sorted(samples):
        reason = lasting(*samples[tenant], (tails or {}).get(tenant, Sample()), limits) or watch.longer.get(tenant)
        if reason is None:
            continue
        bad[tenant] = watch.bad.get(tenant, 0) + 1
        if bad[tenant] >= limits.patience:
            guilty.append((tenant, reason))
            del bad[tenant]
    failed = failed_before + len(guilty)
    whole = None
    if guilty and failed > limits.max_failed:
        whole = (
            f"{counted(failed, 'tenant of the wave was', 'tenants of the wave were')} "
            f"rolled back (limit {limits.max_failed})"
        )
    return Decision(replace(watch, bad=bad), tuple(guilty), whole)


def outage(trips: Sequence[str], fallbacks: Sequence[str], limitless_answers: bool) -> str | None:
    """Return why the present samples say nothing about a tenant; None when they may be judged.

    Args:
        trips: reasons of breakers that processes have open.
        fallbacks: reasons of the fallbacks that cover tenants of the wave.
        limitless_answers: whether a trivial statement succeeds there.
    """
    if not limitless_answers:
        return "Limitless does not answer"
    if fallbacks:
        return f"reads have fallen back to classic: {fallbacks[0]}"
    if trips:
        return f"a breaker is open: {trips[0]}"
    return None
