"""Compares results of calls at one snapshot that both sides have, so that every difference is real.

Either at a fence of a mirror partition (consistency), where Limitless has caught up with classic's snapshot by
construction, or at the snapshot at which tenants were copied for the run. A difference counts when it is there twice,
and classic does not differ from itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from migrator.consistency import fence
from migrator.db.hang_up import hung_up_after
from migrator.errors import ClusterUnavailable
from migrator.model.tenant import REFERENCE_PART
from migrator.model.trace import Call
from migrator.model.traffic_test import LOST
from migrator.shadow.ask import Answer, conversation, failed, settings
from migrator.shadow.prepare import Repeated
from migrator.shadow.rows import Order, Result, Same, compare

Connection = psycopg.AsyncConnection[Any]

MOST_OF_ONE = 20
"""Calls of one statement whose results are compared."""

SNAPSHOT_S = 30.0
"""A fence's snapshots are held no longer: classic cannot vacuum past them."""

FENCES = 3
"""Fences at which a difference must be seen where a statement reads reference tables besides a tenant's: their mirror
partition is another one, and may be at another snapshot."""

FENCE_TIMEOUT_S = 30.0
GRACE_S = 5.0
"""A server that has not answered so long after its statement timeout is disconnected."""

COMPARE_S = 600.0
"""Seconds after which no further mirror partition is compared."""

LONGEST_S = COMPARE_S + FENCES * (FENCE_TIMEOUT_S + 2 * SNAPSHOT_S)
"""Seconds after which nothing is compared any more: also a server that froze in the middle is not waited for."""

WITHOUT = 2
"""Mirror partitions in a row that gave no fence, after which no other is asked."""


class Both(Protocol):
    """A transaction on either side, at one snapshot."""

    @property
    def classic(self) -> Connection: ...
    @property
    def limitless(self) -> Connection: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How calls are asked: schemas, and seconds for each."""

    path: Sequence[str]
    timeout_s: float


@dataclass
class Compared:
    """What became of the calls of one statement. why: how results differ; unknown: why that could not be told."""

    compared: int = 0
    differing: int = 0
    why: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass
class Agreement:
    """What became of all of them, by statement. notes: what was not compared as a whole, and why."""

    by_statement: dict[str, Compared] = field(default_factory=lambda: defaultdict(Compared))
    notes: list[str] = field(default_factory=list)


def chosen(calls: Sequence[Repeated]) -> dict[int, list[Repeated]]:
    """Return the calls that are compared, by mirror partition: different ones, of each statement so many."""
    found: dict[int, list[Repeated]] = defaultdict(list)
    seen: set[Call] = set()
    numbers: Counter[str] = Counter()
    for repeated in calls:
        statement, key = repeated.statement, Call(repeated.call.sql, repeated.call.values)
        may = repeated.part is not None and not statement.use.doubts and statement.use.sort == "read"
        if not may or key in seen or numbers[statement.fingerprint.id] >= MOST_OF_ONE or repeated.part is None:
            continue
        seen.add(key)
        numbers[statement.fingerprint.id] += 1
        found[repeated.part].append(repeated)
    return dict(found)


async def at_fences(classic_dsn: str, limitless_dsn: str, calls: Sequence[Repeated], reading: Reading) -> Agreement:
    """Compare calls at a fence of each mirror partition, one after the other."""
    found, without, until = Agreement(), 0, time.monotonic() + COMPARE_S
    for part, mine in sorted(chosen(calls).items()):
        if without == WITHOUT or time.monotonic() > until:
            why = "others gave no fence" if without == WITHOUT else "the time for it was up"
            found.notes.append(f"mirror partition {part}: nothing was compared, as {why}")
            continue
        try:
            await _at_part(classic_dsn, limitless_dsn, part, mine, reading, found)
            without = 0
        except (ClusterUnavailable, psycopg.Error) as error:
            without += 1
            found.notes.append(f"mirror partition {part}: nothing more was compared: {_words(error)}")
    return found


def _words(error: Exception) -> str:
    return failed(error, 0.0).why if isinstance(error, psycopg.Error) else str(error)


async def _at_part(
    classic_dsn: str, limitless_dsn: str, part: int, calls: Sequence[Repeated], reading: Reading, found: Agreement
) -> None:
    """Compare the calls of one partition, at as many fences as their differences need."""
    left = list(calls)
    for number in range(1, FENCES + 1):
        async with fence.hold(classic_dsn, limitless_dsn, part, FENCE_TIMEOUT_S) as both:
            there = [c for c in left if part == REFERENCE_PART or all(t in both.members for t in c.tenants)]
            left = await at(both, there, reading, found, last=number == FENCES)
        if not left:
            return


async def at(
    both: Both, calls: Sequence[Repeated], reading: Reading, found: Agreement, *, last: bool = True
) -> list[Repeated]:
    """Compare *calls* at one snapshot; return those whose difference does not count yet.

    Args:
        last: every difference counts.
    """
    until = time.monotonic() + SNAPSHOT_S
    open_: list[Repeated] = []
    for number, repeated in enumerate(calls):
        if time.monotonic() > until:
            found.notes.append(f"{len(calls) - number} calls were not compared: the snapshot was held long enough")
            break
        mine = found.by_statement[repeated.statement.fingerprint.id]
        same, why = await _twice(both, repeated, reading)
        crosses = repeated.statement.reference and repeated.statement.sharded
        if same is Same.NO and crosses and not last:
            open_.append(repeated)
        elif same is Same.UNKNOWN:
            mine.unknown[why] += 1
        else:
            mine.compared += 1
            mine.differing += same is Same.NO
            if same is Same.NO:
                mine.why[why] += 1
    return open_


async def _twice(both: Both, repeated: Repeated, reading: Reading) -> tuple[Same, str]:
    """Return whether both sides give the same; asked again where they do not."""
    order = repeated.statement.use.order
    first = await _ask_both(both, repeated.call, reading)
    same, why = _judged(*first, order=order)
    if same is not Same.NO:
        return same, why
    again = await _ask_both(both, repeated.call, reading)
    if _judged(first[0], again[0], order=order)[0] is not Same.YES:
        return Same.UNKNOWN, "classic gives another result each time"
    if _judged(first[1], again[1], order=order)[0] is not Same.YES:
        return Same.UNKNOWN, "Limitless gives another result each time"
    return _judged(*again, order=order)


def _judged(classic: Answer, limitless: Answer, *, order: Order) -> tuple[Same, str]:
    if classic.result is None or limitless.result is None:
        return Same.UNKNOWN, "an error"
    return compare(classic.result, limitless.result, order)


async def _ask_both(both: Both, call: Call, reading: Reading) -> tuple[Answer, Answer]:
    return await asyncio.gather(_ask(both.classic, call, reading), _ask(both.limitless, call, reading))


async def _ask(conn: Connection, call: Call, reading: Reading) -> Answer:
    """Run a call inside the transaction of *conn*, which stays as it was.

    Raises:
        psycopg.OperationalError: the connection broke, or the server did not answer in time.
    """
    try:
        with hung_up_after(reading.timeout_s + GRACE_S, conn):
            result = await _answer(conn, call, reading)
    except psycopg.Error as error:
        answer = failed(error, 0.0)
        if answer.state == LOST or conn.closed:
            raise
        return answer
    return Answer(0.0, result=result)


async def _answer(conn: Connection, call: Call, reading: Reading) -> Result | None:
    async with conn.transaction(force_rollback=True):
        await conn.execute(settings(list(reading.path), local=True))
        await conn.execute(f"SET LOCAL statement_timeout = {round(reading.timeout_s * 1000)}".encode())
        return await conn.wait(conversation(conn.pgconn, call, keep=True))


def reasons(calls: Sequence[Repeated]) -> Mapping[str, tuple[str, ...]]:
    """Return why results of a statement are not compared, by statement; those that are compared are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for repeated in calls:
        statement = repeated.statement
        if statement.use.sort != "read":
            found[statement.fingerprint.id] = ("it writes",)
        elif statement.use.doubts:
            found[statement.fingerprint.id] = statement.use.doubts
        elif repeated.part is None:
            found.setdefault(statement.fingerprint.id, ("it reads rows of several mirror partitions",))
    return found
