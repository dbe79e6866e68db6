"""Fills the HTML templates: every value is escaped, none is hidden, and a missing one is an error."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from migrator.report import words


def render(name: str, **values: Any) -> str:
    """Return the page that template *name* makes of *values*. Markup, which report/svg.py makes, is not escaped.

    Raises:
        UndefinedError: the template shows a value that *values* does not have.
    """
    return _own().get_template(name).render(values)


@cache
def _own() -> Environment:
    return environment()


def environment(*packages: str, **filters: Callable[..., Any]) -> Environment:
    """Return an environment for the templates of *packages*, which may use those of reports too, with *filters* besides
    those of words.py."""
    loader = ChoiceLoader([PackageLoader(package) for package in (*packages, "migrator.report")])
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    for say in (
        words.count,
        words.seconds,
        words.seconds_long,
        words.moment,
        words.clock,
        words.short,
        words.fixed,
        words.percent,
        words.mebibytes,
        words.cut,
    ):
        made.filters[say.__name__] = _or_dash(say)
    made.filters["sha256"] = _sha256
    made.filters.update(filters)
    made.globals["asset"] = lambda name: Markup(loader.get_source(made, name)[0])
    return made


def _visible(value: Any) -> Any:
    """Return what is shown of a value: no text that others wrote hides or turns round what follows it."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _or_dash(say: Callable[..., str]) -> Callable[..., str]:
    """Return *say* for templates, where an unknown number is a dash."""
    return lambda value, *how: "–" if value is None else say(value, *how)


def _sha256(text: str) -> str:
    """Return what a Content-Security-Policy calls the one script or style sheet that it lets a browser run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
