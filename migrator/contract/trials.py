"""The trials of what a client promises before the hand-over: routes, faults, tokens. One function for each promise."""

from __future__ import annotations

import threading
from contextlib import suppress

from migrator.contract.client import Client, ClientFailed, said
from migrator.contract.promise import Finding, Promise, broken, kept, not_shown
from migrator.contract.scene import PATIENCE_S, SHIM, WHO, Scene
from migrator.control.scratch import fallbacks
from migrator.errors import MigratorError
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.poll import until
from migrator.traffic.incident.rollback import RollbackResult
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release

ROUNDS = 4
"""Writes and reads of either process in each state of the routes."""


DISCARDED = ("stale", "unavailable")
"""Errors by which a client says that it hands nothing out."""


ELSEWHERE = "the client does not read from Limitless"
"""It breaks nothing by that, and shows nothing either."""


class _Traffic(threading.Thread):
    """Client and reference write in turn, and each write is read by the other at once."""

    def __init__(self, scene: Scene, client: Client) -> None:
        super().__init__(name="traffic", daemon=True)
        self.rounds = 0
        self.refused: list[str] = []
        self.missed: list[str] = []
        self.sides: set[str] = set()
        self.error: Exception | None = None
        self._scene, self._client = scene, client
        self._enough = threading.Event()

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._round(f"{self.rounds}")
                self.rounds += 1
        except Exception as error:  # told by `end`
            self.error = error

    def _round(self, body: str) -> None:
        written = self._client.ask("write", tenant="t1", key=1, body=f"client-{body}")
        if written.get("ok"):
            side, found = self._scene.read("t1", 1)
            self._compare(f"client-{body}", found, f"the client's write, read by the reference on {side}")
        else:
            self.refused.append(said(written))
        self._scene.write("t1", 2, f"reference-{body}")
        read = self._client.ask("read", tenant="t1", key=2)
        if read.get("ok"):
            self.sides.add(str(read.get("side")))
            self._compare(
                f"reference-{body}",
                read.get("body"),
                f"the reference's write, read by the client on {read.get('side')}",
            )
        else:
            self.refused.append(said(read))

    def _compare(self, wanted: str, found: object, what: str) -> None:
        if found != wanted:
            self.missed.append(f"{what}: {wanted!r} was acknowledged, {found!r} was read")

    def some(self) -> None:
        """Wait for some rounds, under the routes of now."""
        wanted = self.rounds + ROUNDS
        until(lambda: self.rounds >= wanted or self.error is not None, PATIENCE_S, 0.02)

    def end(self) -> None:
        self._enough.set()
        self.join()
        if self.error is not None:
            raise self.error


def acknowledged(scene: Scene) -> Finding:
    """Reads move there and back while both processes write and read."""
    promise, client = Promise.ACKNOWLEDGED, scene.client()
    scene.mirror.pause_s = 0.08  # a client that does not wait for it is caught
    traffic = _Traffic(scene, client)
    traffic.start()
    try:
        traffic.some()
        scene.up("t1")
        traffic.some()
        until(lambda: "limitless" in traffic.sides or traffic.error is not None, PATIENCE_S, 0.05)
        epoch = raise_fallback(scene.classic, FallbackScope.PART, "1", by=WHO, reason="test")
        wait_confirmed(scene.classic, epoch, PATIENCE_S)
        traffic.some()
        promote_reads(scene.classic, fallback=(FallbackScope.PART, "1"), who=WHO, reason="test")
        traffic.some()
        scene.back("t1")
        release(scene.classic, [TenantId("t1")], who=WHO, reason="test")
        traffic.some()
        scene.up("t1")
        traffic.some()
    finally:
        traffic.end()
    told = f"{traffic.rounds} rounds of two writes and two reads; {len(traffic.missed)} reads missed a write"
    if traffic.missed:
        return broken(promise, told, *traffic.missed[:3])
    if "limitless" not in traffic.sides:
        return not_shown(promise, told, "the client never read from Limitless")
    if len(traffic.refused) * 4 > traffic.rounds * 2:
        return not_shown(promise, told, f"{len(traffic.refused)} answers were errors, the first: {traffic.refused[0]}")
    return kept(promise, told, f"the client read on {' and '.join(sorted(traffic.sides))}")


def bounded(scene: Scene) -> Finding:
    """The mirror is held: a write falls back, and only what it has to."""
    promise, client = Promise.BOUNDED, scene.client()
    scene.up("t1")
    scene.on_limitless(client, "t1", 1)
    scene.mirror.hold()
    other = client.ask("write", tenant="u1", key=1, body="classic")
    written = client.ask("write", tenant="t1", key=1, body="behind")
    told = f"of a tenant on classic: {said(other)}; of one on Limitless: {said(written)}"
    raised = fallbacks(scene.classic)
    if not written.get("ok"):
        return broken(promise, told, "a write that the mirror did not follow was not acknowledged")
    side, found = scene.read("t1", 1)
    if found != "behind":
        return broken(promise, told, f"it was acknowledged, and the reference read {found!r} on {side}")
    if not other.get("ok") or "part 2" in raised:
        return broken(promise, told, f"a tenant on classic waited for the mirror; fallbacks: {raised}")
    return kept(promise, told, f"fallbacks: {', '.join(raised) or 'none'}; the reference read it on {side}")


class _Rollback(threading.Thread):
    """A rollback of t1, which waits for confirmations in a thread of its own."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(name="rollback", daemon=True)
        self.result: RollbackResult | None = None
        self.error: MigratorError | None = None
        self._scene = scene
        self.start()

    def run(self) -> None:
        try:
            self.result = self._scene.back("t1", timeout_s=10.0)
        except MigratorError as error:
            self.error = error

    @property
    def complete(self) -> bool:
        return self.result is not None and self.result.complete


def _reading(promise: Promise, scene: Scene, client: Client) -> Finding | None:
    """Leave *client* in a read of t1 on Limitless that must not be handed out later; return what is wrong."""
    scene.write("t1", 1, "before")
    scene.up("t1")
    if not scene.on_limitless(client, "t1", 1):
        return not_shown(promise, ELSEWHERE)
    if not until(lambda: client.ask("read", tenant="t1", key=1).get("ok") and scene.live(), PATIENCE_S / 4, 0.05):
        told = "the client reads from Limitless, and classic knows no live process of it: no rollback waits for it"
        return (broken if promise is Promise.CONFIRMED else not_shown)(promise, told)
    began = client.ask("begin_read", tenant="t1")
    if began.get("side") != "limitless":
        return not_shown(promise, f"the client did not begin a read on Limitless: {said(began)}")
    scene.mirror.hold()
    return None


def _ended(promise: Promise, scene: Scene, client: Client, told: str) -> Finding:
    """End the read that was under way, and read again."""
    scene.write("t1", 1, "after")  # acknowledged although the mirror is held: no process reads Limitless any more
    ended = client.ask("end_read", key=1)
    if ended.get("ok") and ended.get("body") != "after":
        return broken(promise, told, f"then a write was acknowledged, and the read handed out {ended.get('body')!r}")
    if not ended.get("ok") and ended.get("error") not in DISCARDED:
        return not_shown(promise, told, f"the read under way ended otherwise: {said(ended)}")
    again = client.ask("read", tenant="t1", key=1)
    if again.get("ok") and again.get("body") != "after":
        return broken(promise, told, f"then a write was acknowledged, and a new read gave {said(again)}")
    if not until(lambda: client.ask("read", tenant="t1", key=1).get("body") == "after", PATIENCE_S / 2, 0.1):
        return broken(promise, told, f"afterwards the client does not read it: {said(again)}")
    return kept(promise, told, f"the read under way: {said(ended)}; the next one: {said(again)}")


def confirmed(scene: Scene) -> Finding:
    """A rollback is confirmed while the client is inside a read; other reads give it the opportunity to confirm."""
    promise, client = Promise.CONFIRMED, scene.client()
    wrong = _reading(promise, scene, client)
    if wrong is not None:
        return wrong
    rollback = _Rollback(scene)
    for _ in range(6):  # some time, not all: a process whose oldest read holds it up has to fall silent
        if rollback.complete:
            break
        client.ask("read", tenant="u1", key=1)
        rollback.join(0.15)
    rollback.join()
    if rollback.result is None or not rollback.complete:
        return broken(promise, f"the rollback was not confirmed within 10 s: {rollback.result or rollback.error}")
    told = f"the rollback: {rollback.result.confirmed} confirmed, {rollback.result.expired} silent"
    return _ended(promise, scene, client, told)


def process_frozen(scene: Scene) -> Finding:
    """The client is stopped inside a read; routes change, and a write is acknowledged, before it goes on."""
    promise, client = Promise.PROCESS_FROZEN, scene.client()
    wrong = _reading(promise, scene, client)
    if wrong is not None:
        return wrong
    client.freeze()
    try:
        done = scene.back("t1")
        told = f"the rollback while it was frozen: {done.confirmed} confirmed, {done.expired} silent"
        if not done.complete:
            return broken(promise, told, "the frozen process still counts as live: its limit is too long")
        scene.write("t1", 1, "after")
    finally:
        client.thaw()
    return _ended(promise, scene, client, told)


def classic_frozen(scene: Scene) -> Finding:
    """Classic gives the client no answer any more; routes change without it."""
    promise, client = Promise.CLASSIC_FROZEN, scene.client()
    scene.write("t1", 1, "before")
    scene.up("t1")
    if not scene.on_limitless(client, "t1", 1):
        return not_shown(promise, ELSEWHERE)
    scene.mirror.hold()
    scene.classic_proxy.stall()
    try:
        done = scene.back("t1")
        told = f"the rollback without it: {done.confirmed} confirmed, {done.expired} silent"
        if not done.complete:
            return broken(promise, told, "a process that cannot reach classic still counts as live")
        scene.write("t1", 1, "after")
        client.send("read", tenant="t1", key=1)
        cut_off = client.answer(2 * float(SHIM["staleness_s"]))
    finally:
        scene.classic_proxy.resume()
    if cut_off is None:
        cut_off = client.answer(PATIENCE_S)
    if cut_off is not None and cut_off.get("ok") and cut_off.get("body") != "after":
        return broken(promise, told, f"then a write was acknowledged, and the client read {said(cut_off)}")
    if not until(lambda: client.ask("read", tenant="t1", key=1).get("body") == "after", PATIENCE_S / 2, 0.1):
        return broken(promise, told, "when classic answered again, the client did not read it")
    return kept(promise, told, f"a read without classic: {said(cut_off)}; afterwards it reads again")


def session(scene: Scene) -> Finding:
    """A write does not wait; its token does, wherever it is brought."""
    promise, client = Promise.SESSION, scene.client()
    second = scene.client("second")
    scene.write("t1", 1, "before")
    scene.up("t1")
    if not (scene.on_limitless(client, "t1", 1) and scene.on_limitless(second, "t1", 1)):
        return not_shown(promise, ELSEWHERE)
    scene.mirror.hold()
    written = client.ask("write", tenant="t1", key=1, body="mine", wait=False)
    token = written.get("token")
    if not written.get("ok") or not token:
        return broken(promise, f"a write that need not wait: {said(written)}, without a token")
    seen = [each.ask("read", tenant="t1", key=1, token=token) for each in (client, second)]
    told = f"with the token: {said(seen[0])}; in another process: {said(seen[1])}"
    if any(each.get("ok") and each.get("body") != "mine" for each in seen):
        return broken(promise, told)
    if not all(each.get("ok") for each in seen):
        return not_shown(promise, told)
    scene.mirror.go()
    with suppress(ClientFailed):
        later = until(
            lambda: client.ask("read", tenant="t1", key=1, token=token),
            5.0, 0.05, done=lambda found: found.get("side") == "limitless",
        )  # fmt: skip
        if later.get("body") != "mine":
            return broken(promise, told, f"once the mirror has it: {said(later)}")
        told += f"; once the mirror has it: {said(later)}"
    return kept(promise, told)


def lost_answer(scene: Scene) -> Finding:
    """The connection breaks behind COMMIT: what is said of the write must not be wrong."""
    promise, client = Promise.LOST_ANSWER, scene.client()
    client.ask("write", tenant="u1", key=1, body="first")
    told = []
    for number in range(4):  # alone in its message, or the first of several
        body = f"lost-{number}"
        scene.classic_proxy.lose_reply_to(b"COMMIT\0" if number % 2 else b"COMMIT;")
        written = client.ask("write", tenant="u1", key=1, body=body)
        lost = scene.classic_proxy.lost.is_set()
        scene.classic_proxy.clear_faults()
        committed = scene.stored("u1", 1) == body
        told.append(f"{said(written)}, the row is {'there' if committed else 'not there'}")
        if written.get("ok") and not committed:
            return broken(promise, told[-1], "it was acknowledged, and is lost")
        if committed and not written.get("ok") and written.get("error") not in ("unknown", "unconfirmed"):
            return broken(promise, told[-1], "a caller takes it for one that failed, and writes again")
        if lost and committed:
            return kept(promise, *told)
    return not_shown(promise, *told, "no answer to a COMMIT of the client was lost")
