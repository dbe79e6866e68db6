"""The gate of the decommission: whether classic may be retired.

Pure. Everything that is known before the pause is asked here, all blockers at once; what can only be known while
writes are closed is checked again then.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.route import Level, WriteMode
from migrator.model.verdict import Verdict

SHOWN = 5
"""Names listed per blocker; the count is always given."""


@dataclass(frozen=True, slots=True)
class DecommissionFacts:
    """What the gate looks at.

    Attributes:
        window_over: the stabilization days have passed without incident.
        not_limitless: tenants whose reads are not all on Limitless.
        unmirrored: tenants known on classic and not mirrored.
        stale: tenants whose last clean validation is older than the plan's limit, or missing; and the reference
            tables, by that name.
        divergent: tenants with divergent rows, and the reference tables.
        fallbacks: reasons of fallbacks in force.
        worst_lag_s: of all mirror partitions; None when one published nothing.
        problem: why the mirror partition that lags most is waiting or stalled.
        unconfirmed: processes that live and have not applied the present epoch.
        prepared: prepared transactions in classic's database.
        inventory: what the migrated schemas hold beside what is captured and on Limitless.
        capture: reasons why the journal cannot be trusted.
        held: tenants that a person keeps on classic.
    """

    write_mode: WriteMode
    switch: Level
    window_over: bool
    window: str
    not_limitless: tuple[str, ...] = ()
    unmirrored: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    divergent: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    worst_lag_s: float | None = 0.0
    max_lag_s: float = 5.0
    max_age_s: float = 3600.0
    unconfirmed: tuple[str, ...] = ()
    prepared: tuple[str, ...] = ()
    inventory: tuple[Blocker, ...] = ()
    capture: tuple[Blocker, ...] = ()
    held: tuple[str, ...] = ()
    problem: str = ""


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, … ({len(names)} in all)"


def decommission_verdict(facts: DecommissionFacts) -> Verdict:
    """Return go, or every reason why classic must stay."""
    blocking: list[Blocker] = []

    def say(code: str, text: str, heals_by_itself: bool = False) -> None:
        blocking.append(Blocker(code, "", text, heals_by_itself))

    if facts.write_mode is WriteMode.CLASSIC_ONLY:
        say("capture.off", "capture is not on: nothing was migrated")
    blocking += facts.capture
    if not facts.window_over:
        say("window.not_over", f"the stabilization window is not over: {facts.window}", True)
    if facts.switch is not Level.LIMITLESS:
        say("reads.rolled_back", "all reads were rolled back to classic; promote them first: migrator cutover")
    if facts.not_limitless:
        say("tenants.not_on_limitless", f"tenants that do not read from Limitless: {_some(facts.not_limitless)}", True)
    if facts.held:
        who = f"{counted(len(facts.held), 'tenant is', 'tenants are')} held on classic: {_some(facts.held)}"
        say("tenants.held", f"{who}; release with: migrator tenant release")
    if facts.unmirrored:
        say("tenants.not_mirrored", f"tenants that are not mirrored: {_some(facts.unmirrored)}", True)
    if facts.divergent:
        say("rows.divergent", f"tenants with divergent rows: {_some(facts.divergent)}")
    if facts.stale:
        who = f"tenants without a clean validation in the last {facts.max_age_s:g} s: {_some(facts.stale)}"
        say("validation.stale", who, True)
    if facts.fallbacks:
        say("reads.fallen_back", f"reads have fallen back to classic: {_some(facts.fallbacks)}", True)
    if facts.worst_lag_s is None:
        say("mirror.no_position", "a mirror partition has published no position", True)
    elif facts.worst_lag_s > facts.max_lag_s:
        text = f"the mirror lags {facts.worst_lag_s:.1f} s (limit {facts.max_lag_s:g} s)"
        say("mirror.lags", f"{text}: {facts.problem}" if facts.problem else text, True)
    if facts.unconfirmed:
        who = f"processes that have not applied the present routes: {_some(facts.unconfirmed)}"
        say("processes.unconfirmed", who, True)
    if facts.prepared:
        which = f"prepared transactions on classic: {_some(facts.prepared)}"
        say("transactions.prepared", f"{which}; commit or roll them back")
    return Verdict((*blocking, *facts.inventory))
