"""Classic, Limitless, a mirror, operators and processes as a few integers, driven by dice.

The decisions are the shim's own (`applied`, `lapsed`, `confirmed_by_all`, `choose`, `seen_by_all`); what they are
fed is simulated, so that every step may be interrupted by any other, and any process may stand still for as long as it
likes.
Every run has its own mix of events, so that rare sequences are common in some run. Each `Flaw` leaves out one
precaution of the protocol, to show that the simulation would notice.

One write is one transaction of tenant t, numbered 1, 2, 3, …; a side holds all writes up to some number. With *levels*
some writes wait for nothing: those of level `none`, which no read is promised to see, and those of sessions, which
travel from process to process and see what they wrote.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from migrator.model.effective import Fallback
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope, Level, Route, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.acknowledge import seen_by_all
from migrator.shim.routing import choose
from migrator.shim.token import SessionToken, Token
from migrator.shim.view import Poll, View, applied, confirmed_by_all, lapsed

T = TenantId("t")
STALENESS = 4
TOUCHED = 0b10  # partition 1


class Flaw(Enum):
    NONE = auto()
    POLL_BEFORE_HEARTBEAT = auto()  # and so a late heartbeat makes an old poll valid
    LOOK_VOUCHES = auto()  # what was read without a heartbeat is valid from when it was read
    NO_JOINING = auto()  # reads go up in one step
    SNAPSHOT_BEFORE_CONFIRMATION = auto()
    NO_CATCHING_UP = auto()  # up as soon as all processes wait
    DECIDED_BEFORE_COMMIT = auto()
    DOWN_AT_ONCE = auto()  # a write stops waiting as soon as its own process knows
    NO_LAPSE = auto()  # a process that slept trusts what it remembers of the others
    STALE_WRITES = auto()  # a write does not care how old its routes are
    LATE_ANSWERS = auto()  # a read does not look at the routes again when it ends
    ANY_EPOCH = auto()  # the last step up is no compare-and-set
    EPOCHS_ALONE = auto()  # epochs of a restored classic are taken for those of the history before
    NO_TOKEN = auto()  # a session's reads are not given its token
    ANY_TOKEN = auto()  # a token is believed whatever history it is of
    NO_WAITING = auto()  # a write for everybody waits no more than a session's does


UNMARKED = {Flaw.EPOCHS_ALONE, Flaw.STALE_WRITES, Flaw.SNAPSHOT_BEFORE_CONFIRMATION}
"""Runs in which a write does not ask for the routes of the moment it committed at: that alone makes up for the lack of
the last two, so that they would not show."""


class Missed(AssertionError):
    """A read did not see a write that had been acknowledged before."""


@dataclass
class Cap:
    """Something that bounds the level: the route, the switch, a fallback."""

    level: Level
    version: int = 0


@dataclass
class Riser:
    """An operator (or the monitor) on the way up with one cap."""

    cap: str
    version: int
    joining: int  # the epoch to confirm
    snapshot: int | None = None


@dataclass
class Session:
    """A caller's own writes, the last of which is *floor*; no process owns it."""

    token: SessionToken = field(default_factory=SessionToken)
    floor: int = 0


@dataclass
class Reading:
    view_lease: int
    side: Side
    own: int = 0  # written by its session when it began
    lowered: bool = False
    held: int | None = None  # writes up to here were there when it looked
    floor: int = 0  # acknowledged when it looked


@dataclass
class Process:
    view: View = field(default_factory=View)
    seen_at: int | None = None  # as on classic
    applied: int = 0
    vouched: int | None = None  # when the last heartbeat was sent that is on classic
    # a refresh under way: when it began, and what it has polled
    began: int | None = None
    beat: bool = False
    polled: Poll | None = None
    reading: Reading | None = None
    writing: Token | None = None  # committed, not acknowledged
    begun: bool = False  # its body ran, COMMIT was not sent
    decided: bool = False  # with DECIDED_BEFORE_COMMIT: need not wait
    frozen: bool = False


class Simulation:
    """One run. `step` does one thing; raises Missed when the promise is broken.

    With *restores* classic is put back to a backup now and then, which undoes what else a run has come to. With
    *levels* not every write is one for everybody.
    """

    def __init__(
        self, seed: int, flaw: Flaw = Flaw.NONE, processes: int = 2, restores: bool = False, levels: bool = False
    ) -> None:
        self.dice = random.Random(seed)
        self.flaw = flaw
        self.now = 100
        self.epoch = 0
        self.route_epoch = 0
        self.caps = {"route": Cap(Level.CLASSIC), "switch": Cap(Level.LIMITLESS), "fallback": Cap(Level.LIMITLESS)}
        self.marks = {0: "0"}
        self.made = 0  # marks
        self.backup: dict[str, Any] | None = None
        self.forked = False  # the mirror has seen that classic is another one
        self.committed = 0
        self.mirrored = 0
        self.published = 0
        self.acknowledged = 0
        self.processes = [Process() for _ in range(processes)]
        self.sessions = [Session(), Session()]
        self.own_reads = {Side.CLASSIC: 0, Side.LIMITLESS: 0}
        self.risers: list[Riser] = []
        self.reads = {Side.CLASSIC: 0, Side.LIMITLESS: 0}
        base = (24, 3, 8, 12, 0.5, 0.3, 3, 8, 3, 4, 1.5, 0.3, 0.3, *((4, 12) if levels else ()))
        self.weights = [w * 4 ** self.dice.uniform(-1, 1) for w in base]
        if not restores:
            self.weights[11:13] = 0, 0
        if self.dice.random() < 0.5:
            self.put("route", Level.LIMITLESS)
        for _ in range(2):  # opened
            for process in self.processes:
                self.refresh(process)
                while process.began is not None:
                    self.refresh(process)
                process.seen_at, process.applied = self.now, process.view.epoch

    # -- classic's control tables

    def poll(self, process: Process) -> Poll:
        routes: tuple[tuple[Route, bool], ...] = ()
        view = process.view
        same = self.marks.get(view.epoch) == view.mark or self.flaw is Flaw.EPOCHS_ALONE
        known = view.epoch if same and view.epoch <= self.epoch else -1
        if self.route_epoch > known:
            routes = ((Route(T, 1, self.caps["route"].level, 100, self.route_epoch), False),)
        fallback = self.caps["fallback"].level
        fallbacks = () if fallback is Level.LIMITLESS else (Fallback(FallbackScope.PART, "1", fallback, self.epoch),)
        at = Snapshot(self.published + 1, self.published + 1)
        everything = Snapshot(10**9, 10**9)
        return Poll(
            self.epoch,
            self.caps["switch"].level,
            WriteMode.DUAL,
            routes,
            fallbacks,
            {0: (everything, 0.0), 1: (at, 0.0)},
            {epoch: mark for epoch, mark in self.marks.items() if epoch > known},
            known,
        )

    def next_epoch(self) -> int:
        self.epoch += 1
        self.made += 1
        self.marks[self.epoch] = str(self.made)
        return self.epoch

    def put(self, cap: str, level: Level) -> int:
        if self.caps[cap].level is level:
            return self.caps[cap].version
        self.next_epoch()
        self.caps[cap] = Cap(level, self.epoch)
        if cap == "route":
            self.route_epoch = self.epoch
        return self.epoch

    def live(self, process: Process) -> bool:
        return process.seen_at is not None and self.now <= process.seen_at + STALENESS

    def confirmed(self, epoch: int) -> bool:
        return all(p.applied >= epoch for p in self.processes if self.live(p))

    # -- operators

    def down(self) -> None:
        cap = self.dice.choice(list(self.caps))
        self.put(cap, Level.CLASSIC)

    def up(self) -> None:
        cap = self.dice.choice(list(self.caps))
        if self.caps[cap].level is Level.LIMITLESS or len(self.risers) > 4:
            return
        if self.flaw is Flaw.NO_JOINING:
            self.put(cap, Level.LIMITLESS)
            return
        epoch = self.put(cap, Level.JOINING)
        riser = Riser(cap, epoch, epoch)
        if self.flaw is Flaw.SNAPSHOT_BEFORE_CONFIRMATION:
            riser.snapshot = self.committed
        self.risers.append(riser)

    def rise(self) -> None:
        if not self.risers:
            return
        riser = self.dice.choice(self.risers)
        if riser.snapshot is None or self.flaw is Flaw.SNAPSHOT_BEFORE_CONFIRMATION:
            if not self.confirmed(riser.joining):
                if self.dice.random() < 0.05:
                    self.risers.remove(riser)  # gave up; reads stay on classic
                return
            if riser.snapshot is None:
                riser.snapshot = self.committed
                return
        if self.published < riser.snapshot and self.flaw is not Flaw.NO_CATCHING_UP:
            return
        self.risers.remove(riser)
        cap = self.caps[riser.cap]
        same = cap.version == riser.version or self.flaw is Flaw.ANY_EPOCH
        if same and cap.level is Level.JOINING:
            self.put(riser.cap, Level.LIMITLESS)

    # -- the mirror

    def mirror(self) -> None:
        if not self.forked:
            self.mirrored = self.committed
        elif all(self.caps[cap].level is Level.CLASSIC for cap in self.caps) and self.confirmed(self.epoch):
            # Everybody is on classic, confirmed: all is copied again, and a new history begins.
            self.forked = False
            self.next_epoch()
            self.marks = {self.epoch: self.marks[self.epoch]}
            self.mirrored = self.published = self.committed

    def publish(self) -> None:
        if not self.forked:
            self.published = self.mirrored

    # -- classic is restored: what was committed since the backup is gone, and its numbers come again

    def back_up(self) -> None:
        self.backup = {
            "epoch": self.epoch, "route_epoch": self.route_epoch, "marks": dict(self.marks),
            "caps": {name: replace(cap) for name, cap in self.caps.items()},
            "committed": self.committed, "published": self.published,
            "processes": [(p.seen_at, p.applied) for p in self.processes],
        }  # fmt: skip

    def restore(self) -> None:
        if self.backup is None:
            return
        backup, self.backup = self.backup, None
        registered = backup.pop("processes")
        for name, value in backup.items():
            setattr(self, name, value)
        for process, (seen_at, epoch) in zip(self.processes, registered, strict=True):
            process.seen_at, process.applied = seen_at, epoch
            process.begun = False
            process.vouched = None  # a new connection
            if process.reading is not None and process.reading.side is Side.CLASSIC:
                process.reading = None
        # What only the lost history had is worth nothing, and was lost by the restore, not by us.
        self.acknowledged = min(self.acknowledged, self.committed)
        for process in self.processes:
            if process.reading is not None:
                process.reading.floor = min(process.reading.floor, self.committed)
                process.reading.own = min(process.reading.own, self.committed)
        for session in self.sessions:
            session.floor = min(session.floor, self.committed)
        self.mirrored = min(self.mirrored, self.committed)
        self.forked = True
        self.risers.clear()
        for cap in self.caps:  # the way that is documented: everybody back to classic, then all is copied again
            self.put(cap, Level.CLASSIC)

    def tick(self) -> None:
        self.now += 1

    # -- processes

    def refresh(self, p: Process) -> None:
        """One step of a refresh: heartbeat, poll, install; in that order. A recent heartbeat may do for several."""
        first_poll = self.flaw is Flaw.POLL_BEFORE_HEARTBEAT
        if p.began is None:
            p.began = self.now
            p.beat = not first_poll and p.vouched is not None and p.view.valid(self.now) and self.dice.random() < 0.5
        elif first_poll and p.polled is None:
            p.polled = self.poll(p)
        elif not p.beat:
            self.beat(p)
            p.vouched, p.beat = p.began, True
        elif p.polled is None:
            p.polled = self.poll(p)
        else:
            view = applied(p.view, p.polled, 1.0)
            if not p.view.valid(self.now) and self.flaw is not Flaw.NO_LAPSE:
                view = lapsed(view)
            vouched = p.began if p.vouched is None or self.flaw is Flaw.LOOK_VOUCHES else p.vouched
            p.view = replace(view, valid_until_s=vouched + STALENESS)
            if p.reading is not None and p.view.level(T) is not Level.LIMITLESS:
                p.reading.lowered = True
            p.began, p.beat, p.polled = None, False, None
            if self.dice.random() < 0.8:  # the second heartbeat, unless something comes in between
                self.beat(p)
                p.vouched = self.now

    def beat(self, p: Process) -> None:
        known = self.marks.get(p.view.epoch) == p.view.mark or self.flaw is Flaw.EPOCHS_ALONE
        p.seen_at, p.applied = self.now, max(p.view.epoch, 0) if known else 0

    def settle(self, p: Process) -> None:
        live = [q.applied for q in self.processes if self.live(q)]
        if live and (self.marks.get(p.view.epoch) == p.view.mark or self.flaw is Flaw.EPOCHS_ALONE):
            p.view = confirmed_by_all(p.view, min(live))

    def write(self, p: Process) -> None:
        if p.writing is None and not p.begun:
            p.begun = p.view.epoch >= 0  # else it is not opened yet
            p.decided = self.may_return(p, self.token(self.committed + 1))
        elif p.writing is None:
            p.begun = False
            self.committed += 1
            p.writing = self.token(self.committed)
        elif self.marks.get(p.writing.epoch) != p.writing.mark and self.flaw is not Flaw.EPOCHS_ALONE:
            p.writing = None  # of a history that is gone: never acknowledged
        elif (self.flaw is Flaw.DECIDED_BEFORE_COMMIT and p.decided) or self.may_return(p, p.writing):
            self.acknowledged = max(self.acknowledged, min(p.writing.xid, self.committed))
            p.writing = None

    def token(self, xid: int) -> Token:
        return Token(xid, TOUCHED, self.epoch, self.marks[self.epoch])

    def may_return(self, p: Process, token: Token) -> bool:
        view = p.view
        unmarked = self.flaw in UNMARKED
        if unmarked or (view.epoch, view.mark) == (self.epoch, self.marks[self.epoch]):  # else all is read again
            at_last = Snapshot(self.published + 1, self.published + 1)
            view = replace(view, positions={**view.positions, 1: at_last})
        if unmarked:
            view = replace(view, marks={token.epoch: token.mark})
        if self.flaw is Flaw.NO_WAITING:
            return True
        if self.flaw is Flaw.DOWN_AT_ONCE:
            view = replace(view, owed=view.waits)
        at = view.valid_until_s - 1 if self.flaw is Flaw.STALE_WRITES else self.now
        return seen_by_all(view, token, at)

    def weak_write(self) -> None:
        """A write that nothing is waited for: of a session, or of level `none`."""
        if not any(p.view.epoch >= 0 and not p.frozen for p in self.processes):
            return
        self.committed += 1
        if self.dice.random() < 0.5:
            session = self.dice.choice(self.sessions)
            session.token = session.token.after(self.token(self.committed), session.token.writes)
            session.floor = self.committed

    def session_read(self) -> None:
        """A session begins a read in some process."""
        p, session = self.dice.choice(self.processes), self.dice.choice(self.sessions)
        if p.reading is None and not p.frozen:
            self.read(p, session)

    def read(self, p: Process, session: Session | None = None) -> None:
        if p.reading is None:
            view = p.view
            if session is not None:
                if self.flaw is Flaw.ANY_TOKEN:
                    view = replace(view, marks={w.epoch: w.mark for w in session.token.writes})
                session.token = session.token.trimmed(view)
                after = None if self.flaw is Flaw.NO_TOKEN else SessionToken.parse(str(session.token))
                choice = choose(view, T, self.now, 0.0, after)
                self.own_reads[choice.side] += 1
            else:
                choice = choose(view, T, self.now, 0.0)
            p.reading = Reading(view.lease, choice.side, session.floor if session is not None else 0)
        elif p.reading.held is None:
            p.reading.held = self.committed if p.reading.side is Side.CLASSIC else self.mirrored
            p.reading.floor = max(self.acknowledged, p.reading.own)
        else:
            reading, p.reading = p.reading, None
            stale = reading.lowered or reading.view_lease != p.view.lease or not p.view.valid(self.now)
            if reading.side is Side.LIMITLESS and stale and self.flaw is not Flaw.LATE_ANSWERS:
                return  # ReadStale
            assert reading.held is not None
            self.reads[reading.side] += 1
            if reading.held < reading.floor:
                raise Missed(f"saw {reading.held} on {reading.side}, {reading.floor} was acknowledged")

    def freeze(self, p: Process) -> None:
        p.frozen = not p.frozen

    def step(self) -> None:
        """Do one random thing."""
        p = self.dice.choice(self.processes)
        own = (self.refresh, self.settle, self.write, self.read, self.freeze)
        common = (
            self.down, self.up, self.rise, self.mirror, self.publish, self.tick, self.back_up, self.restore,
            self.weak_write, self.session_read,
        )  # fmt: skip
        number = self.dice.choices(range(len(self.weights)), self.weights)[0]
        if number < len(own):
            if not p.frozen or number == 4:
                own[number](p)
        else:
            common[number - len(own)]()
