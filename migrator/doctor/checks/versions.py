"""Do the versions fit: both servers, the tool's own tables on either side, libraries, Python?"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import pq

from migrator import __version__
from migrator.control.install import VERSION, installed_version, version_problem
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, warning
from migrator.doctor.server import IDENTITY, Connection, Identity
from migrator.plan.schema import Plan

ORDER = 30

OLDEST = 130000
"""Snapshots as 64 bit numbers, which the mirror compares, came with PostgreSQL 13."""

TESTED = 150000
"""The oldest classic that the tests run on."""

LIBPQ = 140000

PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Here:
    python: tuple[int, int, int]
    libpq: int
    psycopg: str
    implementation: str
    system: str


HERE: Section[Here] = Section(
    "libraries",
    frozenset({Kind.HERE}),
    lambda _link, _plan: Here(
        (sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        pq.version(),
        psycopg.__version__,
        pq.__impl__,
        platform.system(),
    ),
)


@dataclass(frozen=True, slots=True)
class Control:
    """Version of the tool's own tables; None: not installed."""

    version: int | None


def _control(conn: Connection, _plan: Plan | None) -> Control:
    return Control(installed_version(conn))


CONTROL: Section[Control] = Section("the control schema", frozenset({Kind.CLASSIC, Kind.LIMITLESS}), _control)


def judge_here(facts: Facts) -> Iterable[Finding]:
    here = facts.known(HERE, Kind.HERE)
    if here is None:
        return
    text = ".".join(map(str, here.python))
    if here.python[:2] < PYTHON:
        yield problem("Python", text, "the tool needs 3.11 or later", "Install a newer Python.")
    else:
        yield ok("Python", f"{text}, migrator {__version__}")
    libpq = f"libpq {here.libpq // 10000}.{here.libpq % 10000}, psycopg {here.psycopg} ({here.implementation})"
    if here.libpq < LIBPQ:
        yield warning(
            "libpq", libpq, "it is older than 14; errors and encryption of later servers are unknown to it",
            "pip install 'psycopg[binary]'",
        )  # fmt: skip
    else:
        yield ok("libpq", libpq)


def judge_servers(facts: Facts) -> Iterable[Finding]:
    """Return whether each server is what the plan takes it for."""
    for server, found in facts.each(IDENTITY):
        if isinstance(found, Unasked):
            continue
        if server.kind is Kind.LIMITLESS:
            yield from _limitless(found, facts.plan)
        else:
            yield _classic(server.name, found)


def _classic(name: str, found: Identity) -> Finding:
    engine = f"Aurora {found.aurora_version}, " if found.aurora else ""
    text = f"{engine}PostgreSQL {found.version}"
    if found.limitless:
        return problem(
            name,
            f"{text}, a Limitless cluster",
            "classic is the cluster that is left; capture needs triggers, which Limitless refuses",
            "Correct the connection string: it names the other side.",
        )
    if found.version_num < OLDEST:
        return problem(name, text, "the mirror compares snapshots, which 13 and later tell", "Upgrade classic first.")
    if found.version_num < TESTED:
        return warning(name, text, "the tool is tested from 15 on", "Rehearse on that version, or upgrade first.")
    return ok(name, text)


def _limitless(found: Identity, plan: Plan | None) -> Iterable[Finding]:
    text = f"PostgreSQL {found.version}"
    if not found.limitless:
        yield problem(
            "Limitless",
            f"{text}, and no Limitless cluster: there is no view rds_aurora.limitless_subclusters",
            "tables would not be sharded there, and statements that Limitless refuses would pass",
            "Correct limitless.dsn: it has to name the endpoint of the shard group, and the database made there.",
        )
        return
    nodes = ", ".join(f"{n} {kind}{'s' if n != 1 else ''}" for kind, n in found.nodes)
    wanted = plan.limitless.engine_version if plan else ""
    major = str(found.version_num // 10000)
    if wanted and wanted.split(".")[0].split("-")[0] != major and found.aurora:
        yield warning(
            "Limitless",
            f"{text}; the plan says {wanted}",
            "the audit judged what that version refuses",
            "Correct limitless.engine_version, and audit again.",
        )
    yield ok("Limitless", f"{text}, {nodes}")


def judge_control(facts: Facts) -> Iterable[Finding]:
    """Return whether the tool's own tables are of this release, on both sides."""
    for server, found in facts.each(CONTROL):
        if isinstance(found, Unasked):
            continue
        wrong = version_problem(found.version, server.name)
        if found.version is None:
            yield not_applicable(server.name, "the tool's own tables are not installed yet")
        elif wrong is not None:
            yield problem(server.name, str(wrong), "this release does nothing there until they agree", wrong.hint)
        else:
            yield ok(server.name, f"the tool's own tables are of version {VERSION}, as this release's")


def judge_encoding(facts: Facts) -> Iterable[Finding]:
    """Return whether both databases read and order text alike."""
    here, there = facts.known(IDENTITY, Kind.CLASSIC), facts.known(IDENTITY, Kind.LIMITLESS)
    if here is None or there is None:
        return
    if here.encoding != there.encoding:
        yield problem(
            "encoding",
            f"classic is {here.encoding}, Limitless {there.encoding}",
            "what one side stores the other cannot, or counts otherwise",
            f"Make the database on Limitless with ENCODING '{here.encoding}'.",
        )
    elif here.collation != there.collation:
        yield warning(
            "collation",
            f"text is ordered by {here.collation} on classic and by {there.collation} on Limitless",
            "ORDER BY, ranges and unique indexes without a collation of their own answer otherwise",
            f"Make the database on Limitless with LC_COLLATE '{here.collation}', or give columns a collation.",
        )
    else:
        yield ok("encoding", f"{here.encoding}, ordered by {here.collation}, on both sides")


CHECKS = (
    Check("versions.here", (HERE,), judge_here),
    Check("versions.servers", (IDENTITY,), judge_servers),
    Check("versions.control", (CONTROL,), judge_control),
    Check("versions.encoding", (IDENTITY,), judge_encoding),
)
