"""Creates and drops an index on both sides.

Classic decides what is unique: its index comes first, concurrently, and Limitless gets its own when it holds a state
that classic's index has covered; to drop, Limitless's is dropped first. In between Limitless never refuses a row that
classic accepted.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from migrator.control.provisioned import Made, forget
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.inspect import index_of
from migrator.dataplane.change.names import listed
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.errors import ClusterUnavailable, NoGo
from migrator.plan.tables import describe_table
from migrator.poll import until
from migrator.provision.ddl_sql import Step, steps
from migrator.provision.design import design
from migrator.provision.one import make
from migrator.provision.read import available_extensions, read
from migrator.provision.records import completed_from_records

_LOOK_S = 0.2


def build_on_classic(work: Work, recorded: Recorded) -> None:
    """Build concurrently, whatever the file says: writers never wait.

    Raises:
        NoGo: the rows break it; nothing is left behind.
    """
    change = recorded.change
    _wait_for_builder(work, recorded)
    index = index_of(work.classic, change.schema, change.name)
    if index is not None and index[1]:
        return
    if index is not None:  # left by a build that failed or was killed
        work.tell(f"{change.words}: dropping the invalid index of an earlier build")
        _without_timeout(work, change_sql.drop_index(change, concurrently=True))
    try:
        statement = change_sql.create_index(change, change_sql.table_name(change.table), concurrently=True)
        _without_timeout(work, statement, change.path)
    except psycopg.Error as error:
        if not work.classic.broken:
            _without_timeout(work, change_sql.drop_index(change, concurrently=True))
        if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
            why = server_message(error)
            raise NoGo(
                change.words, [f"classic's rows do not allow it: {why}"], "Correct the rows and apply it again."
            ) from None
        raise


def _without_timeout(work: Work, statement: psycopg.sql.Composed, path: Sequence[str] = ()) -> None:
    """Run a concurrent statement: it waits for running transactions, and no session waits for it."""
    work.classic.execute(
        "SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false),"
        " set_config('search_path', %s, false)",
        (listed(path),),
    )
    try:
        work.classic.execute(statement)
    finally:
        if not work.classic.broken:
            work.classic.execute("SELECT set_config('search_path', 'pg_catalog', false)")


def _wait_for_builder(work: Work, recorded: Recorded) -> None:
    """A client that was killed leaves its server process building; that one decides first."""
    words = recorded.change.words

    def nobody_builds() -> bool:
        row = work.classic.execute(
            "SELECT count(*) FROM pg_stat_progress_create_index WHERE index_relid = to_regclass(%s)",
            (psycopg.sql.Identifier(recorded.change.schema, recorded.change.name).as_string(work.classic),),
        ).fetchone()
        if not row or not row[0]:
            return True
        work.tell(f"{words}: another session still builds it")
        return False

    if not until(nobody_builds, work.timeout_s, _LOOK_S):
        raise ClusterUnavailable("classic", f"{words}: another session still builds it after {work.timeout_s:.0f} s")


def describe(work: Work, recorded: Recorded) -> None:
    """Let mirrors know which keys are unique now."""
    change = recorded.change

    def act(conn: Connection) -> None:
        work.describe(conn, describe_table(conn, work.planned, change.table))
        recorded.shape_changed(conn, "describe")

    work.patiently("classic", change.words, act)


def build_on_limitless(work: Work, recorded: Recorded) -> None:
    """Build what provisioning would have built for classic's index: a unique one with the shard key.

    Raises:
        NoGo: Limitless refuses it.
    """
    change = recorded.change
    step = _limitless_step(work, change.name)
    if step is None:
        return

    def act(conn: Connection) -> None:
        make(conn, step.record, step.statements)

    try:
        with work.alone(change.words):
            work.patiently("limitless", change.words, act)
    except psycopg.errors.UniqueViolation as error:
        raise NoGo(
            change.words,
            [f"rows on Limitless break it: {server_message(error)}"],
            "Rows of quarantined tenants are not up to date: migrator mirror retry --all, then apply it again.",
        ) from None


def _limitless_step(work: Work, name: str) -> Step | None:
    schemas = list(work.plan.tables.schemas)
    wanted = design(
        read(work.classic, schemas),
        list(work.tables.values()),
        available_extensions=available_extensions(work.limitless),
        acknowledged=work.plan.gates.acknowledged,
    )
    todo = steps(wanted.catalog, completed_from_records(work.limitless, read(work.limitless, schemas), wanted.catalog))
    return next((s for s in todo if s.record.kind in ("index", "constraint") and s.record.name == name), None)


def drop_on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute(change_sql.drop_index(change, concurrently=False))
        forget(conn, Made("index", change.schema, change.name, ""))

    with work.alone(change.words):
        work.patiently("limitless", change.words, act)


def drop_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    # CONCURRENTLY takes no transaction that could say whose command it is.
    work.classic.execute("SELECT set_config('migrator.ddl', 'allowed', false)")
    try:
        _without_timeout(work, change_sql.drop_index(change, concurrently=not work.tables[change.table].partitioned))
    finally:
        if not work.classic.broken:
            work.classic.execute("SELECT set_config('migrator.ddl', '', false)")
