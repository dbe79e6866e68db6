"""What a read returned, in a form that is equal on both sides when the rows are: shadow reads compare texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Row
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.base import instance_state
from sqlalchemy.orm.exc import UnmappedInstanceError

from migrator.shim import Read

T = TypeVar("T")

DEPTH = 8
"""Collections inside of each other that are looked into; objects refer to each other in circles."""


def comparable(value: Any, depth: int = DEPTH) -> Any:
    """Return *value* with each mapped object in it as its class and the columns that were loaded, sorted by name."""
    if depth <= 0:
        return type(value).__name__
    if isinstance(value, Row):
        return tuple(comparable(v, depth - 1) for v in value)
    if isinstance(value, Mapping):
        return {key: comparable(v, depth - 1) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(v, depth - 1) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(comparable(v, depth - 1)) for v in value)
    state = _state(value)
    if state is None:
        return value
    columns = sorted(state.mapper.column_attrs.keys())
    return (state.class_.__qualname__, [(name, state.dict[name]) for name in columns if name in state.dict])


class OneRead(Generic[T]):
    """What a shim runs for a function of a session."""

    def __init__(self, func: Callable[..., object], run: Callable[[Read], T]) -> None:
        self.func = func
        self._run = run

    def __call__(self, read: Read) -> T:
        found = self._run(read)
        # What is given for a shadow read is no Read, and its result is compared and thrown away.
        return found if isinstance(read, Read) else cast(T, comparable(found))


def _state(value: Any) -> InstanceState[Any] | None:
    try:
        found = instance_state(value)
    except (AttributeError, UnmappedInstanceError):
        return None
    return found if isinstance(found, InstanceState) else None
