"""Takes the webhook's requests: checks the sender, decides, acts on classic, and remembers.

What is about all tenants is never kept waiting: it has threads of its own, it is not counted against a sender's rate,
and who asks for it while it is being done waits for that one. Everything else shares a bounded number of threads and a
rate for each source, so a flood of alarms about single tenants, or of alarms that mean nothing, costs classic little.

Nothing waits for Temporal or Limitless, and classic itself may hang: every request is answered in a bounded time, with
503 if need be, and every act is safe to repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

import psycopg
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from migrator.control import alarm as noted
from migrator.control.route import switch
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.traffic.incident import act
from migrator.traffic.incident.alarm import Delivery
from migrator.traffic.incident.caller import SHORTEST_SECRET, proof
from migrator.traffic.incident.fetch import fetch
from migrator.traffic.incident.flights import Flights
from migrator.traffic.incident.logged import Log, log
from migrator.traffic.incident.match import Decision, decide, target_of
from migrator.traffic.incident.memory import Bucket, Memory
from migrator.traffic.incident.reply import SHOWN, Reply, again_in, of_outcomes, refused
from migrator.traffic.incident.request import Request, parse
from migrator.traffic.incident.rollback import RollbackResult, roll_back
from migrator.traffic.incident.senders.reading import Reader
from migrator.traffic.incident.senders.sns import Get
from migrator.traffic.incident.sources import Sources

APP = "migrator-incident"
ANSWER_S = 12.0
"""Within so many seconds an alarm is answered: SNS and Datadog give up after 15."""
CONFIRM_S = 4.0
"""How long an alarm's rollback waits until processes have confirmed it; the reads move in any case."""
REFRESH_S = 30.0
"""For so long the plan's rules are taken as they were read."""
RECENT_S = 2.0
"""An alarm does nothing for want of a rule only by rules that were read so shortly before."""
KNOWN_S = 3.0
"""So long an alarm waits for newer rules where some are known."""
AHEAD_S = 300.0
"""So far a sender's clock may be ahead."""
MOST_WAITING = 32
KEPT_S = 90_000.0
"""For so long a message is remembered: longer than any message may be old (alarms.max_age_s)."""

T = TypeVar("T")


class Desk:
    """The webhook's state, for one event loop.

    Args:
        classic_dsn: of classic; a function is asked for each connection, in a thread, since passwords change.
        secret: of POST /rollback; None: there is no such route.
        sources: reads whose alarms are taken; called in a thread, about twice a minute, and may raise.
        get: returns what is at an HTTPS address of Amazon SNS.
        timeout_s: how long POST /rollback waits until every process has confirmed.
        log: is told the event of every answer, with its fields.
        on_rollback: is told what POST /rollback did.

    Raises:
        UsageError: the secret is too short.
    """

    def __init__(
        self,
        classic_dsn: str | Callable[[], str],
        secret: str | None,
        *,
        sources: Callable[[], Sources] = Sources,
        get: Get = fetch,
        timeout_s: float = 30.0,
        log: Log = log,
        on_rollback: Callable[[Request, RollbackResult], None] = lambda request, result: None,
    ) -> None:
        if secret is not None and len(secret) < SHORTEST_SECRET:
            text = f"the webhook's secret has {len(secret)} characters; it needs at least {SHORTEST_SECRET}"
            raise UsageError(text, hint="MIGRATOR_INCIDENT_TOKEN holds it; make one with: openssl rand -hex 24")
        self.secret = secret
        self.log = log
        self._dsn = classic_dsn if callable(classic_dsn) else lambda: classic_dsn
        self._read_sources = sources
        self._timeout_s = timeout_s
        self._on_rollback = on_rollback
        self._sources: Sources | None = None
        self._read_at = 0.0
        self._unread = False
        self._memory = Memory(KEPT_S)
        self._buckets: dict[str, Bucket] = {}
        self._first, self._others = CapacityLimiter(4), CapacityLimiter(8)
        self._asking, self._own = CapacityLimiter(4), CapacityLimiter(2)
        self._flights = Flights()
        self._reader = Reader(get, partial(self._thread, CapacityLimiter(2)), self._flights)

    async def ready(self) -> None:
        """Read whose alarms are taken, and tell the log: so a mistake shows when a server begins, and the first alarm
        need not wait."""
        try:
            sources = await self._current()
        except ClusterUnavailable as error:
            self.log("rules.not_read", {"reason": error.why})
            return
        self.log("webhook.begun", {"sources": list(sources.configured), "problems": dict(sources.problems)})

    # -- POST /rollback and GET /health

    async def health(self) -> Reply:
        """Answer whether classic does."""

        def ask() -> None:
            with connect(self._dsn(), APP, statement_timeout_s=5, side="classic") as conn:
                switch(conn)

        try:
            await asyncio.wait_for(self._flights.share("health", lambda: self._thread(self._own, ask)), ANSWER_S)
        except (MigratorError, psycopg.Error, TimeoutError):
            return Reply(
                503, {"ok": False, "error": "classic does not answer"}, again_in(5), word="classic unavailable"
            )
        return Reply(200, {"ok": True}, word="ok")

    async def rollback(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a caller that says itself what is to be rolled back."""
        assert self.secret is not None  # else there is no such route
        key = proof(self.secret, headers, body, time.time())
        if key is None:
            return _unauthorized()
        try:
            request = parse(body)
            return await asyncio.wait_for(self._asked(request, key), self._timeout_s + ANSWER_S)
        except Exception as error:
            return refused(error)

    async def _asked(self, request: Request, key: str) -> Reply:
        busy = self._over("rollback", acting=True)
        if busy is not None and not request.everybody:
            return busy
        if (before := await self._handled("rollback", key)) is not None:
            return before
        todo = partial(self._roll_back, request)
        if request.everybody:
            result, joined = await self._everybody("asked", todo)
            result = replace(result, already=True, changed=0) if joined else result
        else:
            result = await self._thread(self._others, todo)
        word = "already on classic" if result.already else "rolled back"
        target = target_of(request.everybody, request.wave, request.tenants)
        row = noted.Noted(request.who[:200], "", 0, "roll_back", target, word, request.reason[:400])
        await self._remember("rollback", key, [row] if busy is None else [], word, done=True)
        self._on_rollback(request, result)
        also = {"target": target, "who": request.who[:100], "epoch": result.epoch, "pending": len(result.pending)}
        return Reply(200 if result.complete else 202, asdict(result), word=word, also=also)

    def _roll_back(self, request: Request) -> RollbackResult:
        with connect(self._dsn(), APP, statement_timeout_s=10, side="classic") as conn:
            return roll_back(
                conn, all=request.everybody, wave=request.wave, tenants=request.tenants,
                who=request.who, reason=request.reason, timeout_s=self._timeout_s,
            )  # fmt: skip

    # -- POST /alarms/…

    async def alarm(self, source: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer *source*, which sends alarms in its own form."""
        try:
            return await asyncio.wait_for(self._alarm(source, headers, body), ANSWER_S)
        except Exception as error:
            return refused(error)

    async def _alarm(self, source: str, headers: Mapping[str, str], body: bytes) -> Reply:
        sources = await self._current()
        if source not in sources.configured:
            sources = await self._current(RECENT_S)
        if source not in sources.configured:
            why = f"the plan takes no alarms of {source}: alarms.{source}"
            return self._nothing(Reply(404, {"error": why}, word="not in the plan"))
        raw = headers.get("x-amz-sns-rawdelivery", "").lower() == "true" or "authorization" in headers
        if source in sources.problems and (raw or source != "cloudwatch"):
            also = {"reason": sources.problems[source]}
            return Reply(
                503, {"error": f"the secret of alarms.{source} cannot be had"}, again_in(30), "no secret", also
            )
        found = await self._reader.read(source, sources, headers, body)
        if isinstance(found, Reply):
            return found
        decisions = [decide(one, sources.rules(source)) for one in found.alarms]
        if any(d.without_rule for d in decisions):
            sources = await self._current(RECENT_S)
            decisions = [decide(one, sources.rules(source)) for one in found.alarms]
        if found.sent_at is not None:
            late = _late(time.time() - found.sent_at.timestamp(), sources.alarms.max_age_s)
            decisions = [Decision(d.alarm, note=late) for d in decisions] if late else decisions
        everybody = any(d.everybody for d in decisions)
        acting = any(d.action not in ("", "ignore") for d in decisions)
        busy = self._over(source, acting=acting)
        if busy is not None and not everybody:
            return busy
        if acting and (before := await self._handled(source, found.message)) is not None:
            return before
        reply, rows = await self._act(source, decisions, found, busy)
        if not acting and any(d.without_rule for d in decisions):
            reply = self._nothing(reply)
        await self._remember(source, found.message, rows if busy is None else [], reply.word, done=reply.status < 400)
        return reply

    async def _act(
        self, source: str, decisions: list[Decision], found: Delivery, busy: Reply | None
    ) -> tuple[Reply, list[noted.Noted]]:
        """Do what *decisions* say: what is about all first. Only that where the source is over its rate."""
        outcomes: dict[int, act.Outcome] = {}
        for action in ("roll_back", "breaker"):
            about_all = [n for n, d in enumerate(decisions) if d.everybody and d.action == action]
            if about_all:
                todo = partial(self._with_classic, act.everybody, decisions[about_all[0]], source)
                done, joined = await self._everybody(action, todo)
                if joined and done.result is not None:
                    done = replace(
                        done, word="already on classic", result=replace(done.result, already=True, changed=0)
                    )
                outcomes |= {n: replace(done, decision=decisions[n]) for n in about_all}
        rest = [n for n, d in enumerate(decisions) if n not in outcomes and d.action not in ("", "ignore")]
        if rest and busy is None:
            todo_some = partial(self._with_classic, act.some, [decisions[n] for n in rest], source)
            number = {id(decisions[n]): n for n in rest}
            try:
                for one in await self._thread(self._others, todo_some):
                    outcomes[number[id(one.decision)]] = one
            except (MigratorError, psycopg.Error) as error:
                if not outcomes:
                    raise
                failed = refused(error)  # what was done for all is answered too
                for n in rest:
                    outcomes[n] = act.Outcome(decisions[n], "refused", failed.status, str(failed.body["error"]))
        for n in rest:
            outcomes.setdefault(n, act.Outcome(decisions[n], "not done", 503, "too many requests"))
        ordered = [outcomes.get(n) or act.passive(d) for n, d in enumerate(decisions)]
        rows = [
            noted.Noted(
                o.decision.alarm.name, o.decision.alarm.state, o.decision.rule, o.decision.action,
                o.decision.target[:400], o.word, o.note[:400], o.decision.alarm.episode[:400],
            )
            for o in sorted(ordered, key=lambda o: o.decision.action in ("", "ignore"))[:SHOWN]
        ]  # fmt: skip
        return of_outcomes(ordered, found.left_out), rows

    def _with_classic(self, do: Callable[..., T], what: Any, source: str) -> T:
        with connect(self._dsn(), APP, statement_timeout_s=10, side="classic") as conn:
            return do(conn, what, source, CONFIRM_S)

    # -- what is common

    async def _everybody(self, action: str, todo: Callable[[], T]) -> tuple[T, bool]:
        """Do what is about all tenants once, however many ask for it; return also whether it was being done already."""
        return await self._flights.share_told(f"all/{action}", lambda: self._thread(self._first, todo))

    async def _thread(self, limiter: CapacityLimiter, do: Callable[[], T]) -> T:
        if limiter is self._others and limiter.statistics().tasks_waiting >= MOST_WAITING:
            raise ClusterUnavailable("classic", "too many requests wait for it", "Try again in a few seconds.")
        return await run_sync(do, limiter=limiter, abandon_on_cancel=True)

    def _over(self, source: str, *, acting: bool) -> Reply | None:
        """Count a request of *source*; return the answer if it is one too many.

        503 where it would act, because Alertmanager and Datadog try again after that and not after 429.
        """
        alarms = (self._sources or Sources()).alarms
        bucket = self._buckets.setdefault(source, Bucket(alarms.requests_per_s, alarms.burst))
        bucket.rate, bucket.burst = alarms.requests_per_s, alarms.burst
        if bucket.take(time.monotonic()):
            return None
        why = f"more than {alarms.requests_per_s:g} requests a second (alarms.requests_per_s)"
        return Reply(503 if acting else 429, {"error": why}, again_in(bucket.wait_s()), word="too many requests")

    def _nothing(self, reply: Reply) -> Reply:
        """Return *reply*, which does nothing because no rule is known. Where newer rules may say otherwise and cannot
        be read, have the sender try again: after any other answer the alarm would be lost."""
        if not self._unread:
            return reply
        error = "classic does not answer, and no rule that is known takes this alarm"
        return Reply(503, {"error": error}, again_in(5), word="rules not read")

    async def _current(self, recent_s: float = REFRESH_S) -> Sources:
        """Return whose alarms are taken, read again when that was more than *recent_s* ago; as it was, where it cannot
        be read."""
        if self._sources is None or time.monotonic() - self._read_at > recent_s:
            try:
                read = self._flights.share("sources", lambda: self._thread(self._own, self._read_sources))
                self._sources = await asyncio.wait_for(read, ANSWER_S / 2 if self._sources is None else KNOWN_S)
                self._read_at, self._unread = time.monotonic(), False
            except Exception as error:
                if self._sources is None:
                    raise ClusterUnavailable("classic", "the plan's rules cannot be read", "Try again.") from error
                self._read_at, self._unread = time.monotonic(), True
                self.log("rules.not_read", {"reason": type(error).__name__})
        return self._sources

    async def _handled(self, source: str, message: str) -> Reply | None:
        """Return the answer to a message that was handled before: it does nothing again. Not knowing is no answer."""
        if not message:
            return None
        word = self._memory.get(source, message, time.monotonic())
        if word is None:

            def ask() -> Any:
                with connect(self._dsn(), APP, statement_timeout_s=2, connect_timeout_s=2, side="classic") as conn:
                    return noted.handled(conn, source, message)

            try:
                found = await asyncio.wait_for(self._thread(self._asking, ask), 3.0)
            except (MigratorError, psycopg.Error, TimeoutError):
                found = None
            word = found[1] if found else None
            if word is not None:
                self._memory.put(source, message, word, time.monotonic())
        if word is None:
            return None
        note = f"this message was handled before ({word}); nothing was done now"
        shape = {**asdict(RollbackResult()), "replayed": True} if source == "rollback" else {"outcome": "replayed"}
        return Reply(200, {**shape, "note": note}, word="replayed")

    async def _remember(self, source: str, message: str, rows: list[noted.Noted], word: str, *, done: bool) -> None:
        """Keep what came of a message, here and on classic; what cannot be kept changes no answer."""
        if done:
            self._memory.put(source, message, word, time.monotonic())

        def write() -> None:
            with connect(self._dsn(), APP, statement_timeout_s=2, connect_timeout_s=2, side="classic") as conn:
                noted.add(conn, source, message, rows, done=done)

        if rows:
            try:
                await asyncio.wait_for(self._thread(self._own, write), 3.0)
            except (MigratorError, psycopg.Error, TimeoutError):
                self.log("alarm.not_noted", {"source": source})


def _unauthorized() -> Reply:
    return Reply(
        401, {"error": "not authorized"}, {"WWW-Authenticate": 'Bearer realm="migrator"'}, word="not authorized"
    )


def _late(age_s: float, max_age_s: float) -> str:
    """Return why a message that was sent *age_s* seconds ago does nothing; '' where it may act."""
    if age_s > max_age_s:
        return f"too old; sent {age_s:.0f} s ago (alarms.max_age_s: {max_age_s:g})"
    return f"from the future; sent {-age_s:.0f} s from now: one of the clocks is wrong" if age_s < -AHEAD_S else ""
