"""Stores what Limitless answered when it was asked what it can do.

On Limitless itself (`migrator.probe`): the answers are that cluster's, and every session there reads them there.
Classic has a copy as a report, for status.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import psycopg

from migrator.control import history
from migrator.control.install import installed_version
from migrator.db.connect import Unwraps
from migrator.db.named import load
from migrator.model.capability import Answer, Answers, Capability
from migrator.model.wrapped import Rule

KIND = "probe"
"""Of the report on classic."""

_SQL = load("migrator.control", "answers.sql")


def answers(limitless: psycopg.Connection[Any]) -> Answers:
    """Return what this cluster answered; empty when it was never asked."""
    there = limitless.execute(_SQL["are_kept"]).fetchone()
    return _parsed(limitless.execute(_SQL["answers"]).fetchall()) if there and there[0] else Answers()


def learn(limitless: psycopg.Connection[Any]) -> Answers:
    """Return the answers; from now on errors on this connection are unwrapped by what they teach."""
    learned = answers(limitless)
    if isinstance(limitless, Unwraps):
        limitless.rules = learned.rules
    return learned


async def learn_async(limitless: psycopg.AsyncConnection[Any]) -> Answers:
    """As `learn`."""
    there = await (await limitless.execute(_SQL["are_kept"])).fetchone()
    learned = _parsed(await (await limitless.execute(_SQL["answers"])).fetchall()) if there and there[0] else Answers()
    if isinstance(limitless, Unwraps):
        limitless.rules = learned.rules
    return learned


def store(limitless: psycopg.Connection[Any], found: Iterable[Answer], version: str) -> Answers:
    """Keep the answers in place of those of before; return them as they were stored."""
    with limitless.transaction():
        limitless.execute(_SQL["forget"])
        for answer in found:
            limitless.execute(
                _SQL["store"],
                {"capability": answer.capability.value, "body": json.dumps(_body(answer)), "version": version},
            )
    return learn(limitless)


def report(classic: psycopg.Connection[Any], found: Answers) -> None:
    """Keep a copy on classic, if the tool is installed there and the copy is not there yet."""
    if installed_version(classic) is None or not found.found:
        return
    history.add_report_if_new(classic, KIND, summary(found))


def summary(found: Answers) -> dict[str, Any]:
    """Return the answers as JSON: version, time, and per capability whether it works and what is done without it."""
    return {
        "engine_version": found.version,
        "at": found.at.isoformat() if found.at else None,
        "answers": [
            {
                "capability": a.capability.value,
                "works": a.works,
                "kinds": sorted(a.kinds),
                "said": a.said,
                "needed": a.needed,
                "instead": a.instead,
            }
            for a in found.found.values()
        ],
        "blockers": list(found.blockers()),
    }


def _body(answer: Answer) -> dict[str, Any]:
    return {
        "works": answer.works,
        "said": answer.said,
        "kinds": sorted(answer.kinds),
        "rules": [asdict(rule) for rule in answer.rules],
        "needed": answer.needed,
        "instead": answer.instead,
    }


def _parsed(rows: Iterable[tuple[Any, ...]]) -> Answers:
    """Return the answers of *rows*; one that this version does not know, of another migrator's, is left out."""
    version, at, found = "", None, {}
    for name, body, engine, when in rows:
        if name not in set(Capability):
            continue
        version, at = engine, when
        found[Capability(name)] = Answer(
            Capability(name),
            bool(body["works"]),
            body["said"],
            frozenset(body["kinds"]),
            tuple(Rule(**rule) for rule in body["rules"]),
            body["needed"],
            body["instead"],
        )
    return Answers(version, at, {c: found[c] for c in Capability if c in found})
