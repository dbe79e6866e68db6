"""Probes a cluster's capabilities, safely beside live traffic.

It works in a scratch schema that is dropped at the end; that of a run that was killed is dropped by the next one, which
recognises it by its name and by no session having that name. Every statement has a time limit, and waits for a lock
only briefly: DDL on Limitless locks on all routers. An error about the cluster's health or its locks is not an answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import psycopg
from psycopg import pq, sql

from migrator.catalog.read import is_limitless
from migrator.control import answers as kept
from migrator.control.install import install_limitless, installed_version
from migrator.db.error_text import server_message
from migrator.db.lock_retry import until_free
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.action import Action
from migrator.model.capability import Answer, Answers
from migrator.provision.probe import PROBES, SETUP, SHARD_KEY, Outcome, Probe, Setup, Try, is_answer

Conn = psycopg.Connection[Any]

STATEMENT_S, LOCK_S, LOCKED_TIMEOUT_S = 15.0, 2.0, 30.0
_PREFIX = "migrator_probe_"


def actions(*, installed: bool = True) -> tuple[Action, ...]:
    """Return what `probe` would try; nothing of it touches a table of the application."""
    control = () if installed else (Action("probe/control", "Install the tool's own tables", "DROP SCHEMA migrator"),)
    make = Action(
        "probe/schema",
        f"Make the scratch schema {_PREFIX}… with four empty tables",
        "dropped at the end, or by the next probe",
        ";\n".join(step.statement for step in SETUP),
    )
    return (
        *control,
        make,
        *(
            Action(
                f"probe/{probe.capability}",
                probe.question,
                "dropped with the schema" if probe.apart else "rolled back",
                ";\n".join(given.statement for given in probe.tries),
            )
            for probe in PROBES
        ),
    )


def version(limitless: Conn) -> str:
    """Return the engine's version, as the server reports it."""
    row = limitless.execute(
        "SELECT current_setting('server_version'), to_regprocedure('pg_catalog.aurora_version()') IS NOT NULL"
    ).fetchone()
    number, aurora = row or ("", False)
    if aurora:
        row = limitless.execute("SELECT pg_catalog.aurora_version()").fetchone()
        return f"{number}, Aurora {row[0]}" if row else str(number)
    return str(number)


def ensure(classic: Conn, limitless: Conn, on_step: Callable[[Action], None] | None = None) -> Answers:
    """Return the answers of this cluster; it is probed if it was not yet, or in another version. Raises as `probe`."""
    known = kept.learn(limitless)
    if not known.covers(version(limitless)):
        return probe(classic, limitless, on_step)
    kept.report(classic, known)
    return known


def probe(classic: Conn, limitless: Conn, on_step: Callable[[Action], None] | None = None) -> Answers:
    """Ask the cluster every question and keep its answers, there and as a report on classic.

    Raises:
        UsageError: *limitless* is not a Limitless server, so its answers would not count.
        NoGo: the role may not create the scratch schema, or its tables are refused.
        ClusterUnavailable: the cluster is too busy or too unhealthy to answer; earlier answers are kept.
    """
    if not is_limitless(limitless):
        raise UsageError("the server named by limitless.dsn is not Aurora Limitless, so nothing can be learned from it")
    if installed_version(limitless) is None:
        install_limitless(limitless)
    judged = ask(limitless, PROBES, on_step)
    stored = kept.store(limitless, judged, version(limitless))
    kept.report(classic, stored)
    return stored


def ask(
    limitless: Conn, probes: Sequence[Probe] = PROBES, on_step: Callable[[Action], None] | None = None
) -> list[Answer]:
    """Return the answers to *probes*; no object of them remains. Raises as `probe`."""
    if limitless.info.transaction_status is not pq.TransactionStatus.IDLE or not limitless.autocommit:
        raise PreconditionFailed("a probe needs a connection of its own, outside of any transaction")
    schema = f"{_PREFIX}{secrets.token_hex(4)}"
    judged = []
    with _session(limitless, schema):
        try:
            _sweep(limitless)
            _set_up(limitless, schema)
            for question in probes:
                judged.append(question.judge(question, _outcomes(limitless, schema, question)))
                if on_step:
                    on_step(Action(f"probe/{question.capability}", question.question))
            _require(limitless, schema)
        except psycopg.Error as error:
            if not limitless.broken and not _no_answer(error):
                raise NoGo("probe", [f"the scratch schema cannot be made: {server_message(error)}"]) from None
            why = f"its capabilities could not be probed: {server_message(error)}"
            raise ClusterUnavailable("Limitless", why, "Run it again when it is less busy.") from None
        finally:
            if not limitless.broken:
                _drop(limitless, schema)
    return judged


@contextmanager
def _session(limitless: Conn, name: str) -> Iterator[None]:
    """Set the session's time limits, and a name that shows others that the schema is in use."""
    wanted = {
        "application_name": name,
        "statement_timeout": f"{STATEMENT_S:.0f}s",
        "lock_timeout": f"{LOCK_S:.0f}s",
    }
    before = {}
    for setting in wanted:
        row = limitless.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        before[setting] = row[0] if row else ""
    _configure(limitless, wanted)
    try:
        yield
    finally:
        if not limitless.broken:
            _configure(limitless, before)


def _configure(limitless: Conn, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        limitless.execute("SELECT set_config(%s, %s, false)", (name, value))


_LEFT = sql.SQL(
    "SELECT n.nspname::text FROM pg_catalog.pg_namespace n"
    " WHERE n.nspname ~ '^migrator_probe_[0-9a-f]{{8}}$' AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')"
    " AND NOT EXISTS (SELECT FROM {activity} a WHERE a.application_name = n.nspname)"
)
_EVERYWHERE = sql.Identifier("rds_aurora", "limitless_stat_activity")
_HERE = sql.Identifier("pg_catalog", "pg_stat_activity")


def _sweep(limitless: Conn) -> None:
    """Drop what killed probes left."""
    try:
        left = limitless.execute(_LEFT.format(activity=_EVERYWHERE)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege):
        # Sessions of this router only: a probe on another router notices, and keeps no answers (_require).
        left = limitless.execute(_LEFT.format(activity=_HERE)).fetchall()
    for (schema,) in left:
        _drop(limitless, schema)


def _require(limitless: Conn, schema: str) -> None:
    """Raise ClusterUnavailable when the schema was dropped meanwhile: a refusal then is not an answer."""
    row = limitless.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (schema,)).fetchone()
    if row is None:
        raise ClusterUnavailable(
            "Limitless", f"schema {schema} was dropped while the cluster was asked", "Run it again."
        )


def _drop(limitless: Conn, schema: str) -> None:
    statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))

    def drop() -> None:
        limitless.execute(statement)

    until_free(drop, LOCKED_TIMEOUT_S)  # what remains is dropped by the next probe


def _set_up(limitless: Conn, schema: str) -> None:
    for step in SETUP:
        if not (tried := until_free(partial(_make, limitless, schema, step), LOCKED_TIMEOUT_S)):
            raise ClusterUnavailable("Limitless", f"the scratch schema of a probe waited for locks of others {tried}")


def _make(limitless: Conn, schema: str, step: Setup) -> None:
    collocate = sql.Identifier(schema, step.collocate_with).as_string(None) if step.collocate_with else ""
    settings = {
        "rds_aurora.limitless_create_table_mode": step.mode,
        "rds_aurora.limitless_create_table_shard_key": f'{{"{SHARD_KEY}"}}',
        "rds_aurora.limitless_create_table_collocate_with": collocate,
    }
    with limitless.transaction():
        for name, value in settings.items() if step.mode != "standard" else ():
            if value:
                limitless.execute("SELECT set_config(%s, %s, true)", (name, value))
        limitless.execute(_composed(step.statement, schema))


def _composed(statement: str, schema: str) -> sql.Composed:
    return sql.SQL(statement).format(s=sql.Identifier(schema), n=sql.Literal(schema))


def _outcomes(limitless: Conn, schema: str, question: Probe) -> list[Outcome]:
    """Run the statements of *question*; errors are outcomes, except those that are not answers."""
    with nullcontext() if question.apart else limitless.transaction(force_rollback=True):
        return [_outcome(limitless, schema, given, question.apart) for given in question.tries]


def _outcome(limitless: Conn, schema: str, given: Try, apart: bool) -> Outcome:
    statement = _composed(given.statement, schema)
    try:
        with nullcontext() if apart else limitless.transaction(), limitless.cursor() as cursor:
            if given.data is not None:
                with cursor.copy(statement) as copy:
                    copy.write(given.data)
                return Outcome()
            cursor.execute(statement)
            return Outcome(tuple(cursor.fetchall()) if cursor.description else ())
    except psycopg.Error as error:
        if limitless.broken:
            raise
        d = error.diag  # as received; rules interpret it later
        outcome = Outcome((), d.sqlstate or "08000", d.message_primary or "", d.message_detail or "")
        if not is_answer(outcome, given, apart=apart):
            raise
        return outcome


def _no_answer(error: psycopg.Error) -> bool:
    return not is_answer(Outcome((), error.sqlstate or "08000"), Try(""))
