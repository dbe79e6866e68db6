"""Answers a repeatable read, and decides whether an error in it counts against Limitless.

Limitless first, where the route says so. When it cannot answer, classic answers; when it refuses the read, the read is
tried once on classic, and the error counts against Limitless unless classic gives it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from migrator.errors import ReadStale
from migrator.shim.doubt import Doubts, Key, explained
from migrator.shim.listener import Listener, ReadFellBack
from migrator.shim.read import ReadSteps
from migrator.shim.replica_lender import ReadsBounded
from migrator.shim.steps import within

Fn = Callable[[Any], Any]
"""What an application reads, in the way of its front."""


class NewRead(Protocol):
    """Makes a read of one tenant: where its route says, or on classic."""

    def __call__(self, *, only_classic: bool = False, only_writer: bool = False) -> ReadSteps: ...


async def answer(new_read: NewRead, fn: Fn, doubts: Doubts, listener: Listener) -> tuple[Any, bool]:
    """Return what *fn* returns, and whether the side of the route gave it."""
    first = new_read()
    try:
        result = await within(first, fn)
    except Exception as error:
        if isinstance(error, ReadsBounded):
            raise  # it has waited
        if first.failed or isinstance(error, ReadStale):
            listener.on_event(ReadFellBack(str(first.tenant_id), why(error)))
            return await within(new_read(only_classic=True, only_writer=first.at_replica), fn), False
        if not first.in_doubt or not _asked(first, fn, doubts):
            raise
        return await _by_classic(first, new_read, fn, doubts, listener, error)
    if not first.in_doubt or not _asked(first, fn, doubts):
        return result, True
    # The caller sees an error; it must see the same errors on both sides.
    return await _by_classic(first, new_read, fn, doubts, listener, None, result)


def _key(read: ReadSteps, fn: Fn) -> Key:
    assert read.doubt is not None
    place = getattr(getattr(fn, "func", fn), "__code__", None) or type(fn)
    return Key(read.tenant_id, read.doubt, place)


def _asked(read: ReadSteps, fn: Fn, doubts: Doubts) -> bool:
    """Return whether classic is to be asked; when not, the error has been judged."""
    assert read.doubt is not None
    if doubts.is_own(_key(read, fn)):
        read.judge(False)
        return False
    if not doubts.may_ask():
        read.judge(doubts.suspects(read.tenant_id, read.doubt))
        return False
    return True


async def _by_classic(
    first: ReadSteps,
    new_read: NewRead,
    fn: Fn,
    doubts: Doubts,
    listener: Listener,
    error: Exception | None,
    *result: Any,
) -> tuple[Any, bool]:
    """Ask classic; return its answer, or the first one (*error*, or *result*) when classic says the same.

    Raises:
        Exception: *error* when it is the caller's own, else what classic raises.
    """
    assert first.doubt is not None
    again = new_read(only_classic=True)
    try:
        answered = await within(again, fn)
    except Exception as other:
        if again.lost:  # classic could not be asked
            first.judge(doubts.suspects(first.tenant_id, first.doubt))
            return _as_it_was(error, *result)
        if _judged(first, again, fn, doubts) and first.doubt.states <= again.states:
            return _as_it_was(error, *result)
        raise other from error  # what the caller would have got before the migration
    except BaseException:  # the caller does not wait for classic's answer
        first.judge(doubts.suspects(first.tenant_id, first.doubt))
        raise
    if _judged(first, again, fn, doubts):
        return _as_it_was(error, *result)
    listener.on_event(ReadFellBack(str(first.tenant_id), first.doubt.text or ", ".join(sorted(first.doubt.states))))
    return answered, False


def _judged(first: ReadSteps, again: ReadSteps, fn: Fn, doubts: Doubts) -> bool:
    """Report whose error it was to breakers and samples; return whether it was the caller's own."""
    assert first.doubt is not None
    own = explained(first.doubt.states, again.states)
    doubts.answered(_key(first, fn), own)
    first.judge(not own)
    return own


def _as_it_was(error: Exception | None, *result: Any) -> tuple[Any, bool]:
    if error is not None:
        raise error
    return result[0], True


def why(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
