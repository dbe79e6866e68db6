"""Who is signed in: sessions in memory that expire, and a bound on wrong tokens. No HTTP here.

A session is lost when the server is started again; its holder signs in again. The cookie is a random number that means
nothing elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migrator.governance.cast import Claim

IDLE_S = 1800.0
"""A session that is not used for so long may act no more."""
LONGEST_S = 8 * 3600.0
"""Nor may one that was begun so long ago."""
READS_S = 7 * 86_400.0
"""So long a session may read, where reading needs one: boards hang on walls."""
MOST_SESSIONS = 200
MOST_PREPARED = 20
LONGEST_NAME = 80

WRONG = 5
WRONG_IN_ALL = 100
WRONG_S = 60.0
"""After so many wrong tokens within so many seconds, of one address or of all together, none is looked at."""
MOST_ADDRESSES = 1000


@dataclass(slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        acts: whether they may do more than read.
        csrf: what forms of this session carry.
        claim: how it is known who they are, for approvals; None: by a token that others have too.
        prepared: what was shown to them and waits for their yes, by a random number; the oldest are forgotten.
    """

    name: str
    acts: bool
    csrf: str
    began_s: float
    used_s: float
    claim: Claim | None = field(default=None, repr=False)
    prepared: OrderedDict[str, Any] = field(default_factory=OrderedDict)

    def prepare(self, what: Any) -> str:
        """Keep *what* for a yes, and return its number."""
        number = secrets.token_urlsafe(18)
        self.prepared[number] = what
        while len(self.prepared) > MOST_PREPARED:
            self.prepared.popitem(last=False)
        return number


@dataclass(frozen=True, slots=True)
class Refused:
    """Why somebody was not signed in. retry_s: seconds after which a token is looked at; None: it was wrong."""

    why: str
    retry_s: int | None = None


class Sessions:
    """All sessions of a server.

    Args:
        token: lets its holder act; None: no one may.
        read_token: lets its holder read; None: reading needs none.
        clock: seconds that only grow.
    """

    def __init__(self, token: str | None, read_token: str | None, clock: Callable[[], float]) -> None:
        self._token, self._read_token = _digest(token), _digest(read_token)
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def sign_in(self, address: str, name: str, token: str) -> str | Refused:
        """Return the cookie of a new session, or why there is none."""
        now = self._clock()
        if (wait_s := self._wait_s(address, now)) is not None:
            return Refused(f"Too many wrong tokens. Try again in {wait_s} s.", wait_s)
        acts, reads = self._rights(token)
        if not (acts or reads):
            self._note_wrong(address, now)
            return Refused("That is not the token.")
        said = " ".join(name.split())
        if not said or len(said) > LONGEST_NAME or not said.isprintable():
            return Refused(f"Give your name, in at most {LONGEST_NAME} characters: decisions are recorded under it.")
        return self._begin(Session(said, acts, secrets.token_urlsafe(24), now, now))

    def open(self, claim: Claim) -> str:
        """Return the cookie of a new session of an approver, who was authenticated."""
        now = self._clock()
        return self._begin(Session(claim.name, True, secrets.token_urlsafe(24), now, now, claim))

    def _begin(self, session: Session) -> str:
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """Return the session of *cookie*, used now; None where there is none or it has expired."""
        session = self.peek(cookie)
        if session is not None:
            session.used_s = self._clock()
        return session

    def peek(self, cookie: str | None) -> Session | None:
        """Return the same without using it: a page that is open is no sign of somebody before it."""
        session = self._sessions.get(cookie) if cookie else None
        if session is None or cookie is None:
            return None
        now = self._clock()
        if session.acts and (now - session.used_s > IDLE_S or now - session.began_s > LONGEST_S):
            session.acts, session.csrf, session.claim = False, secrets.token_urlsafe(24), None
            session.prepared.clear()
        if not session.acts and (self._read_token is None or now - session.began_s > READS_S):
            del self._sessions[cookie]
            return None
        return session

    def sign_out(self, cookie: str | None) -> None:
        """End the session of *cookie*."""
        if cookie:
            self._sessions.pop(cookie, None)

    def may_read(self, token: str) -> bool:
        """Return whether *token* lets its bearer read; for programs, which have no session."""
        return any(self._rights(token))

    def wait_s(self, address: str) -> int | None:
        """Return for how many seconds no token of *address* is looked at; None: it is."""
        return self._wait_s(address, self._clock())

    def note_wrong(self, address: str) -> None:
        """Count a wrong token."""
        self._note_wrong(address, self._clock())

    def _rights(self, token: str) -> tuple[bool, bool]:
        """Return whether *token* lets act, and read; both are compared, each in constant time."""
        given = _digest(token) or b""
        acts = hmac.compare_digest(given, self._token or b"") and self._token is not None
        reads = hmac.compare_digest(given, self._read_token or b"") and self._read_token is not None
        return acts, acts or reads

    def _wait_s(self, address: str, now: float) -> int | None:
        recent = [at for at in self._wrong.get(address, ()) if now - at < WRONG_S]
        everybody = [at for found in self._wrong.values() for at in found if now - at < WRONG_S]
        oldest = recent[-WRONG] if len(recent) >= WRONG else None
        if oldest is None and len(everybody) >= WRONG_IN_ALL:
            oldest = sorted(everybody)[-WRONG_IN_ALL]
        return None if oldest is None else max(1, round(WRONG_S - (now - oldest)))

    def _note_wrong(self, address: str, now: float) -> None:
        found = self._wrong.setdefault(address, [])
        found[:] = [*(at for at in found[-WRONG:] if now - at < WRONG_S), now]
        self._wrong.move_to_end(address)
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)


def _digest(token: str | None) -> bytes | None:
    return None if token is None else hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
