"""Either front of the shim behind one face, so that a scenario is written once.

Scenarios are synchronous. For the front of asyncio a thread runs an event loop, on which the shim lives; what a
scenario calls is run there, and its own functions run beside it, on connections whose methods do the same.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self, TypeVar
from unittest.mock import patch

from psycopg import waiting

from migrator.shim import Shim
from migrator.shim.aio import AsyncShim

T = TypeVar("T")


LOOP = "event-loop"
"""The name of threads that must not block."""


@contextmanager
def no_loop_blocks() -> Iterator[None]:
    """Within it every call that waits on the thread of a `Loop` is noted; none may have been made.

    Raises:
        AssertionError: something waited there: for a server, a lock's condition, or for time to pass.
    """
    waited = list[str]()

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            by = sys._getframe(1)
            starts = by.f_back is not None and by.f_back.f_code.co_name == "start"  # a thread, until it runs
            waits = args[1:] != (0,)  # else it only looks
            if threading.current_thread().name == LOOP and waits and not starts:
                waited.append("".join(traceback.format_stack(by, 4)))
            return real(*args, **options)

        return called

    with ExitStack() as stack:
        for owner, name in (
            (waiting, "wait"),  # which every blocking conversation comes to
            (waiting, "wait_conn"),
            (threading.Condition, "wait"),
            (time, "sleep"),
            (socket, "getaddrinfo"),
        ):
            stack.enter_context(patch.object(owner, name, noting(getattr(owner, name))))
        yield
    assert not waited, "\n\n".join(waited)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=LOOP, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class Awaited:
    """An object of asyncio whose methods block."""

    def __init__(self, loop: Loop, it: Any) -> None:
        self.__dict__.update(_loop=loop, _it=it)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._it, name)
        if not inspect.isroutine(found) and not hasattr(found, "execute"):
            return found
        if not inspect.isroutine(found):
            return Awaited(self._loop, found)

        async def called(*args: Any, **options: Any) -> Any:
            value = found(*args, **options)
            return await value if inspect.iscoroutine(value) else value

        return lambda *args, **options: self._wrapped(self._loop.run(called(*args, **options)))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._it, name, value)

    def _wrapped(self, value: Any) -> Any:
        return Awaited(self._loop, value) if hasattr(value, "__aenter__") or hasattr(value, "__aiter__") else value

    def __enter__(self) -> Any:
        entered = self._loop.run(self._it.__aenter__())
        return self if entered is self._it else self._wrapped(entered)

    def __exit__(self, *error: Any) -> Any:
        return self._loop.run(self._it.__aexit__(*error))

    def __iter__(self) -> Iterator[Any]:
        rows = aiter(self._it)
        with suppress(StopAsyncIteration):
            while True:
                yield self._loop.run(anext(rows))


class _Session(Awaited):
    def run_read(self, tenant: str, fn: Callable[[Any], T]) -> T:
        found: T = self._loop.run(self._it.run_read(tenant, _beside(self._loop, fn)))
        return found

    def run_write(self, tenant: str, fn: Callable[[Any], T], **options: Any) -> T:
        found: T = self._loop.run(self._it.run_write(tenant, _beside(self._loop, fn), **options))
        return found


def _beside(loop: Loop, fn: Callable[[Any], T]) -> Callable[[Any], Coroutine[Any, Any, T]]:
    """Return *fn* for an event loop: it runs in a thread, on blocks that block it."""

    async def run(block: Any) -> T:
        return await asyncio.to_thread(fn, Awaited(loop, block))

    run.func = fn  # type: ignore[attr-defined] # the place of the program that its errors are known by
    return run


class OnLoop:
    """An AsyncShim with the face of a Shim."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.shim = AsyncShim(*args, **options)
        self._loop: Loop | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shim, name) if hasattr(self.shim, name) else getattr(self.shim._back, name)

    def __enter__(self) -> Self:
        self._loop = Loop()
        try:
            self._loop.run(self.shim.open())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        loop, self._loop = self._loop, None
        assert loop is not None
        try:
            loop.run(self.shim.close())
        finally:
            loop.close()

    def read(self, tenant: str, **options: Any) -> Any:
        return self._made(lambda: self.shim.read(tenant, **options))

    def write(self, tenant: str, **options: Any) -> Any:
        return self._made(lambda: self.shim.write(tenant, **options))

    def session(self, token: Any = None) -> Any:
        made = self._made(lambda: self.shim.session(token))
        return _Session(made._loop, made._it)

    def run_read(self, tenant: str, fn: Callable[[Any], T], **options: Any) -> T:
        loop = self._opened
        return loop.run(self.shim.run_read(tenant, _beside(loop, fn), **options))

    def run_write(self, tenant: str, fn: Callable[[Any], T], **options: Any) -> T:
        loop = self._opened
        return loop.run(self.shim.run_write(tenant, _beside(loop, fn), **options))

    def outcome(self, xid: int) -> str | None:
        return self._opened.run(self.shim.outcome(xid))

    @property
    def _opened(self) -> Loop:
        return self._loop or Loop()

    def _made(self, make: Callable[[], Any]) -> Awaited:
        async def made() -> Any:
            return make()

        loop = self._opened
        return Awaited(loop, loop.run(made()))


FRONTS: dict[str, Callable[..., Any]] = {"threads": Shim, "asyncio": OnLoop}
