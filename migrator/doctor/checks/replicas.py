"""Is the writer the writer, are readers replicas of it, and how far are they behind?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, unknown, warning
from migrator.doctor.server import IDENTITY, Connection, Identity, of, one
from migrator.plan.schema import Plan

ORDER = 70

_ON_AURORA = """
SELECT max(replica_lag_in_msec)::float8 / 1000 FROM pg_catalog.aurora_replica_status()
 WHERE server_id = pg_catalog.aurora_db_instance_identifier()
"""


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replica follows. lag_s: None where nothing was replayed yet, or the server does not say."""

    in_recovery: bool
    lag_s: float | None
    paused: bool
    streaming: int | None


def _replay(conn: Connection, _plan: Plan | None) -> Replay:
    known = one(conn, "identity")
    if known["aurora"]:
        row = conn.execute(_ON_AURORA).fetchone()
        return Replay(known["in_recovery"], row[0] if row else None, False, None)
    if not known["in_recovery"]:
        return Replay(False, None, False, None)  # it has nothing to say about replay, and refuses to
    return of(Replay, one(conn, "replay"))


REPLAY: Section[Replay] = Section("how it follows", frozenset({Kind.READER}), _replay)


def judge_writer(facts: Facts) -> Iterable[Finding]:
    """Return whether classic and Limitless take writes, and are two databases."""
    here, there = facts.known(IDENTITY, Kind.CLASSIC), facts.known(IDENTITY, Kind.LIMITLESS)
    if here is not None and here.in_recovery:
        yield problem(
            "classic",
            "the plan's writer is in recovery: a read-only replica",
            "nothing can be captured, decided or rolled back there",
            "Name the cluster's writer endpoint in classic.writer; after a failover wait for DNS, or restart.",
        )
    elif here is not None:
        yield ok("classic", "takes writes")
    if there is not None and there.in_recovery:
        yield problem(
            "Limitless", "is in recovery: read-only", "nothing can be written there", "Correct limitless.dsn."
        )
    if here is not None and there is not None and same_database(here, there):
        yield problem(
            "Limitless",
            f"limitless.dsn leads to the same database as classic.writer ({here.database})",
            "provisioning and copies would write over classic's rows",
            "Correct one of the two connection strings.",
        )


def same_server(one: Identity, other: Identity) -> bool:
    """Return whether both are one running server: data directories can be copies of each other. Pure."""
    return (one.system, one.started_s, one.port) == (other.system, other.started_s, other.port)


def same_database(one: Identity, other: Identity) -> bool:
    return same_server(one, other) and one.database == other.database


def judge_readers(facts: Facts) -> Iterable[Finding]:
    """Return for each reader whether it follows classic's writer, and how closely."""
    writer = facts.known(IDENTITY, Kind.CLASSIC)
    limit_s = facts.plan.pace.replica_lag_s if facts.plan else 10.0
    readers = [server for server in facts.servers if server.kind is Kind.READER]
    if facts.plan is not None and not readers:
        yield not_applicable("readers", "the plan names none (classic.readers)")
    for server in readers:
        who, how = facts.of(IDENTITY, server), facts.of(REPLAY, server)
        if isinstance(who, Unasked) or isinstance(how, Unasked):
            continue
        yield judge_reader(server.name, who, how, writer, limit_s)


def judge_reader(name: str, who: Identity, how: Replay, writer: Identity | None, limit_s: float) -> Finding:
    """Return what one reader is. Pure."""
    if writer is not None and same_server(who, writer):
        return warning(
            name,
            "it is classic's writer itself",
            "what is read there is read from the writer, which carries all writes",
            "Name a replica or the cluster's reader endpoint; with a single instance leave classic.readers empty.",
        )
    if not how.in_recovery:
        return problem(
            name,
            "it is not in recovery: a server of its own, no replica",
            "it does not hold what classic holds",
            "Correct classic.readers.",
        )
    if writer is not None and None not in (who.system, writer.system) and who.system != writer.system:
        return problem(
            name,
            f"it is a replica of another cluster (system {who.system}, classic's is {writer.system})",
            "it does not hold what classic holds",
            "Correct classic.readers.",
        )
    if how.paused:
        return warning(name, "its replay is paused", "it stays as it is now", "SELECT pg_wal_replay_resume() there.")
    if how.lag_s is None:
        return unknown(
            name, "a replica; how far it is behind is not told", do="Run it again once something is written."
        )
    text = f"a replica, {how.lag_s:.1f} s behind (limit {limit_s:g} s)"
    if how.streaming == 0 or how.lag_s > limit_s:
        way = "; it receives nothing from the writer" if how.streaming == 0 else ""
        return warning(
            name,
            text + way,
            "shims take it out of service, and copies and validation slow down for it (docs/pace.md)",
            "Look at its load, at long queries there, and at the network between the two.",
        )
    return ok(name, text)


CHECKS = (
    Check("replicas.writer", (IDENTITY,), judge_writer),
    Check("replicas.readers", (IDENTITY, REPLAY), judge_readers),
)
