"""Fills the board's templates: pages, and the sections that a live view replaces one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from migrator import __version__
from migrator.model.shown import duration, safe
from migrator.model.status import Status
from migrator.report import words
from migrator.report.template import environment
from migrator.serve import charts
from migrator.serve.calendar import calendar
from migrator.serve.feed import Seen
from migrator.serve.over_time import over_time
from migrator.serve.picture import Picture
from migrator.serve.view import Headline, headline, phase_name, waits

MOST_WAITS = 20
MOST_WAVES = 12
_CHIPS = ("mirrored", "copying", "pending", "quarantined")


def told(text: object) -> str:
    """Return a message of ours, whose lines stay lines."""
    return "\n".join(map(safe, str(text).split("\n")))


def utc(moment: datetime, form: str) -> str:
    """Return *moment* in UTC."""
    return moment.astimezone(UTC).strftime(form)


@cache
def _environment() -> Environment:
    return environment(
        "migrator.serve",
        named=safe,
        told=told,
        utc=utc,
        duration=duration,
        words=phase_name,
        g=lambda value: f"{value:g}",
    )


def page(template: str, /, **values: Any) -> str:
    """Return the page that *template* makes of *values*."""
    return _environment().get_template(template).render(release=__version__, **values)


def title(seen: Seen) -> str:
    """Return what a browser's tab says."""
    found = headline(seen)
    mark = {"bad": "✗ ", "wait": "◌ ", "done": "✓ "}.get(found.tone, "")
    return f"{mark}{plan_of(seen) or 'migrator'}: {found.text}"


def plan_of(seen: Seen) -> str | None:
    return seen.picture.status.plan if seen.picture else None


def style() -> str:
    """Return the style sheet: that of the reports, its colours again for who chooses light or dark, and the board's."""
    reports = asset_of("style.css")
    light, dark = re.findall(r":root \{([^}]*)\}", reports)[:2]
    chosen = f':root[data-theme="light"] {{{light} color-scheme: light; }}\n'
    chosen += f':root[data-theme="dark"] {{{dark} color-scheme: dark; }}\n'
    return f"{reports}\n@media screen {{\n{chosen}}}\n{asset_of('board.css')}"


def asset_of(name: str) -> str:
    """Return the text of a file beside the templates."""
    read: Callable[[str], Markup] = _environment().globals["asset"]  # type: ignore[assignment]  # jinja2 types no global
    return str(read(name))


def sections(seen: Seen, *, root: str, acting: bool) -> Mapping[str, Markup]:
    """Return the sections of the board by name, in their order; the same for every viewer."""
    picture, found = seen.picture, headline(seen)
    status = picture.status if picture else None
    shared: dict[str, Any] = {
        "root": root,
        "acting": acting,
        "s": None if status is None or not status.phase else status,
    }
    made = {"now": _draw("now.html", **shared, **_now(seen, found))}
    if picture is None or status is None or status.phase is None:
        return made
    shared["at"] = status.at
    made["phases"] = _draw("phases.html", **shared, **_phases(picture))
    made["flow"] = _draw("flow.html", **shared, **over_time(picture.series))
    made["tenants"] = _draw("tenants_section.html", **shared, **_tenants(status))
    made["health"] = _draw("health.html", **shared, **_health(status))
    made["cost"] = _draw("cost.html", **shared)
    made["incidents"] = _draw("incidents.html", **shared, incidents=picture.incidents)
    made["decisions"] = _draw("decisions.html", **shared)
    return made


def _draw(template: str, /, **values: Any) -> Markup:
    return Markup(_environment().get_template(template).render(values))  # the template escapes what it shows


def _now(seen: Seen, found: Headline) -> dict[str, Any]:
    status = seen.picture.status if seen.picture else None
    waiting = waits(seen.picture.conditions) if seen.picture else ()
    return {
        "headline": found,
        "trouble": seen.trouble,
        "known": status is not None,
        "at": status.at if status else None,
        "age_s": round(seen.age_s or 0) if seen.trouble else 0,
        "waits": waiting[:MOST_WAITS],
        "more_waits": max(len(waiting) - MOST_WAITS, 0),
        "steps": status.next_steps if status else (),
        "installed": status is not None and status.phase is not None,
        "over": status is not None and status.write_mode == "limitless_only",
        "rolled_back": status is not None and status.switch != "limitless",
    }


def _phases(picture: Picture) -> dict[str, Any]:
    status = picture.status
    found = calendar(status.phases, status.started_at, status.at, picture.weeks)
    return {"calendar": found, "strip": charts.strip(found), "current": status.phase}


def _tenants(status: Status) -> dict[str, Any]:
    levels = dict(status.by_level)
    states = dict(status.by_state)
    bar = [(name, name, levels.get(name, 0)) for name in ("limitless", "joining", "classic")]
    back = sum(wave.rolled_back for wave in status.waves)
    chips = [(name, name, states[name]) for name in _CHIPS if states.get(name)]
    chips += [(name, label, number) for name, label, number in (
        ("held", "held", status.held_count),
        ("rolled_back", "rolled back", back),
        ("divergent", "divergent", status.validation.divergent_tenants if status.validation else 0),
    ) if number]  # fmt: skip
    return {
        "levels": levels,
        "shares": charts.shares(bar, "Tenants by the side their reads come from"),
        "chips": chips,
        "waves": status.waves[::-1][:MOST_WAVES],
        "more_waves": max(len(status.waves) - MOST_WAVES, 0),
    }


def _health(status: Status) -> dict[str, Any]:
    live = [p for p in status.processes if p.live]
    return {
        "tiles": list(_tiles(status)),
        "live": len(live),
        "behind": sum(p.behind > 0 for p in live),
        "silent": len(status.processes) - len(live),
    }


def _tiles(status: Status) -> Sequence[dict[str, str]]:
    seen = status.validation
    depth = sum(part.depth for part in status.parts)
    troubled = any(part.problem for part in status.parts)
    found = [
        _tile("mirror lag", duration(status.lag_s) if status.parts else "–", f"{depth:,} keys a cycle", troubled),
        _tile("journal", f"{status.journal_mb:,.1f} MB", "on classic"),
    ]
    if seen is None or seen.finished_at is None:
        found.append(_tile("last validation", "never", "no validation has finished"))
    else:
        rows = f"{words.count(seen.rows)} rows, {seen.kind or ''}"
        found.append(_tile("last validation", f"{duration(seen.age_s)} ago", rows))
        bad = bool(seen.divergent_tenants or seen.unrepaired)
        note = f"of {words.count(status.tenants)}; {words.count(seen.never)} never validated"
        found.append(_tile("divergent tenants", words.count(seen.divergent_tenants), note, bad, not bad))
    open_now = status.fallback_count + len(status.breaker_trips)
    found.append(_tile("fallbacks", words.count(status.fallback_count), "in force", bool(open_now), not open_now))
    found.append(_tile("incidents", words.count(status.incidents), "since the start"))
    found.append(
        _tile("writes", status.write_mode.replace("_", " "), f"epoch {status.epoch}", status.write_mode == "closed")
    )
    return found


def _tile(label: str, number: str, note: str, bad: bool = False, good: bool = False) -> dict[str, str]:
    return {"label": label, "number": number, "note": note, "css": "bad" if bad else "good" if good else ""}
