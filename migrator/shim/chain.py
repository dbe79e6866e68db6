"""Who is told of a write that was committed: the session it belongs to, and what counts."""

from __future__ import annotations

from typing import Protocol

from migrator.model.ack import Ack
from migrator.shim.token import SessionToken, Token


class Chain(Protocol):
    """Takes the tokens of a session's writes; see migrator.shim.session."""

    @property
    def token(self) -> SessionToken: ...
    def add(self, write: Token, before: SessionToken) -> None: ...


class Wrote(Protocol):
    """Is told of a write that was committed, and how long it waited for its acknowledgement."""

    def __call__(self, ack: Ack, waited_ms: float, *, unconfirmed: bool) -> None: ...
