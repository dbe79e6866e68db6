"""Tries a client of the contract: one scene for each promise, in two scratch databases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from migrator.contract import endings, trials
from migrator.contract.client import ClientFailed, ClientNotStarted, ClientUnusable, words
from migrator.contract.promise import Finding, Promise, broken, not_shown
from migrator.contract.scene import Scene, check_empty, scene
from migrator.errors import MigratorError, UsageError

TRIALS: dict[Promise, Callable[[Scene], Finding]] = {
    Promise.ACKNOWLEDGED: trials.acknowledged,
    Promise.BOUNDED: trials.bounded,
    Promise.CONFIRMED: trials.confirmed,
    Promise.PROCESS_FROZEN: trials.process_frozen,
    Promise.CLASSIC_FROZEN: trials.classic_frozen,
    Promise.SESSION: trials.session,
    Promise.CLOSED: endings.closed,
    Promise.LOST_ANSWER: trials.lost_answer,
    Promise.HAND_OVER: endings.hand_over,
}


HOW = 'Start it by hand: it answers a line like {"id": 1, "do": "start", ...} with "ok": true; see docs/contract.md.'

TRIES = 3
"""A trial that could not show anything is done again: on a busy computer processes may come too late to it."""


def conformance(
    command: str,
    classic_dsn: str,
    limitless_dsn: str,
    promises: Sequence[Promise] = (),
    *,
    application: bool = False,
    on_finding: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """Try the client that *command* starts; return what was found of each of *promises* (none: of all).

    Both databases must hold nothing but what extensions brought, and hold nothing afterwards; the roles of the
    connection strings may make schemas there, and roles on classic.

    Args:
        application: give the client's role what shims need, and not only the contract's functions.

    Raises:
        UsageError: *command* cannot be started, or the client never started: then nothing is judged.
        PreconditionFailed: a database is not empty, or both are one.
    """
    words(command)
    check_empty(classic_dsn, limitless_dsn)
    findings: list[Finding] = []
    for promise in promises or tuple(TRIALS):
        began_s = time.monotonic()
        for _ in range(TRIES):
            try:
                finding = _tried(promise, command, classic_dsn, limitless_dsn, application=application)
            except ClientUnusable as error:  # would do so again
                if isinstance(error, ClientNotStarted) and not findings:
                    hint = f"No promise was tried. {HOW}"
                    raise UsageError(error.lines[0], hint=hint, problems=error.lines[1:]) from None
                finding = not_shown(promise, *error.lines)
                break
            if finding.kept is not None:
                break
        finding = replace(finding, seconds=time.monotonic() - began_s)
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)
    return findings


def _tried(promise: Promise, command: str, classic_dsn: str, limitless_dsn: str, *, application: bool) -> Finding:
    try:
        with scene(classic_dsn, limitless_dsn, command, application=application) as made:
            return TRIALS[promise](made)
    except ClientFailed as error:
        return broken(promise, str(error))
    except (UsageError, ClientUnusable):
        raise  # the command, or the program behind it
    except MigratorError as error:  # of the reference, or of what an operator does
        return not_shown(promise, f"the trial broke off: {error}")
