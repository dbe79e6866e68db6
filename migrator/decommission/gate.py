"""May classic be retired?

Pure. Everything that is known before the pause is asked here, all blockers at once; what can only be known while
writes are closed is asked again then.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        problem: what the mirror partition that lags most says about itself.
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
    inventory: tuple[str, ...] = ()
    capture: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    problem: str = ""


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, … ({len(names)} in all)"


def decommission_verdict(facts: DecommissionFacts) -> Verdict:
    """Return go, or every reason why classic must stay."""
    found = []
    if facts.write_mode is WriteMode.CLASSIC_ONLY:
        found.append("capture is not on: nothing was migrated")
    found += facts.capture
    if not facts.window_over:
        found.append(f"the stabilization window is not over: {facts.window}")
    if facts.switch is not Level.LIMITLESS:
        found.append("all reads were rolled back to classic; go forward first: migrator cutover")
    if facts.not_limitless:
        found.append(f"tenants that do not read from Limitless: {_some(facts.not_limitless)}")
    if facts.held:
        found.append(
            f"{len(facts.held)} tenants are held on classic: {_some(facts.held)}; release with: migrator tenant release"
        )
    if facts.unmirrored:
        found.append(f"tenants that are not mirrored: {_some(facts.unmirrored)}")
    if facts.divergent:
        found.append(f"tenants with divergent rows: {_some(facts.divergent)}")
    if facts.stale:
        found.append(f"tenants without a clean validation in the last {facts.max_age_s:g} s: {_some(facts.stale)}")
    if facts.fallbacks:
        found.append(f"reads have fallen back to classic: {_some(facts.fallbacks)}")
    if facts.worst_lag_s is None:
        found.append("a mirror partition has published no position")
    elif facts.worst_lag_s > facts.max_lag_s:
        found.append(
            f"the mirror lags {facts.worst_lag_s:.1f} s (limit {facts.max_lag_s:g} s)"
            + (f": {facts.problem}" if facts.problem else "")
        )
    if facts.unconfirmed:
        found.append(f"processes that have not applied the present routes: {_some(facts.unconfirmed)}")
    if facts.prepared:
        found.append(f"prepared transactions on classic: {_some(facts.prepared)}; commit or roll them back")
    return Verdict((*found, *facts.inventory))
