"""A check: which facts it needs, and what they mean. Found by themselves in `checks/`, one file a group."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.doctor import checks
from migrator.doctor.facts import Facts, Section, Unasked
from migrator.doctor.finding import Finding, problem, unknown
from migrator.errors import UsageError
from migrator.model import near

NOT_REACHED = "not known, since it was not reached"

RIGHT_MISSING = "42501"


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        name: `group.question`, stable: part of `--json`.
        sections: the facts it needs; nothing else is read when it is asked alone.
        judge: pure; what the facts mean.
    """

    name: str
    sections: Sequence[Section[Any]]
    judge: Callable[[Facts], Iterable[Finding]]

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


def every() -> tuple[Check, ...]:
    """Return the checks of all groups, in the order in which they are shown."""
    found: list[tuple[int, str, Sequence[Check]]] = []
    for module in pkgutil.iter_modules(checks.__path__, f"{checks.__name__}."):
        loaded = importlib.import_module(module.name)
        found.append((getattr(loaded, "ORDER", 100), module.name, loaded.CHECKS))
    return tuple(check for _, _, group in sorted(found, key=lambda one: one[:2]) for check in group)


def chosen(checks: Sequence[Check], groups: Collection[str]) -> tuple[Check, ...]:
    """Return the checks of *groups*; all where none is named.

    Raises:
        UsageError: there is no such group.
    """
    there = list(dict.fromkeys(check.group for check in checks))
    if strange := [group for group in groups if group not in there]:
        raise UsageError(near.unknown("group of checks", strange, there), hint=f"Groups: {', '.join(there)}.")
    return tuple(check for check in checks if not groups or check.group in groups)


def findings(check: Check, facts: Facts) -> list[Finding]:
    """Return what *check* says: first of what could not be read."""
    found = [unread(server.name, section.name, lacking) for section in check.sections
             for server, lacking in facts.each(section) if isinstance(lacking, Unasked)]  # fmt: skip
    try:
        return found + list(check.judge(facts))
    except Exception as error:  # a bug in one check must not take the others' answers away
        text = f"the check ended with an unexpected {type(error).__name__}"
        return [*found, unknown(check.name, text, do="This is a bug. MIGRATOR_DEBUG=1 shows the trace.")]


def unread(server: str, section: str, lacking: Unasked) -> Finding:
    """Return what is said where facts could not be read."""
    if not lacking.heard:
        return unknown(server, NOT_REACHED)
    if lacking.sqlstate == RIGHT_MISSING:
        return problem(
            server,
            f"{section} cannot be read: {lacking.why}",
            "the tool's role lacks a right, so this is not known",
            "docs/privileges.md lists what the tool's roles need",
        )
    return unknown(server, f"{section} is unknown: {lacking.why}", do=lacking.hint or "Run it again.")
