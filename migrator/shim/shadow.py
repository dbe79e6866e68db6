"""Shadow reads: repeats a share of reads on both sides and compares them, off the caller's path.

A difference counts only when it is one: nothing the read reads changed between the two answers (shadow_evidence.py),
classic gives its answer again, and all of that was so twice. What cannot be decided is counted as that.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import psycopg

from migrator.errors import MigratorError
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.clock import now_s
from migrator.shim.fingerprint import fingerprint, literals, wavers
from migrator.shim.listener import Listener, ShadowDiffered
from migrator.shim.metrics import Metrics, ShadowRead
from migrator.shim.pool import Pool
from migrator.shim.read import begin_on_limitless
from migrator.shim.shadow_answer import Answer, Incomparable, Likeness, alike, raised, refused, returned
from migrator.shim.shadow_evidence import WAIT_S, Begun, Evidence
from migrator.shim.statements import BEGIN_READ

TRIES = 5
"""A comparison that nothing came of is made again, after a rest."""

CONFIRMED = 2
"""So often both sides have to differ over the same rows before a difference counts."""

REST_S = 0.1

NOTED = 50
"""Statements of one read that are noted; what comes after them is not known, so it may be about anybody's rows."""

ReadOn = Callable[[Side], Pool]


class Verdict(StrEnum):
    """What a comparison came to."""

    SAME = "same"
    REORDERED = "reordered"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class _Sample:
    tenant_id: TenantId
    fn: Callable[[Any], object]


@dataclass(slots=True)
class Ran:
    """The statements one run of a read sent, with the texts of their parameters."""

    statements: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    complete: bool = True  # nothing went past the noting cursor, as far as is known

    def names(self, tenant_id: TenantId) -> bool:
        """Return whether each statement has the tenant among its values, so that it is about that tenant's rows."""
        known = bool(self.statements) and self.complete
        return known and all(tenant_id in values or tenant_id in literals(text) for text, values in self.statements)


def ran_on(cursor: Any) -> Ran | None:
    """Return where the statements of *cursor* are noted; None where they are not."""
    return getattr(cursor.connection, "shadow_ran", None)


class _NotingServer(psycopg.ServerCursor[Any]):
    """Its statements are not noted, and that is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if (ran := ran_on(self)) is not None:
            ran.complete = False


class _Noting(psycopg.Cursor[Any]):
    """Notes what is executed."""

    def _noted(self, query: Any, params: Any) -> None:
        if (ran := ran_on(self)) is not None:
            note(ran, query, params, self)

    def execute(self, query: Any, params: Any = None, **options: Any) -> _Noting:  # Any: as psycopg has it
        """Note *query* and run it."""
        self._noted(query, params)
        super().execute(query, params, **options)
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """Note *query*, whose parameters are not looked at, and run it."""
        self._noted(query, None)
        super().executemany(query, params_seq, **options)

    def stream(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Note *query* and stream it."""
        self._noted(query, params)
        return super().stream(query, params, **options)

    def copy(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Note *statement* and copy."""
        self._noted(statement, params)
        return super().copy(statement, params, **options)


def note(ran: Ran, query: Any, params: Any, context: Any) -> None:
    """Note a statement; one too many, or one that cannot be read, makes the note incomplete."""
    if len(ran.statements) >= NOTED:
        ran.complete = False
        return
    try:
        text = query.as_string(context) if hasattr(query, "as_string") else query
        text = text.decode() if isinstance(text, bytes) else str(text)
        values = params.values() if hasattr(params, "values") else params or ()
        ran.statements.append((text, frozenset(map(str, values))))
    except Exception:  # of an application's own type; its statement runs as it would have
        ran.complete = False


class Shadow:
    """One worker thread with a short queue: what does not fit is simply not compared."""

    def __init__(
        self,
        pools: ReadOn,
        evidence: Evidence,
        metrics: Metrics,
        listener: Listener,
        read_timeout_s: float,
        wait_s: float = WAIT_S,
    ) -> None:
        self._pools = pools
        self._evidence = evidence
        self._metrics = metrics
        self._listener = listener
        self._read_timeout_s = read_timeout_s
        self._wait_s = wait_s
        self._queue: queue.Queue[_Sample | None] = queue.Queue(maxsize=8)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def offer(self, tenant_id: TenantId, fn: Callable[[Any], object]) -> None:
        """Queue a comparison of *fn* on both sides, unless the queue is full."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="migrator-shim-shadow", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(_Sample(tenant_id, fn))
        except queue.Full:
            return  # not every read need be compared

    def close(self) -> None:
        """Finish what is queued, without waiting for mirrors, and stop."""
        self._closing.set()
        if self._thread is not None:
            with suppress(queue.Full):
                self._queue.put(None, timeout=10)
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while (sample := self._queue.get()) is not None:
            try:
                self._compare(sample)
            except (psycopg.Error, MigratorError):
                continue  # a side is unreachable: nothing was compared; breakers count real reads

    def _compare(self, sample: _Sample) -> None:
        found = Comparison(self._ask, self._evidence, sample.tenant_id, sample.fn)
        verdict = found.run(self._wait_s, self._closing)
        if verdict is None:
            return
        name, text = fingerprint(text for text, _ in found.ran.statements)
        if not text:
            text = f"(statements of {_place(sample.fn)})"
            name, _ = fingerprint([text])
        differs = verdict is Verdict.DIFFERENT
        if verdict is not Verdict.UNDECIDED:
            self._metrics.shadow(not differs, found.classic_ms, found.limitless_ms)
        self._metrics.shadow_read(ShadowRead(name, str(sample.tenant_id), text, found.note, verdict.value))
        if differs:
            self._listener.on_event(ShadowDiffered(str(sample.tenant_id), name, text, found.note))

    def _ask(self, side: Side, tenant_id: TenantId, fn: Callable[[Any], object], ran: Ran) -> tuple[Answer, float]:
        """Run a read on one side, outside routes, breakers and metrics; return its answer and how long it took in ms.

        Raises:
            Incomparable: see shadow_answer.returned.
            psycopg.OperationalError, MigratorError: the side did not answer, or not in time.
        """
        started = now_s()
        try:
            answer = returned(run_on(self._pools(side), tenant_id, fn, self._read_timeout_s, ran))
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            answer = refused(error.sqlstate)  # an answer like any other: the same on both sides, or not
        except (Incomparable, MigratorError):
            raise
        except Exception as error:  # of the caller's function, for example about a missing row
            answer = raised(error)
        return answer, (now_s() - started) * 1000


Ask = Callable[[Side, TenantId, Callable[[Any], object], Ran], tuple[Answer, float]]


class Comparison:
    """One read on both sides, tried until it is decided.

    Attributes:
        ran: what it ran on classic last.
        note: what was seen, without values of rows.
    """

    def __init__(self, ask: Ask, evidence: Evidence, tenant_id: TenantId, fn: Callable[[Any], object]) -> None:
        self._ask = ask
        self._evidence = evidence
        self._tenant_id = tenant_id
        self._fn = fn
        self.ran = Ran()
        self.note = ""
        self.classic_ms = self.limitless_ms = 0.0

    def run(self, wait_s: float, closing: threading.Event) -> Verdict | None:
        """Return the verdict; None while the tenant's rows do not follow classic: there is nothing to compare."""
        differed = 0
        for number in range(TRIES):
            if number:
                closing.wait(REST_S * number)  # no rest at the end: what is queued is still compared
            begun = self._evidence.begin(self._tenant_id)
            if begun is None:
                return None if not number else Verdict.UNDECIDED
            try:
                verdict = self._once(begun, 0.0 if closing.is_set() else wait_s)
            except Incomparable as error:
                self.note = f"it returns objects that do not show what they hold ({error})"
                return Verdict.UNDECIDED
            except (psycopg.OperationalError, MigratorError) as error:
                state = getattr(error, "sqlstate", None)
                self.note = f"a side did not answer ({state or type(error).__name__})"
                return Verdict.UNDECIDED
            if verdict in (Verdict.SAME, Verdict.REORDERED):
                return verdict
            differed += verdict is Verdict.DIFFERENT
            if differed >= CONFIRMED:
                return Verdict.DIFFERENT
        return Verdict.UNDECIDED

    def _once(self, begun: Begun, wait_s: float) -> Verdict:
        """Read both sides once. The order matters: classic's first answer comes after *begun*, Limitless' after the
        wait, and what proves that nothing changed comes last."""
        self.ran = Ran()
        first, self.classic_ms = self._on(Side.CLASSIC, self.ran)
        begun = self._evidence.wait(begun, wait_s)
        other, self.limitless_ms = self._on(Side.LIMITLESS, Ran())
        likeness = alike(first, other)
        self.note = f"classic: {first.note}; Limitless: {other.note}"
        if likeness is Likeness.SAME and not first.error:
            return Verdict.SAME
        if likeness is Likeness.REORDERED:
            return Verdict.REORDERED
        if likeness is Likeness.SAME:
            # The same error: the answer that the caller got came from no such run.
            return Verdict.SAME if first.note.startswith("error") else Verdict.UNDECIDED
        again, _ = self._on(Side.CLASSIC, Ran())
        if again.exact != first.exact:
            self.note = "classic's own answer differs from one run to the next"
            return Verdict.UNDECIDED
        if any(wavers(text) for text, _ in self.ran.statements):
            self.note = "it asks for something that is another one each time"
            return Verdict.UNDECIDED
        if not self._evidence.unchanged(begun, everything=not self.ran.names(self._tenant_id)):
            self.note = "rows that it may read changed meanwhile"
            return Verdict.UNDECIDED
        return Verdict.DIFFERENT

    def _on(self, side: Side, ran: Ran) -> tuple[Answer, float]:
        return self._ask(side, self._tenant_id, self._fn, ran)


class _Shadowed:
    """Given to a shadow read in place of a Read."""

    def __init__(self, connection: psycopg.Connection[Any], side: Side, tenant_id: TenantId) -> None:
        self.connection = connection
        self.side = side
        self.tenant_id = tenant_id


def run_on(pool: Pool, tenant_id: TenantId, fn: Callable[[Any], object], read_timeout_s: float, ran: Ran) -> object:
    """Return what *fn* returns for a read on the side of *pool*, outside routes, breakers and metrics."""
    side = pool.side
    link = pool.take(BEGIN_READ if side is Side.CLASSIC else begin_on_limitless(read_timeout_s))
    try:
        link.conn.cursor_factory = _Noting
        link.conn.server_cursor_factory = _NotingServer
        link.conn.shadow_ran = ran  # type: ignore[attr-defined]  # of this block; the next borrower gets another object
        return fn(_Shadowed(link.conn, side, tenant_id))
    finally:
        with suppress(psycopg.Error):  # a read; nothing depends on how it ends
            link.finish("ROLLBACK")
        pool.give(link, discard=side is Side.LIMITLESS)


def _place(fn: Callable[[Any], object]) -> str:
    code = getattr(getattr(fn, "func", fn), "__code__", None)
    return code.co_name if code is not None else type(fn).__name__
