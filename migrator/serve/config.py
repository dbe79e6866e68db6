"""What a board server was told: checked once, before it listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from migrator.errors import UsageError

SHORTEST_TOKEN = 16
"""Characters of a token: fewer can be guessed."""


@dataclass(frozen=True, slots=True)
class Config:
    """How the server was started.

    Attributes:
        dsn: returns classic's connection string; called for each new connection, because secrets change.
        token: who signs in with it may act; None: the board is read-only.
        read_token: who signs in with it, or sends it, may read; None: everybody who reaches the server may.
        personal: people may sign in as approvers of the plan, each with a token of their own or through a proxy.
        root_path: prefix under which a proxy serves the board, without a slash at its end.
        origins: addresses that browsers show where a proxy changes the Host header, as https://ops.example.com.
        loopback: whether it listens on this machine's own address only.
        proxied: a proxy stands before it, so it is asked under other names than its own.
        every_s, idle_s: seconds between two looks at classic while somebody watches, and while no one does.
        most_viewers: live views at once.
    """

    dsn: Callable[[], str]
    token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    personal: bool = False
    root_path: str = ""
    origins: tuple[str, ...] = ()
    loopback: bool = True
    proxied: bool = False
    every_s: float = 2.0
    idle_s: float = 30.0
    most_viewers: int = 100

    def __post_init__(self) -> None:
        for name, token in (("token", self.token), ("read token", self.read_token)):
            if token is not None and len(token) < SHORTEST_TOKEN:
                raise UsageError(
                    f"the board's {name} has {len(token)} characters; it needs at least {SHORTEST_TOKEN}",
                    hint="Make one with: openssl rand -hex 24",
                )
        if self.token is not None and self.token == self.read_token:
            raise UsageError("the board's token and its read token are the same", hint="Who may read could then act.")

    @property
    def acts(self) -> bool:
        """Whether people may sign in and act."""
        return self.token is not None or self.personal

    @property
    def any_host(self) -> bool:
        """Whether requests may name any host: where it is reached by names of its own network, or through a proxy.

        On loopback only its own names are taken, or a page elsewhere whose name resolves to 127.0.0.1 could read it.
        """
        return not self.loopback or (self.proxied and not self.origins)


def root_path(text: str) -> str:
    """Return a prefix as the server uses it: "" or "/path".

    Raises:
        UsageError: it is none.
    """
    found = text.strip().rstrip("/")
    if not found:
        return ""
    parts = urlsplit(found)
    if not found.startswith("/") or found.startswith("//") or parts.query or parts.fragment or not found.isprintable():
        raise UsageError(f"{text!r} is no path", hint="Write it as --root-path /migrator")
    return found


def origin(text: str) -> str:
    """Return an address as browsers send it in the header Origin.

    Raises:
        UsageError: it is none.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.path.strip("/"):
        raise UsageError(f"{text!r} is no address of a server", hint="Write it as --origin https://ops.example.com")
    return f"{parts.scheme}://{parts.netloc}".lower()


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine's own address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
