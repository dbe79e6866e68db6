"""The trials of how a migration ends: writes closed, handed over, classic gone."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from types import TracebackType
from typing import Self

import psycopg

from migrator.contract.client import Answer, Client, ClientNotStarted, said
from migrator.contract.promise import Finding, Promise, broken, kept, not_shown
from migrator.contract.scene import PATIENCE_S, SHIM, Scene, cycle
from migrator.control.route import mark_retiring, store_settled
from migrator.model.route import WriteMode
from migrator.poll import until
from migrator.traffic.route.confirm import wait_confirmed


def closed(scene: Scene) -> Finding:
    """A write comes while writes are closed; then they are opened again."""
    promise, client = Promise.CLOSED, scene.client()
    first = client.ask("write", tenant="t1", key=1, body="before")
    if not first.get("ok"):
        return not_shown(promise, f"a write before: {said(first)}")
    wait_confirmed(scene.classic, scene.mode(WriteMode.CLOSED), PATIENCE_S)
    client.send("write", tenant="t1", key=1, body="closed")
    answer = client.answer(1.0)
    found = scene.stored("t1", 1)
    scene.mode(WriteMode.DUAL)
    told = f"while they are closed: {said(answer)}, classic holds {found!r}"
    if found != "before":
        return broken(promise, told)
    if answer is not None and answer.get("ok"):
        return broken(promise, told, "it was acknowledged, and is nowhere")
    later = client.answer(PATIENCE_S) if answer is None else answer
    if later is None or not later.get("ok"):
        later = client.ask("write", tenant="t1", key=1, body="closed")
    if not later.get("ok") or scene.stored("t1", 1) != "closed":
        return broken(promise, told, f"open again: {said(later)}, classic holds {scene.stored('t1', 1)!r}")
    return kept(promise, told, f"open again: {said(later)}")


class _Deaf(threading.Thread):
    """A live process that has not heard of the hand-over: its heartbeats confirm the epoch of before."""

    def __init__(self, scene: Scene, dsn: str) -> None:
        super().__init__(name="deaf", daemon=True)
        self._conn = psycopg.connect(dsn, autocommit=True)
        row = self._conn.execute("SELECT epoch, mark FROM migrator.client_view('deaf')").fetchone()
        assert row is not None
        self._known = row
        self._hears = threading.Event()
        self._beats = [time.monotonic()]
        self._beat()

    def _beat(self) -> None:
        sent_s = time.monotonic()
        self._conn.execute("SELECT migrator.client_beat('deaf', 'deaf', %s, %s)", self._known)
        self._beats.append(sent_s)

    @property
    def lived(self) -> bool:
        """Whether it counted as live all the time."""
        times = [*self._beats, time.monotonic()]
        return all(later - earlier < float(SHIM["staleness_s"]) for earlier, later in pairwise(times))

    def run(self) -> None:
        while not self._hears.wait(float(SHIM["staleness_s"]) / 6):
            self._beat()

    def hears(self) -> None:
        """It reads the routes now."""
        self._hears.set()
        if self.is_alive():
            self.join()
            self._conn.execute("SELECT migrator.client_leave('deaf')")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hears()
        self._conn.close()


def hand_over(scene: Scene) -> Finding:
    """Limitless takes the writes while a process still reads classic; then classic is gone for good."""
    promise, client = Promise.HAND_OVER, scene.client()
    first = client.ask("write", tenant="t1", key=1, body="classic")
    if not first.get("ok"):
        return not_shown(promise, f"a write before: {said(first)}")
    with _Deaf(scene, scene.classic.info.dsn + f" password={scene.classic.info.password}") as deaf:
        epoch = _over(scene)
        client.send("write", tenant="t1", key=1, body="handed over")
        until(lambda: scene.stored("t1", 1, on_limitless=True) == "handed over", PATIENCE_S / 4, 0.05)
        early = client.answer(0.5)
        lived = deaf.lived
        where = f"Limitless holds {scene.stored('t1', 1, on_limitless=True)!r}, classic {scene.stored('t1', 1)!r}"
        if scene.stored("t1", 1) != "classic":
            return broken(promise, where, "it wrote on classic, where no read sees it any more")
        if early is not None and early.get("ok"):
            if not lived:
                return not_shown(promise, where, "this computer is too busy for the other process to stay live")
            return broken(promise, where, "it was acknowledged while a live process still reads classic")
        deaf.hears()
        written = early if early is not None else client.answer(PATIENCE_S)
    if written is None or not written.get("ok"):  # one that was told to try again
        written = client.ask("write", tenant="t1", key=1, body="handed over")
    told = f"{where}; then: {said(written)}"
    if not written.get("ok") or scene.stored("t1", 1, on_limitless=True) != "handed over":
        return broken(promise, told)
    return _without_classic(scene, promise, told, epoch, client)


def _over(scene: Scene) -> int:
    scene.mode(WriteMode.CLOSED)
    scene.mirror.hold()
    cycle(scene.classic, scene.limitless)
    return scene.mode(WriteMode.LIMITLESS_ONLY)


def _without_classic(scene: Scene, promise: Promise, told: str, epoch: int, client: Client) -> Finding:
    store_settled(scene.limitless, epoch, None, "", "")
    mark_retiring(scene.limitless, 1)
    scene.classic_proxy.cut_off()
    answers = {
        "a read without classic": client.ask("read", tenant="t1", key=1),
        "a write without it": client.ask("write", tenant="t1", key=2, body="alone"),
        "a read in a process that began without it": _began_late(scene),
    }
    wanted = ("handed over", None, "alone")
    lines = tuple(f"{what}: {said(answer)}" for what, answer in answers.items())
    right = all(
        answer.get("ok") and (body is None or answer.get("body") == body)
        for answer, body in zip(answers.values(), wanted, strict=True)
    )
    return (kept if right else broken)(promise, told, *lines)


def _began_late(scene: Scene) -> Answer:
    """Read in a process that starts now; one that cannot has broken the promise, as the first one did start."""
    try:
        late = scene.client("late")
    except ClientNotStarted as error:
        return {"ok": False, "error": "none", "text": error.lines[0]}
    return late.ask("read", tenant="t1", key=2)
