"""Does a tenant suffer on Limitless, and what follows?

Pure. A tenant is compared with its own past on classic: a p99 that is many times worse *and* above a floor below
which nobody notices, or too many errors that classic does not give too. One bad second proves nothing, so a complaint
has to last; and what everybody suffers from at once is an outage, which is the breaker's business and not the tenant's
fault.

What counts is the last minute (the plan's window), so that twenty good hours do not hide ten bad minutes. Longer
windows and the whole watch count too: they see the tenant that reads too seldom, and the one that is bad again and
again for a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrator.model.latency import FEWEST
from migrator.model.latency import Sample as Sample
from migrator.model.tenant import TenantId


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The plan's [waves] limits.

    Attributes:
        min_reads: fewer reads than this say nothing.
        patience: consecutive looks that must find the same tenant bad.
        max_failed: more rolled back tenants than this roll the whole wave back.
        window_s: how long the sliding window is.
        tail_s: its last seconds: when they are good, what was bad in the window is over.
        p99_limit_ms: what is allowed where there is no past to compare with; None: anything.
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
    """Return why a tenant suffers on Limitless, None when it does not or too little was measured."""
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
        # Without its own past there is nothing to compare with; errors are still judged.
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
    """Return the complaint about a window that its last seconds do not contradict."""
    reason = complaint(baseline, window, limits)
    if reason is not None and tail.reads >= limits.min_reads and complaint(baseline, tail, limits) is None:
        return None
    return reason


def longer_windows(watched_s: float, limits: GuardLimits) -> tuple[float, ...]:
    """Return the lengths in seconds of the windows besides the sliding one, after *watched_s* seconds of watch.

    Ten and sixty windows once so much time has passed, and the whole watch. The whole of a short watch holds little
    more than the window: it is asked only about who read too little in the window (`longer_complaint`).
    """
    if watched_s <= limits.window_s:
        return ()
    many = (limits.window_s * n for n in (10, 60))
    return (*(w for w in many if w < watched_s), watched_s)


def longer_complaint(
    baseline: Sample, window: Sample, longer: Mapping[float, Sample], limits: GuardLimits
) -> str | None:
    """Return the complaint about the shortest bad window of *longer*, by length in seconds."""
    for length_s in sorted(longer):
        if length_s < 10 * limits.window_s and window.reads >= limits.min_reads:
            continue
        reason = complaint(baseline, longer[length_s], limits)
        if reason is not None:
            return f"{reason}, over {length_s:.0f} s"
    return None


@dataclass(frozen=True, slots=True)
class Watch:
    """What the guard remembers between two looks.

    Attributes:
        bad: how often in a row each tenant was found bad.
        longer: complaints about longer windows, which are looked at less often.
        longer_at_s: when they were looked at, by classic's clock; None: not yet.
    """

    bad: Mapping[TenantId, int] = field(default_factory=dict)
    longer: Mapping[TenantId, str] = field(default_factory=dict)
    longer_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one look decides.

    Attributes:
        roll_back: tenants to roll back now, each with its reason.
        whole_wave: why the whole wave goes back and the cutover holds; None: it goes on.
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
        samples: per tenant its baseline on classic and what was seen on Limitless in the sliding window.
        failed_before: tenants of this wave that were rolled back earlier.
        tails: what was seen in the last seconds of the window.
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
        whole = f"{failed} tenants of the wave were rolled back (limit {limits.max_failed})"
    return Decision(replace(watch, bad=bad), tuple(guilty), whole)


def outage(trips: Sequence[str], fallbacks: Sequence[str], limitless_answers: bool) -> str | None:
    """Return why what is seen now says nothing about a tenant; None when the watch may go on.

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
