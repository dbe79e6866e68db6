"""Turns facts into the blockers and next steps that `status` shows. Pure.

Every line is a fact in the operator's words, with the command that clears it. The most urgent one comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.blocker import Blocker
from migrator.model.capture import ADVICE
from migrator.model.counted import counted
from migrator.model.shadow_read import READS_HINT
from migrator.model.shell import word
from migrator.model.standing import RIGHTS_HINT

SHOWN_FALLBACKS = 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What the advice depends on.

    Attributes:
        capture: reasons why the journal cannot be trusted.
        quarantined: tenant and reason.
        parts: mirror partition, lag in seconds, problem ('' when none).
        fallbacks: scope, key, reason, and whether it is a manual one.
        inventory: what the migrated schemas hold beside what is captured and on Limitless, and what to do about it.
        rights: in what Limitless does not let roles do what classic lets them.
        stopped: workflows beside the phases that have ended, one line each.
        workers: living workers that run something else than classic holds, one line each.
        reads_differ: statements whose shadow reads differ, and that the plan does not accept.
        silent_processes: processes without a heartbeat within their staleness limit; they read classic by themselves.
    """

    phase: str
    phase_state: str
    phase_blockers: tuple[str, ...] = ()
    phase_next: str = ""
    write_mode: str = "classic_only"
    switch: str = "limitless"
    switch_by: str = ""
    switch_reason: str = ""
    capture: tuple[Blocker, ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()
    quarantined_count: int = 0
    parts: tuple[tuple[int, float, str], ...] = ()
    journal_mb: float = 0
    failed_units: int = 0
    backfill_paused: str = ""
    divergent_tenants: int = 0
    fallbacks: tuple[tuple[str, str, str, bool], ...] = ()
    fallback_count: int = 0
    inventory: tuple[tuple[Blocker, str], ...] = ()
    silent_processes: int = 0
    rights: tuple[str, ...] = ()
    stopped: tuple[Blocker, ...] = ()
    workers: tuple[Blocker, ...] = ()
    reads_differ: tuple[Blocker, ...] = ()


def advise(facts: Facts, *, journal_limit_mb: float, max_lag_s: float) -> tuple[tuple[Blocker, ...], tuple[str, ...]]:
    """Return blockers and next steps."""
    blockers: list[Blocker] = []
    steps: list[str] = []

    def say(blocker: Blocker, step: str = "") -> None:
        blockers.append(blocker)
        if step and step not in steps:
            steps.append(step)

    if facts.write_mode == "closed":
        say(
            Blocker("writes.closed", "", "writes are closed", True),
            "Wait: they open again by themselves within the plan's max_pause_s.",
        )
    for line in facts.capture:
        say(line, ADVICE)
    if facts.switch != "limitless" and facts.write_mode != "limitless_only":
        text = f"all reads come from classic: rolled back by {facts.switch_by} ({facts.switch_reason})"
        say(Blocker("reads.rolled_back", "", text), "Correct the cause, then promote again: migrator cutover")
    for scope, key, reason, held in facts.fallbacks[:SHOWN_FALLBACKS]:
        covered = {"all": "every tenant", "part": f"partition {key}"}.get(scope, f"tenant {key}")
        say(
            Blocker("reads.fallen_back", key, f"{covered} reads classic for now: {reason}", not held),
            f"It is manual; clear it with: migrator breaker reset --{scope}" + (f" {word(key)}" if key else "")
            if held
            else "It clears by itself; if it stays: migrator breaker show",
        )
    if facts.fallback_count > SHOWN_FALLBACKS:
        text = f"and {counted(facts.fallback_count - SHOWN_FALLBACKS, 'more fallback')}"
        say(Blocker("reads.fallen_back", "", text, True), "See all: migrator breaker show")
    for found, advice in facts.inventory:
        say(found, advice)
    if facts.divergent_tenants:
        text = f"rows of {_tenants(facts.divergent_tenants)} differ between the two sides"
        say(
            Blocker("rows.divergent", "", text),
            "See them, then repair them: migrator validate --full, migrator validate --repair",
        )
    for reads in facts.reads_differ:
        say(reads, READS_HINT)
    for tenant, reason in facts.quarantined[:5]:
        say(
            Blocker("tenant.quarantined", tenant, f"tenant {tenant} is quarantined: {reason}"),
            "Correct the row on classic, then copy the tenant again: migrator mirror retry TENANT",
        )
    for right in facts.rights[:5]:
        say(
            Blocker("rights.differ", "", right),
            RIGHTS_HINT,
        )
    if len(facts.rights) > 5:
        say(Blocker("rights.differ", "", f"and {counted(len(facts.rights) - 5, 'more difference')} of rights"))
    if facts.quarantined_count > 5:
        text = f"and {counted(facts.quarantined_count - 5, 'more tenant is', 'more tenants are')} quarantined"
        say(Blocker("tenant.quarantined", "", text))
    for worker in facts.workers:
        say(worker, "Stop the workers named above, and start them again: migrator worker --plan PLAN.toml")
    # after an abort what runs beside the phases, the mirror too, is stopped on purpose, and behind the hand-over it
    # has ended
    if facts.write_mode in ("dual", "closed") and facts.phase_state != "failed":
        for ended in facts.stopped:
            say(ended, "Correct the cause, then start it again: migrator resume")
        for part, lag_s, problem in facts.parts:
            if problem:
                text = f"mirror partition {part} has a problem: {problem}"
                say(Blocker("mirror.problem", str(part), text), "See: migrator mirror status")
            elif lag_s > max_lag_s:
                text = f"mirror partition {part} is {lag_s:.1f} s behind (limit {max_lag_s:g} s)"
                say(
                    Blocker("mirror.lags", str(part), text, True),
                    "Is a worker running? Start one with: migrator worker",
                )
    if facts.journal_mb > journal_limit_mb:
        text = f"the journal has {facts.journal_mb:.0f} MB (limit {journal_limit_mb:.0f} MB)"
        say(Blocker("journal.too_large", "", text, True), "See why: migrator mirror status")
    if facts.failed_units:
        text = f"{counted(facts.failed_units, 'copy unit')} failed"
        say(Blocker("copy.failed", "", text), "See why: migrator backfill status")
    if facts.backfill_paused and facts.phase == "dual_write":
        text = f"the backfill is paused: {facts.backfill_paused}"
        say(Blocker("copy.paused", "", text), "Resume it with: migrator backfill throttle --resume")
    blockers += [Blocker("phase.blocked", facts.phase, b) for b in facts.phase_blockers if b not in blockers]
    if facts.phase_next and facts.phase_next not in steps:
        steps.append(facts.phase_next)
    if not steps:
        steps.append(_usual_step(facts))
    return tuple(blockers), tuple(steps)


def _usual_step(facts: Facts) -> str:
    if facts.write_mode == "limitless_only":
        return "Nothing: the migration is finished and classic is retired."
    match facts.phase_state:
        case "pending":
            return "Start it with: migrator run"
        case "waiting":
            return f"Approve the gate: migrator approve {facts.phase} --as NAME"
        case "failed":
            return "Correct the cause, then start again: migrator run"
        case "undone":
            return "Undone. Start again with: migrator run"
    return "Nothing: it goes on by itself."


def _tenants(count: int) -> str:
    return counted(count, "tenant")
