"""Plays the people and the monitoring of a rehearsal: takes every notification, scrapes every worker's metrics.

The receiver stands for a chat's webhook; what it was sent, and when, is in the report beside what had happened.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from migrator.local.process import free_port
from migrator.model.condition import ABOUT, Kind

RECEIVER = "MIGRATOR_REHEARSAL_RECEIVER"
"""The variable that names the receiver's address to workers."""

SECTION = f"""
[notify]
look_s = 1.0
tell_after_s = 1.0
over_after_s = 2.0
quiet_start_s = 1.0
unreachable_s = 1.0

[notify.receiver.rehearsal]
kind = "slack"
url = "env:{RECEIVER}"
"""
"""What a rehearsal adds to a plan without a receiver."""

EXPECTED: Mapping[str, tuple[Kind, ...]] = {
    "replica_frozen": (Kind.REPLICAS_OUT,),
    "classic_killed": (Kind.CLASSIC_UNREACHABLE,),
    "limitless_killed": (Kind.FALLBACK, Kind.MIRROR_STALLED),
    "rollback": (Kind.ROLLBACK,),
    "incident": (Kind.INCIDENT, Kind.WINDOW_RESTARTED),
    "right_lost": (Kind.FALLBACK, Kind.WINDOW_RESTARTED, Kind.INCIDENT),
    "handed_over": (Kind.HANDED_OVER,),
}
"""By the rehearsal's events: what somebody hears of each."""

PROMISED = ("limitless_killed", "rollback", "incident", "handed_over")
"""Events that are always heard of: they are decisions, or last long enough. Others may be over before they are told."""

_EVERY_S = 1.0
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One that arrived: when, by the monotonic clock, its headline and its text."""

    at: float
    headline: str
    text: str


@dataclass(slots=True)
class Told:
    """A receiver of Slack-compatible messages on this machine."""

    messages: list[Message] = field(default_factory=list)
    unreadable: int = 0
    url: str = ""

    def _take(self, body: bytes) -> None:
        at = time.monotonic()
        try:
            blocks = json.loads(body)["blocks"]
            headline = str(blocks[0]["text"]["text"]).rpartition(": migrator ")[2]  # without the picture before it
            text = str(blocks[1]["text"]["text"])
        except (ValueError, LookupError, TypeError):
            self.unreadable += 1
            return
        self.messages.append(Message(at, headline, text))

    @contextmanager
    def listening(self) -> Iterator[None]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told._take(self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the screen is the rehearsal's."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one event of the rehearsal.

    Attributes:
        headline: of the first message about it; empty when there was none.
        seconds: from the event's beginning to the message.
    """

    event: str
    headline: str = ""
    seconds: float | None = None


def heard(events: Sequence[tuple[str, float]], messages: Sequence[Message]) -> list[Heard]:
    """Match *events* (name, when it began) with *messages*, in time order, each message with one. Pure."""
    found, taken = [], set[int]()
    for name, at in sorted(events, key=lambda event: event[1]):
        titles = [ABOUT[kind].title for kind in EXPECTED.get(name, ())]
        if not titles:
            continue
        first = next(
            (
                (i, message)
                for i, message in enumerate(messages)
                if message.at >= at
                and i not in taken
                and any(message.headline.endswith(title) for title in titles)
                and ": OVER: " not in message.headline
            ),
            None,
        )
        if first is None:
            found.append(Heard(name))
            continue
        taken.add(first[0])
        found.append(Heard(name, first[1].headline, first[1].at - at))
    return found


@dataclass(slots=True)
class Scraper:
    """Asks workers for their metrics, as Prometheus does.

    Attributes:
        names: of metrics that had a value at least once; a histogram's parts count as one.
        scrapes, failed: how often they were asked, and how often one that ran did not answer.
        longest_s: of the answers.
    """

    names: set[str] = field(default_factory=set)
    scrapes: int = 0
    failed: int = 0
    longest_s: float = 0.0
    _ports: dict[str, int] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def address_of(self, worker: str) -> str:
        """Return the address that *worker* is to serve its metrics on."""
        self._ports[worker] = free_port()
        return f"127.0.0.1:{self._ports[worker]}"

    def forget(self, worker: str) -> None:
        """It is killed, or ended."""
        self._ports.pop(worker, None)
        self._answered.discard(worker)

    @contextmanager
    def scraping(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for worker, port in list(self._ports.items()):
                self._scrape(worker, port)

    def _scrape(self, worker: str, port: int) -> None:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                page = answer.read().decode()
        except (OSError, urllib.error.URLError):
            self.failed += worker in self._answered and worker in self._ports  # before its first it is starting
            return
        self._answered.add(worker)
        self.scrapes += 1
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.names |= set(named(page))


def named(page: str) -> Iterator[str]:
    """Yield the names of the families with a sample on *page*, which is in Prometheus' text format. Pure."""
    kinds: dict[str, str] = {}
    for line in page.splitlines():
        match line.split(" ", 3):
            case ["#", "TYPE", name, kind]:
                kinds[name] = kind
            case [sample, *_] if sample and not sample.startswith("#"):
                name = sample.partition("{")[0]
                base = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), "")
                yield base if kinds.get(base) == "histogram" else name


def told_section(told: Told, scraper: Scraper, events: Sequence[tuple[str, float]], began: float) -> dict[str, Any]:
    """Return the report's part about notifications and metrics."""
    from migrator.metrics.catalogue import CATALOGUE
    from migrator.metrics.metric import Origin

    names = {metric.name for metric in CATALOGUE if metric.origin is not Origin.SHIM}  # those are in the application
    return {
        "messages": [
            {"at_s": round(m.at - began, 2), "headline": m.headline, "text": m.text} for m in list(told.messages)
        ],
        "unreadable": told.unreadable,
        "events": [
            {"event": h.event, "headline": h.headline, "seconds": None if h.seconds is None else round(h.seconds, 2)}
            for h in heard(events, list(told.messages))
        ],
        "metrics": {
            "scrapes": scraper.scrapes,
            "failed": scraper.failed,
            "longest_s": round(scraper.longest_s, 3),
            "seen": len(scraper.names & names),
            "of": len(names),
            "never": sorted(names - scraper.names),
            "temporal": sum(name.startswith("temporal_") for name in scraper.names),
        },
    }
