"""Asks every server at once, each in a thread of its own, and none for longer than its bound.

A server that is frozen answers neither a statement nor a cancellation: its thread is given up, its socket shut, and
what it was asked is unknown. Nothing is written anywhere.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from migrator import settings
from migrator.db.error_text import server_message
from migrator.doctor.check import NOT_REACHED, Check, findings
from migrator.doctor.checks.reach import CHECKS as WAYS
from migrator.doctor.checks.reach import REACHED
from migrator.doctor.facts import POSTGRES, Facts, Kind, Section, Server, Unasked
from migrator.doctor.finding import Answer, Diagnosis, Level
from migrator.doctor.reach import Reached, Stage, reach
from migrator.doctor.targets import Targets
from migrator.errors import MigratorError, UsageError
from migrator.plan.schema import Plan

BOUND_S = 5.0
"""A server that has said nothing for so long is not waited for."""

WHOLE_S = 25.0
"""Nor is one that answers slowly, again and again."""

(WAY,) = WAYS

Open = Callable[[Plan | None], Any]
"""What to ask a server that is no PostgreSQL through; MigratorError when it cannot be reached."""


@dataclass
class _Line:
    """One server while it is asked: its thread puts what it learns into *said*."""

    server: Server
    sections: list[Section[Any]]
    heard_at: float
    socket: socket.socket | None = None
    done: bool = False
    read: dict[str, Any] = field(default_factory=dict)

    def drop(self) -> None:
        """Wake a thread that waits for a server that does not answer."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


def diagnose(targets: Targets, checks: Sequence[Check], openers: Mapping[Kind, Open] | None = None) -> Diagnosis:
    """Return what *checks* say of the servers of *targets*.

    Args:
        openers: how servers other than PostgreSQL are opened; those without one are not asked.
    """
    began = time.monotonic()
    wanted = {section.name: section for check in checks for section in check.sections}
    lines = [
        _Line(server, [s for s in wanted.values() if server.kind in s.on and s.name != REACHED.name], began)
        for server in targets.servers
    ]
    _ask_all(lines, targets, openers or {})
    read = {(line.server.name, name): value for line in lines for name, value in line.read.items()}
    facts = Facts(targets.plan, targets.problems, targets.source, targets.servers, read)
    answers = [Answer(check.group, check.name, f) for check in checks for f in findings(check, facts)]
    if not any(check.group == WAY.group for check in checks):  # why something is unknown is said whatever was chosen
        silent = {line.server.name for line in lines if line.sections and not _heard(line)}
        answers += [Answer(WAY.group, WAY.name, f) for f in findings(WAY, facts) if f.subject in silent]
    outside = [line for line in lines if line.server.kind is not Kind.HERE and (line.read or line.sections)]
    asked = sum(_heard(line) for line in outside)
    return Diagnosis(tuple(once(answers)), asked, len(outside), time.monotonic() - began)


def once(answers: Sequence[Answer]) -> list[Answer]:
    """Return *answers* without those that say no more than another one of their group. Pure.

    That a server was not reached is said once by a group, and not at all where the group says what follows from it.
    """
    kept: list[Answer] = []
    for answer in answers:
        same = [other for other in answers if other.group == answer.group and other is not answer]
        said = any(o.finding.subject == answer.finding.subject and o.finding.level is Level.PROBLEM for o in same)
        if answer.finding.text == NOT_REACHED and said:
            continue
        if any(other.group == answer.group and other.finding == answer.finding for other in kept):
            continue
        kept.append(answer)
    return kept


def _heard(line: _Line) -> bool:
    """Whether the server answered anything at all."""
    way = line.read.get(REACHED.name)
    if line.server.kind in POSTGRES:
        return isinstance(way, Reached) and way.stage is Stage.DONE
    return any(not isinstance(found, Unasked) or found.heard for found in line.read.values())


def _ask_all(lines: Sequence[_Line], targets: Targets, openers: Mapping[Kind, Open]) -> None:
    said: queue.Queue[tuple[_Line, str, Any]] = queue.Queue()
    began = time.monotonic()
    for line in lines:
        arguments = (line, targets.plan, openers.get(line.server.kind), said)
        threading.Thread(target=_ask, args=arguments, name=f"doctor {line.server.name}", daemon=True).start()
    while waiting := [line for line in lines if not line.done]:
        now = time.monotonic()
        for line in waiting:
            if now - line.heard_at > BOUND_S or now - began > WHOLE_S:
                _give_up(line, now - line.heard_at)
        try:
            line, name, value = said.get(timeout=0.1)
        except queue.Empty:
            continue
        if line.done:  # given up: what its thread says since is the end of its socket
            continue
        line.heard_at = time.monotonic()
        if name:
            line.read[name] = value
        else:
            line.done = True


def _give_up(line: _Line, silent_s: float) -> None:
    line.done = True
    line.drop()
    why = f"it did not answer within {max(silent_s, BOUND_S):.0f} s"
    if line.server.kind in POSTGRES and REACHED.name not in line.read:
        line.read[REACHED.name] = Unasked(why, heard=False)
    elif line.server.kind in POSTGRES:
        # It let us in and fell silent: that is what is to be said of it, not that it answers.
        way = line.read[REACHED.name]
        line.read[REACHED.name] = replace(way, stage=Stage.ANSWER, why=why) if isinstance(way, Reached) else way
    for section in line.sections:
        line.read.setdefault(section.name, Unasked(why, heard=False))


def _ask(line: _Line, plan: Plan | None, opener: Open | None, said: queue.Queue[tuple[_Line, str, Any]]) -> None:
    """Ask one server everything, in its own thread."""
    link: Any = None
    try:
        if line.server.kind in POSTGRES:
            way, link = reach(
                lambda: settings.resolve(line.server.reference) if line.server.reference else _given(), line.server.name
            )
            if link is not None:
                line.socket = socket.socket(fileno=os.dup(link.pgconn.socket))
            said.put((line, REACHED.name, way))
            if link is None:
                return
        elif line.server.kind is not Kind.HERE and line.sections:
            link = _opened(line.server, opener, plan)
        for section in line.sections:
            said.put((line, section.name, _section(section, link, plan)))
    except MigratorError as error:
        for section in line.sections:
            said.put((line, section.name, Unasked(str(error), hint=error.hint, heard=False)))
    except Exception as error:  # a bug, or a library's own: it must not leave the server without an answer
        for section in line.sections:
            said.put((line, section.name, Unasked(f"unexpected {type(error).__name__}", heard=False)))
    finally:
        with contextlib.suppress(Exception):
            if link is not None and hasattr(link, "close"):
                link.close()
        if line.socket is not None:
            line.socket.close()
        said.put((line, "", None))


def _opened(server: Server, opener: Open | None, plan: Plan | None) -> Any:
    if opener is None:
        raise UsageError(f"{server.name} was not asked")
    return opener(plan)


def _given() -> str:
    """Return classic's connection string where no plan names it."""
    dsn = settings.classic_dsn()
    assert dsn is not None, "a server without a reference is classic, known from the environment"
    return dsn


def _section(section: Section[Any], link: Any, plan: Plan | None) -> Any:
    """Return one section, or why it is not known; an error of a server is its message, never a value of a row."""
    try:
        return section.read(link, plan)
    except psycopg.Error as error:
        lost = isinstance(link, psycopg.Connection) and link.broken
        return Unasked("the connection was lost" if lost else server_message(error), error.sqlstate or "")
    except MigratorError as error:
        return Unasked(str(error), hint=error.hint)
    except Exception as error:  # of a library: its text may quote anything
        return Unasked(f"unexpected {type(error).__name__}")
