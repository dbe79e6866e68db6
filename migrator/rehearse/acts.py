"""The acts of a rehearsal: what happens to the migration while it runs. One function per act.

Every act does what a person or an accident would do, from outside: commands, signals, killed servers. Then it
waits for facts in the control schema and for the traffic's own ledger, never for time to pass.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

import psycopg

from migrator.decommission.run import BEING_WRITTEN
from migrator.rehearse import hostile, proof, release, roles
from migrator.rehearse.children import CommandFailed
from migrator.rehearse.facts import Facts
from migrator.rehearse.ledger_tail import Traffic
from migrator.rehearse.observer import NeverHappened, Sample
from migrator.rehearse.stage import APPROVER, TIMEOUT_S, Stage, poll
from migrator.report import words
from migrator.retry import retry

SEEN_MB_PER_S = 1
"""The rate of the backfill until it was seen under way: a small database would be copied between two looks at it."""

OUTAGE_S = 4.0
"""How long Limitless stays down, in seconds of the traffic's write rate: longer than any wait of the shim."""


def set_hostile_settings(stage: Stage) -> None:
    """Databases and the tool's roles get settings that the tool must not depend on."""
    with stage.event("hostile_settings", "Databases and the tool's roles get hostile settings") as event:
        there = hostile.set_on_classic(stage.machines.classic)
        here = hostile.set_on_limitless(stage.machines.limitless)
        event.detail = (
            f"{there} on classic, {here} on Limitless: no synchronous commit, timeouts of 50 to 500 ms, "
            "other ways to write dates and floats"
        )


def through_audit_and_provision(stage: Stage) -> None:
    """Phases 1 and 2. The gate waits until a person gives the roles, made without LOGIN, their login on Limitless."""
    with stage.step("Phase 1: audit"):
        reach(stage, "provision", TIMEOUT_S)
    with stage.step("Phase 2: provision Limitless"):
        why = ("--reason", "rehearsal: until a worker was killed")
        stage.operator.run("backfill", "throttle", "--mb-per-s", str(SEEN_MB_PER_S), *why)
        _let_roles_in(stage)
        reach(stage, "dual_write", TIMEOUT_S)


def _let_roles_in(stage: Stage) -> None:
    """Wait until only logins are missing, then grant them, as only people may."""

    def asked_for(sample: Sample) -> bool:
        """Or it has passed: on servers that stay, the last rehearsal granted the logins."""
        blockers = sample.facts.phase("provision").blockers
        return (bool(blockers) and all("LOGIN" in b for b in blockers)) or "dual_write" in sample.facts.phases

    with stage.event("roles_let_in", "The application's roles get their logins on Limitless") as event:
        asked = stage.wait("provisioning asks for nothing but logins", asked_for, TIMEOUT_S)
        with psycopg.connect(stage.machines.limitless, autocommit=True) as conn:
            for role in roles.ALL:
                roles.allow_login(conn, role)
        stage.operator.run("resume", "--reason", "rehearsal: the roles may log in")
        held = len(asked.facts.phase("provision").blockers)
        event.detail = f"{held} roles blocked the gate of provisioning until then"


def reach(stage: Stage, phase: str, timeout_s: float) -> Sample:
    """Wait until *phase* has begun, giving every approval that is asked for on the way."""

    def begun(sample: Sample) -> bool:
        approve_waiting(stage, sample)
        return phase in sample.facts.phases

    return stage.wait(f"phase {phase} begins", begun, timeout_s)


def approve_waiting(stage: Stage, sample: Sample) -> None:
    """Approve the gate that waits, as the plan's team would; decommission has its own act."""
    current = sample.facts.current
    if current is None:
        return
    words_ = current[1].next_step.split()
    if current[1].state == "waiting" and words_[:2] == ["migrator", "approve"] and words_[2] != "decommission":
        stage.operator.run("approve", words_[2], "--as", APPROVER)


def kill_a_worker_in_the_backfill(stage: Stage) -> None:
    """Phase 3: a worker is killed while it copies a unit, and classic crashes when everything is mirrored."""
    with stage.step("Phase 3: dual write, backfill of all tenants") as detail:
        sample = stage.wait("the backfill is under way", lambda s: bool(s.facts.units.get("copying")), TIMEOUT_S)
        pids = {f":{pid}/": name for name, pid in stage.children.pids().items() if "bulk" in name}
        owners = [name for pid, name in pids.items() if any(pid in worker for worker in sample.facts.copying)]
        victim = (owners or sorted(pids.values()))[0]
        with stage.event("worker_killed", "A worker is killed in the middle of the backfill") as event:
            stage.kill_worker(victim)
            # What a supervisor does; the other worker goes on meanwhile.
            stage.start_worker(f"{victim}-again")
            stage.operator.run("backfill", "throttle", "--unlimited", "--reason", "rehearsal: a worker was killed")
            after = stage.wait(
                "the killed worker's copy unit is taken over",
                lambda s: s.facts.attempts >= 2 or _copied(s) == s.facts.all_units,
                TIMEOUT_S,
            )
            taken = "its unit was" if after.facts.attempts >= 2 else "between two units; the rest was"
            event.detail = (
                f"{victim} got SIGKILL with {_copied(sample)} of {sample.facts.all_units} copy units done; "
                f"{taken} copied by another worker"
            )
        done = stage.wait("every tenant is mirrored", _all_mirrored, TIMEOUT_S)
        facts = done.facts
        if facts.copied_s > 0:
            stage.record.timings["backfill_s"] = facts.copied_s
            stage.record.timings["backfill_rows_per_s"] = facts.copied_rows / facts.copied_s
            detail.append(f"{words.count(facts.copied_rows)} rows in {words.seconds(facts.copied_s)}")
        freeze_the_replica(stage)
        crash_classic(stage)


def _copied(sample: Sample) -> int:
    return sample.facts.units.get("copied", 0) + sample.facts.units.get("joined", 0)


def _all_mirrored(sample: Sample) -> bool:
    facts = sample.facts
    return (
        facts.all_units > 0 and facts.units.get("joined", 0) == facts.all_units and set(facts.tenants) == {"mirrored"}
    )


def cut_over_through_accidents(stage: Stage) -> None:
    """Phase 4, with an outage of Limitless and a rollback in the middle."""
    with stage.step("Phase 4: cutover, wave by wave, small tenants first") as detail:
        reach(stage, "cutover", TIMEOUT_S)
        release.deploy_in_the_middle(stage)
        crash_limitless(stage)
        roll_back_while_temporal_is_down(stage)
        reach(stage, "stabilize", 3 * TIMEOUT_S)  # wave after wave
        detail.append(f"{stage.observer.latest.facts.reading} tenants read from Limitless")


def freeze_the_replica(stage: Stage) -> None:
    """Classic's read replica hangs under load, is out of service for everybody, and comes back."""
    if not stage.machines.replica:
        return
    rate = round(stage.settings.writes_per_s)
    stage.wait("the replica serves", lambda s: s.facts.replica == "serving", TIMEOUT_S)
    with stage.event("replica_frozen", "A read replica of classic hangs (SIGSTOP)") as event:
        stage.machines.freeze_replica()
        stage.wait("it is out of service", lambda s: s.facts.replica == "out", TIMEOUT_S)
        out_s = time.monotonic() - event.at
        went_on = stage.wait_traffic("writes and reads go on", rate, rate, TIMEOUT_S)
        stage.machines.thaw_replica()
        back = time.monotonic()
        stage.wait("it serves again", lambda s: s.facts.replica == "serving", TIMEOUT_S)
        stage.record.timings["replica_out_s"] = out_s
        event.detail = (
            f"out of service for every process after {words.seconds(out_s)}; {went_on.acknowledged} writes and "
            f"{went_on.reads} reads went on; it served again {words.seconds(time.monotonic() - back)} after it answered"
        )


def crash_classic(stage: Stage) -> None:
    """Classic crashes under load, with commits that do not wait for the disk by the database's settings."""
    rate = stage.settings.writes_per_s
    with stage.event("classic_killed", f"Classic {stage.machines.crashes}, with synchronous_commit = off") as event:
        stage.machines.kill_classic()
        stage.machines.start_classic()
        down_s = time.monotonic() - event.at
        stage.wait("the control schema answers", lambda s: s.facts.installed, TIMEOUT_S)
        went_on = stage.wait_traffic("writes and reads go on", round(rate * 2), round(rate * 2), TIMEOUT_S)
        stage.wait(
            "every mirror follows again",
            lambda s: not s.facts.fallbacks and s.facts.lag_s is not None and s.facts.lag_s < 1,
            TIMEOUT_S,
        )
        processes = stage.settings.processes
        stage.wait("every process reads its routes again", lambda s: s.facts.processes >= processes, TIMEOUT_S)
        stage.record.timings["classic_back_s"] = down_s
        event.detail = (
            f"it was back after {words.seconds(down_s)}; {went_on.acknowledged} writes and {went_on.reads} reads "
            f"afterwards, and the mirrors went on where they were after {words.seconds(time.monotonic() - event.at)}"
        )


def crash_limitless(stage: Stage) -> None:
    """Limitless crashes while tenants read from it, is down for some seconds, and returns."""
    tenants = stage.settings.tenants
    before = stage.wait("35 % of the tenants read Limitless", lambda s: s.facts.reading >= tenants * 0.35, TIMEOUT_S)
    with stage.event("limitless_killed", f"Limitless {stage.machines.crashes} while tenants read from it") as event:
        stage.machines.kill_limitless()
        fell = stage.wait("reads fall back to classic", lambda s: bool(s.facts.fallbacks) and s.facts.reading == 0, 30)
        raised = min((f.at for f in fell.facts.fallbacks), default=time.time())
        fallback_s = max(raised - time.time() + time.monotonic() - event.at, 0.0)
        rate = stage.settings.writes_per_s
        went_on = stage.wait_traffic(
            "writes and reads go on without Limitless", round(rate * OUTAGE_S), round(rate * OUTAGE_S), TIMEOUT_S
        )
        down_s = time.monotonic() - event.at
        stage.machines.start_limitless()
        back = time.monotonic()
        stage.wait(
            "the mirror has caught up and the breaker is closed",
            lambda s: not s.facts.fallbacks and s.facts.reading >= before.facts.reading and (s.facts.lag_s or 0) < 1,
            TIMEOUT_S,
        )
        stage.wait("breakers close", lambda s: s.traffic.since(before.traffic).breakers_closed > 0, TIMEOUT_S)
        stage.record.timings |= {
            "outage_s": down_s,
            "fallback_s": fallback_s,
            "catch_up_s": time.monotonic() - back,
        }
        event.detail = (
            f"{before.facts.reading} tenants were reading from it; reads back on classic for all after "
            f"{words.seconds(fallback_s)}; {went_on.acknowledged} writes and {went_on.reads} reads went on; "
            f"caught up {words.seconds(time.monotonic() - back)} after its return"
        )


def roll_back_while_temporal_is_down(stage: Stage) -> None:
    """One command brings all tenants back to classic, with nothing but classic."""
    tenants = stage.settings.tenants
    sample = stage.wait("most tenants read Limitless", lambda s: s.facts.reading >= tenants * 0.7, TIMEOUT_S)
    before = sample.facts.reading
    away = stage.machines.stopped
    with stage.event("rollback", f"Rollback of all tenants while the Temporal server is {away}") as event:
        stage.machines.stop_temporal()
        typed = time.monotonic()
        answer = stage.operator.json("rollback", "--all", "--reason", "rehearsal: errors at 3 a.m.")
        stage.record.timings["rollback_command_s"] = time.monotonic() - typed
        stage.wait("no tenant reads from Limitless", lambda s: s.facts.level == "classic" and s.facts.reading == 0, 10)
        seconds, processes, confirmed = (float(str(answer[k])) for k in ("seconds", "processes", "confirmed"))
        stage.record.timings |= {
            "rollback_s": seconds,
            "rollback_processes": round(processes),
            "rollback_confirmed": round(confirmed),
        }
        if confirmed < processes:
            stage.record.problems.append(f"{confirmed:.0f} of {processes:.0f} processes confirmed the rollback")
        event.detail = (
            f"{before} tenants back on classic in {words.seconds(seconds)}, "
            f"{confirmed:.0f} of {processes:.0f} processes confirmed"
        )
        _only_classic_answers(stage)
    with stage.event("forward", "Temporal returns, and the operator goes forward again") as event:
        stage.machines.start_temporal()
        _cut_over_again(stage)
        stage.wait("tenants read from Limitless again", lambda s: s.facts.reading >= before, TIMEOUT_S)
        stage.record.timings["forward_s"] = time.monotonic() - event.at
        event.detail = f"{before} tenants or more on Limitless again"


def _only_classic_answers(stage: Stage) -> None:
    """After a confirmed rollback no read may come from Limitless."""
    stage.wait_traffic("reads in flight are over", 1, stage.settings.processes * stage.settings.threads * 3, 30)
    since: Traffic = stage.wait_traffic("reads go on", 20, 50, 30)
    if since.reads_limitless:
        stage.record.problems.append(f"{since.reads_limitless} reads came from Limitless after the rollback")


def _cut_over_again(stage: Stage) -> None:
    """`migrator cutover`, repeated until the workers have reconnected to Temporal."""

    def traffic_goes_on(_: int, __: float) -> None:
        stage.wait_traffic("traffic goes on", 10, 10, 30)

    tried = retry(
        partial(stage.operator.run, "cutover", "--reason", "rehearsal: corrected, forward again", "--yes"),
        (CommandFailed,), TIMEOUT_S, pause_s=0.1, longest_s=2.0, tell=traffic_goes_on,
    )  # fmt: skip
    if tried.error is not None:
        raise tried.error


def lose_a_right_on_limitless(stage: Stage) -> None:
    """A mistake on Limitless alone: the application's role loses a right, and every read there fails for it.

    By its class this error is the caller's own; classic's answer shows that it is not.
    """
    change = "{} USAGE ON SCHEMA app {} " + roles.APPLICATION
    before = stage.wait("tenants read from Limitless", lambda s: s.facts.reading > 0, TIMEOUT_S)
    with (
        stage.event("right_lost", f"{roles.APPLICATION} loses a right on Limitless, and gets it back") as event,
        psycopg.connect(stage.machines.limitless, autocommit=True) as dba,
    ):
        dba.execute(change.format("REVOKE", "FROM").encode())
        fell = stage.wait(
            "reads fall back to classic", lambda s: bool(s.facts.fallbacks) and s.facts.reading == 0, TIMEOUT_S
        )
        # Both sides are compared now; status, which needs classic alone, knows the last comparison of a gate.
        if roles.APPLICATION not in stage.operator.run("provision", "--verify", "--finalize", "--json", codes=(0, 3)):
            stage.record.problems.append("provision --verify does not say which role lost its right on Limitless")
        dba.execute(change.format("GRANT", "TO").encode())
        stage.wait(
            "tenants read from Limitless again",
            lambda s: not s.facts.fallbacks and s.facts.reading >= before.facts.reading,
            TIMEOUT_S,
        )
        stage.record.timings["right_lost_s"] = time.monotonic() - event.at
        failures = stage.observer.latest.traffic.since(before.traffic).failures
        if failures:
            stage.record.problems.append(f"{failures} operations failed for a right missing on Limitless alone")
        event.detail = (
            f"{before.facts.reading} tenants were reading from it; classic answered, the breaker opened "
            f"({fell.facts.fallbacks[0].by}), and {failures} reads failed"
        )


def report_an_incident(stage: Stage) -> None:
    """Phase 5: an incident is reported, then a right is lost on Limitless; each time the 90 days start again."""
    began = time.monotonic()
    before = stage.wait(
        "the 90 days have begun", lambda s: s.facts.phase("stabilize").detail.startswith("day "), TIMEOUT_S
    ).facts
    with stage.event("incident", "An incident within the 90 days restarts them") as event:
        stage.operator.run("incident", "report", "--reason", "rehearsal: p99 over the objective for ten minutes")
        stage.wait("the incident is on record", lambda s: s.facts.incidents > before.incidents, 30)
        # On a slow machine the days may be over before the command is: then the incident voids an approval.
        stage.wait(
            "the 90 days start again",
            lambda s: restarts(s.facts) > restarts(before) or _waits_for_decommission(s),
            TIMEOUT_S,
        )
        event.detail = stage.observer.latest.facts.phase("stabilize").detail
    lose_a_right_on_limitless(stage)
    with stage.step("Phase 5: 90 days on a fast clock, started again") as detail:
        stage.wait("decommission waits for an approval", _waits_for_decommission, TIMEOUT_S)
        detail.append(f"{words.seconds(time.monotonic() - began)}")


def restarts(facts: Facts) -> int:
    """Return how often the stabilization window has begun again, as its phase says."""
    match = re.search(r"restarted (\d+) time", facts.phase("stabilize").detail)
    return int(match.group(1)) if match else 0


def _waits_for_decommission(sample: Sample) -> bool:
    phase = sample.facts.phase("stabilize")
    return phase.state == "waiting" and "approve decommission" in phase.next_step


def compare_both_sides(stage: Stage) -> None:
    """The independent comparison, while the traffic is paused."""
    with stage.event("compared", "Both sides compared row by row, traffic paused") as event:
        with stage.traffic_paused():
            answers = proof.covered_by_mirror(stage.machines.classic)
            poll("the mirror covers every write", lambda: next(answers), 30)
            comparison = proof.compare(stage.machines.classic, stage.machines.limitless, released=True)
        stage.record.comparison = comparison
        event.detail = f"{words.count(sum(comparison.rows.values()))} rows, {comparison.divergent_rows} divergent"


def approve_and_hand_over(stage: Stage) -> None:
    """The point of no return, approved by name; then classic is stopped."""
    with stage.event("handed_over", f"Decommission, approved by {APPROVER}") as event:
        stage.operator.run("approve", "decommission", "--as", APPROVER)
        stage.wait("the application writes to Limitless", _approved_and_handed_over(stage), TIMEOUT_S)
        stage.wait_traffic("writes go on after the hand-over", 5, 5, TIMEOUT_S)
        event.detail = "writes closed, mirrors drained, validated, sequences moved, writes open on Limitless"
    with stage.event("classic_stopped", f"Classic is {stage.machines.stopped}; traffic goes on") as event:
        _wait_until_released(stage)
        stage.machines.stop_classic()
        stage.record.quiet_since = time.monotonic()
        rate = stage.settings.writes_per_s
        went_on = stage.wait_traffic(
            "traffic goes on with classic stopped", round(rate * 4), round(rate * 4), TIMEOUT_S
        )
        event.detail = f"{went_on.acknowledged} writes, {went_on.reads} reads and {went_on.failures} errors since then"


def _approved_and_handed_over(stage: Stage) -> Callable[[Sample], bool]:
    """Return what to wait for, approving again where an incident in the meantime has voided the approval."""
    asked = [time.monotonic()]

    def over(sample: Sample) -> bool:
        if _waits_for_decommission(sample) and time.monotonic() > asked[0] + 5:
            stage.operator.run("approve", "decommission", "--as", APPROVER, codes=(0, 3))  # 3: no longer asked for
            asked[0] = time.monotonic()
        return _handed_over(sample)

    return over


def _handed_over(sample: Sample) -> bool:
    """Also when classic does not answer: only a finished hand-over stops it."""
    return sample.facts.write_mode == "limitless_only" or not sample.facts.reachable


def _wait_until_released(stage: Stage) -> None:
    """The migration ends with classic retired: it no longer answers, or its last phase says that the dossier lies
    there, without which classic is not stopped."""

    def over(sample: Sample) -> bool:
        phase = sample.facts.phase("decommission")
        written = "the dossier is " in phase.detail and BEING_WRITTEN not in phase.detail
        return not sample.facts.reachable or (phase.state == "done" and written)

    try:
        stage.wait("the migration ends", over, TIMEOUT_S)
    except NeverHappened as late:
        stage.record.problems.append(str(late))
