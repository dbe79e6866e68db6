"""`status --watch` where no terminal is: a line for each change, and one every half minute, with the time.

For a log, a chat or `grep`; with --json each is one JSON document on one line. A terminal is redrawn instead
(`migrator.cli.status`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from migrator.cli.lines import safe
from migrator.cli.render import causes, duration, plain
from migrator.model.counted import counted
from migrator.model.status import Status

SILENCE_S = 30.0
"""Without a change a line comes so often, so that a reader sees that it goes on."""


def lines(status: Status) -> tuple[str, ...]:
    """Return what has to change for another line: phase, wave, tenants, what is blocked. Pure."""
    if not status.installed or status.phase is None:
        return (*status.blockers, *status.next_steps)
    parts = [f"{status.phase.replace('_', ' ')} {status.phase_state or ''}".strip()]
    parts += [f"wave {status.wave}"] if status.wave else []
    parts.append(f"writes {status.write_mode.replace('_', ' ')}")
    parts.append("reads: " + (", ".join(f"{count:,} {level}" for level, count in status.by_level if count) or "none"))
    parts += [f"{count:,} {state}" for state, count in status.by_state if state != "mirrored"]
    if status.fallback_count:
        parts.append(f"{status.fallback_count:,} fallen back")
    parts.append(f"blocked: {len(status.blockers)}" if status.blockers else "nothing is blocked")
    return (", ".join(parts), *causes(status.blockers, how="migrator status --all"))


def moving(status: Status) -> str:
    """Return what is different each time: lag, and how far the copy is. Pure."""
    said = [f"{duration(status.lag_s)} behind"] if status.parts else []
    if (copy := status.backfill) is not None and copy.done < copy.units:
        left = f", {duration(copy.eta_s)} left" if copy.eta_s is not None else ""
        said.append(f"copied {copy.copied_rows:,} of about {counted(copy.rows, 'row')}{left}")
    return "; ".join(said)


class Printer:
    """Prints on stdout what is new; `now` is seconds of a clock that never goes back."""

    def __init__(self, *, as_json: bool, now: Callable[[], float] = time.monotonic) -> None:
        self.as_json, self.now = as_json, now
        self._last: tuple[str, ...] = ()
        self._at = float("-inf")

    def seen(self, status: Status) -> None:
        what = lines(status)
        if not self._is_new(what):
            return
        if self.as_json:
            self._print(json.dumps(plain(status), ensure_ascii=False))
            return
        first, *rest = what or ("",)
        self._stamped(f"{first}; {found}" if (found := moving(status)) else first, *rest)

    def unreachable(self, why: str) -> None:
        if not self._is_new((why,)):
            return
        if self.as_json:
            self._print(json.dumps({"at": datetime.now(UTC).isoformat(), "error": why}, ensure_ascii=False))
        else:
            self._stamped(f"classic does not answer: {why}")

    def _is_new(self, what: tuple[str, ...]) -> bool:
        if what == self._last and self.now() - self._at < SILENCE_S:
            return False
        self._last, self._at = what, self.now()
        return True

    def _stamped(self, *texts: str) -> None:
        self._print(*(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {safe(text)}" for text in texts))

    def _print(self, *texts: str) -> None:
        print(*texts, sep="\n", flush=True)  # a reader that has gone ends it: BrokenPipeError
