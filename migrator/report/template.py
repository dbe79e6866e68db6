"""Fills the HTML templates: every value is escaped, and a missing one is an error."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from migrator.report import words


def render(name: str, **values: Any) -> str:
    """Return the page that template *name* makes of *values*. Markup, which report/svg.py makes, is not escaped.

    Raises:
        UndefinedError: the template shows a value that *values* does not have.
    """
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    loader = PackageLoader("migrator.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for say in (
        words.count,
        words.seconds,
        words.clock,
        words.short,
        words.fixed,
        words.percent,
        words.mebibytes,
        words.cut,
    ):
        environment.filters[say.__name__] = _or_dash(say)
    environment.filters["sha256"] = _sha256
    environment.globals["asset"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment


def _or_dash(say: Callable[..., str]) -> Callable[..., str]:
    """Return *say* for templates, where an unknown number is a dash."""
    return lambda value, *how: "–" if value is None else say(value, *how)


def _sha256(text: str) -> str:
    """Return what a Content-Security-Policy calls the one script or style sheet that it lets a browser run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
