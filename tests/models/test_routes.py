"""No read misses an acknowledged write, whatever is interrupted, delayed or frozen in between.

Random runs of tests/models/simulation.py with fixed seeds; and each precaution left out once, to prove that the runs
would notice. (Run by hand over 25,000 seeds of 600 steps: nothing missed.)
"""

from __future__ import annotations

import pytest

from migrator.model.route import Level
from migrator.model.side import Side
from tests.models.simulation import STALENESS, Flaw, Missed, Process, Simulation

STEPS = 500

RARE = {Flaw.POLL_BEFORE_HEARTBEAT, Flaw.LOOK_VOUCHES, Flaw.NO_LAPSE, Flaw.EPOCHS_ALONE}
"""Dice hardly ever find these; each has its own story below."""


FOUND_BY = {
    Flaw.ANY_EPOCH: 14165,
    Flaw.STALE_WRITES: 1272,
    Flaw.LATE_ANSWERS: 752,
    Flaw.NO_CATCHING_UP: 431,
}
"""The seed that is tried first, because it was the first to find the flaw."""


OF_LEVELS = {Flaw.NO_TOKEN, Flaw.ANY_TOKEN, Flaw.NO_WAITING}
"""What can only be missed where writes have levels; the others are looked for without."""


def run(seed: int, flaw: Flaw, restores: bool = False, levels: bool = False) -> Simulation:
    simulation = Simulation(seed, flaw, restores=restores, levels=levels)
    for _ in range(STEPS):
        simulation.step()
    return simulation


def test_no_acknowledged_write_is_ever_missed() -> None:
    reads = {Side.CLASSIC: 0, Side.LIMITLESS: 0}
    for seed in range(600):
        for side, count in run(seed, Flaw.NONE, restores=seed % 4 == 0).reads.items():
            reads[side] += count

    assert min(reads.values()) > 500, f"the runs must have read from both sides: {reads}"


def test_no_level_of_acknowledgement_weakens_another() -> None:
    """Sessions see what they wrote, everybody sees what waited for that, whatever else is written without waiting."""
    reads = {Side.CLASSIC: 0, Side.LIMITLESS: 0}
    for seed in range(400):
        for side, count in run(seed, Flaw.NONE, restores=seed % 3 == 0, levels=True).own_reads.items():
            reads[side] += count

    assert min(reads.values()) > 500, f"sessions must have read from both sides: {reads}"


@pytest.mark.parametrize("flaw", [flaw for flaw in Flaw if flaw is not Flaw.NONE and flaw not in RARE])
def test_leaving_out_a_precaution_is_noticed(flaw: Flaw) -> None:
    for seed in (FOUND_BY.get(flaw, 0), *range(5000)):
        try:
            run(seed, flaw, restores=flaw is Flaw.ANY_TOKEN, levels=flaw in OF_LEVELS)
        except Missed:
            return
    raise AssertionError(f"nothing was missed without it: {flaw}")


def on_limitless(flaw: Flaw) -> tuple[Simulation, Process, Process]:
    """Two processes that read from Limitless, and a mirror that stands still from now on."""
    simulation = Simulation(1, flaw)
    simulation.put("route", Level.LIMITLESS)
    one, two = simulation.processes
    for process in (one, two):
        refresh(simulation, process)
        simulation.settle(process)
    return simulation, one, two


def refresh(simulation: Simulation, process: Process) -> None:
    process.vouched = process.began = None  # so that it begins with a heartbeat
    for _ in range(4):
        simulation.refresh(process)
    process.seen_at, process.applied = simulation.now, process.view.epoch


def write(simulation: Simulation, process: Process) -> None:
    """Begin, commit, and try to be acknowledged."""
    for _ in range(3):
        simulation.write(process)


def read(simulation: Simulation, process: Process) -> None:
    for _ in range(3):
        simulation.read(process)


def late_heartbeat(flaw: Flaw) -> None:
    """A process begins to refresh and stands still; meanwhile its lease runs out and everybody goes down without it."""
    simulation, sleeper, other = on_limitless(flaw)
    simulation.now += STALENESS - 1
    simulation.refresh(sleeper)  # begins
    simulation.refresh(sleeper)  # polls, with the flaw; else its heartbeat is on classic
    simulation.put("route", Level.CLASSIC)
    simulation.now += 2
    refresh(simulation, other)
    simulation.settle(other)
    write(simulation, other)
    simulation.refresh(sleeper)
    simulation.refresh(sleeper)
    read(simulation, sleeper)


def look_alone(flaw: Flaw) -> None:
    """A process looks without a heartbeat, finds nothing new and stands still; everybody goes down without it."""
    simulation, sleeper, other = on_limitless(flaw)
    simulation.now += STALENESS - 1
    sleeper.began, sleeper.beat = simulation.now, True  # the last heartbeat is recent enough
    for _ in range(2):
        simulation.refresh(sleeper)
    sleeper.seen_at = simulation.now - STALENESS + 1  # no second heartbeat, as nothing was new
    simulation.now += 2
    simulation.put("route", Level.CLASSIC)
    refresh(simulation, other)
    simulation.settle(other)
    write(simulation, other)
    read(simulation, sleeper)


def long_nap(flaw: Flaw) -> None:
    """A process sleeps while a tenant moves to Limitless and back; when it wakes, another has not heard of the last."""
    simulation, sleeper, other = on_limitless(flaw)
    simulation.put("route", Level.CLASSIC)
    refresh(simulation, sleeper)
    refresh(simulation, other)
    simulation.settle(sleeper)  # it knows that everybody reads classic; now it sleeps
    simulation.now += STALENESS + 1
    simulation.put("route", Level.JOINING)
    refresh(simulation, other)
    assert simulation.confirmed(simulation.epoch), "the sleeper has expired"
    simulation.put("route", Level.LIMITLESS)
    refresh(simulation, other)
    simulation.put("route", Level.CLASSIC)
    refresh(simulation, sleeper)  # awake
    simulation.settle(sleeper)
    write(simulation, sleeper)
    read(simulation, other)


def restored_backup(flaw: Flaw) -> None:
    """A process sleeps while classic is put back to before a tenant moved, and the epochs pass those it knew."""
    simulation = Simulation(1, flaw)
    simulation.put("route", Level.CLASSIC)
    simulation.back_up()
    simulation.put("route", Level.LIMITLESS)
    sleeper, other = simulation.processes
    refresh(simulation, sleeper)
    simulation.restore()
    simulation.now += STALENESS + 1
    refresh(simulation, other)
    simulation.mirror()  # everybody is on classic, confirmed: all is copied again
    assert not simulation.forked
    for level in (Level.LIMITLESS, Level.CLASSIC, Level.LIMITLESS):
        simulation.put("switch", level)
        simulation.put("fallback", level)
    refresh(simulation, other)
    simulation.settle(other)
    write(simulation, other)  # nobody reads Limitless, so it is acknowledged without the mirror
    refresh(simulation, sleeper)
    read(simulation, sleeper)


@pytest.mark.parametrize(
    ("story", "flaw"),
    [
        (late_heartbeat, Flaw.POLL_BEFORE_HEARTBEAT),
        (look_alone, Flaw.LOOK_VOUCHES),
        (long_nap, Flaw.NO_LAPSE),
        (restored_backup, Flaw.EPOCHS_ALONE),
    ],
)
def test_a_precaution_whose_lack_hardly_ever_shows(story: object, flaw: Flaw) -> None:
    story(Flaw.NONE)  # type: ignore[operator]
    with pytest.raises(Missed):
        story(flaw)  # type: ignore[operator]
