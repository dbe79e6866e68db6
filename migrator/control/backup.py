"""Writes the record of a migration to a file, and brings it back where the tool's tables on classic were lost.

The record is what people decided and what was found: plan, decisions, approvals, incidents, holds, order, reports,
verdicts, figures over time. What describes the copy is left out: routes, positions, the journal, who is mirrored. With
the tables capture was lost, so writes have passed the journal since, and a position or route of before would say that
Limitless is current where it is not. So a restore begins another history: every read on classic, epochs with new marks
(`control.epoch`), nothing captured, everything to be copied again.

A classic that is restored as a whole needs none of this: its tables come back with it (docs/reliability.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from migrator import __version__
from migrator.control import epoch, grants
from migrator.control.install import VERSION, install_tables, installed_version, version_problem
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.reset import reset_limitless
from migrator.control.route import retiring, settled
from migrator.control.upgrade import sessions_of_workers
from migrator.db.named import load
from migrator.errors import NoGo, NotInstalled, UsageError
from migrator.model.counted import counted
from migrator.model.phase import Phase

Connection = psycopg.Connection[Any]

RECORD = (
    "plan",
    "phase",
    "approval",
    "approval_vote",
    "decision",
    "decision_seal",
    "incident",
    "alarm",
    "report",
    "schema_change",
    "tenant_hold",
    "tenant_order",
    "validation",
    "tenant_verdict",
    "divergence",
    "rights_check",
    "throttle",
    "read_hour",
    "shadow_hour",
    "shadow_read",
    "shadow_statement",
    "writer_load",
    "state_sample",
    "limitless_hour",
    "notification",
)
"""Tables of the record; one that this version does not have is passed over."""

KEPT_PHASES = (Phase.AUDIT.value, Phase.PROVISION.value)

FORMAT = 1
_MANIFEST = "manifest.json"
_AHEAD = 1_000_000
_SQL = load("migrator.control", "backup.sql")


@dataclass(frozen=True, slots=True)
class Held:
    """One table in a backup: its columns in the order of the file, its rows, and the sha256 of its text."""

    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        taken_at: by classic's clock.
        version: of the tool's tables.
        roles, readers: that might use the shim, or read; their rights go with the tables.
    """

    plan: str
    digest: str
    taken_at: str
    database: str
    release: str
    version: int
    epoch: int
    write_mode: str
    tables: dict[str, Held]
    sequences: dict[str, int] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    format: int = FORMAT


def back_up(classic: Connection, path: Path) -> Manifest:
    """Write the record to *path*, at one snapshot, while everything goes on; the file is whole or not there.

    Raises:
        NotInstalled: there are no tables of the tool on classic, or no plan.
        UsageError: the file exists, or cannot be written.
    """
    if installed_version(classic) is None:
        raise NotInstalled("there are no tables of the tool on this classic cluster", hint="There is nothing to keep.")
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        if path.exists():
            raise UsageError(f"{path} exists already; nothing was written", hint="Give another name.")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            manifest = _write(classic, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # refuses where another backup of this name came first
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing was written", hint="Give another name.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return manifest


def _write(classic: Connection, file: IO[bytes]) -> Manifest:
    with classic.transaction(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        classic.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = classic.execute(_SQL["taken"]).fetchone()
        if row is None or row[4] is None:
            raise NotInstalled("no plan was started on this classic cluster", hint="There is nothing to keep.")
        at, database, number, write_mode, plan, digest = row
        tables = {name: _dump(classic, archive, name) for name in _tables(classic)}
        sequences = {name: int(last) for name, last in classic.execute(_SQL["sequences"]) if last is not None}
        manifest = Manifest(
            plan, digest, at.isoformat(), database, __version__, installed_version(classic) or VERSION, number,
            write_mode, tables, sequences, grants.granted(classic), grants.readers(classic),
        )  # fmt: skip
        archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
    return manifest


def _tables(conn: Connection) -> list[str]:
    return [name for (name,) in conn.execute(_SQL["tables"], {"names": list(RECORD)})]


def _oid(conn: Connection, table: str) -> int:
    row = conn.execute(_SQL["oid"], {"table": f"migrator.{table}"}).fetchone()
    assert row is not None
    return int(row[0])


def _columns(conn: Connection, table: str) -> tuple[str, ...]:
    return tuple(name for (name,) in conn.execute(_SQL["columns"], {"oid": _oid(conn, table)}))


def _copy(table: str, columns: tuple[str, ...], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) {}").format(sql.Identifier("migrator", table), names, sql.SQL(direction))


def _dump(conn: Connection, archive: zipfile.ZipFile, table: str) -> Held:
    columns, rows, digest = _columns(conn, table), 0, hashlib.sha256()
    with archive.open(f"{table}.copy", "w") as out, conn.cursor() as cursor:
        with cursor.copy(_copy(table, columns, "TO STDOUT")) as copy:
            for block in copy:
                data = bytes(block)
                digest.update(data)
                rows += data.count(b"\n")  # a line feed inside a value is written as \n
                out.write(data)
    return Held(columns, rows, digest.hexdigest())


# -- back again ----------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Open a backup, all of which has been read and found whole.

    Raises:
        UsageError: it cannot be read, is no backup, or was changed.
        WrongVersion: it is of tables of another version.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as a backup ({type(error).__name__})") from None
    with archive:
        manifest = _read_manifest(path, archive)
        wrong = [table for table, held in manifest.tables.items() if _digest(archive, table) != held.sha256]
        if wrong:
            raise UsageError(f"{path} is not as it was written: {', '.join(wrong)}", hint="Take another backup.")
        if problem := version_problem(manifest.version, f"in {path}"):
            raise problem
        yield archive, manifest


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        body = json.loads(archive.read(_MANIFEST))
        tables = {
            name: Held(tuple(held["columns"]), held["rows"], held["sha256"]) for name, held in body["tables"].items()
        }
        manifest = Manifest(
            **{**body, "tables": tables, "roles": tuple(body["roles"]), "readers": tuple(body["readers"])}
        )
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, OSError):
        raise UsageError(f"{path} is no backup of migrator, or was changed") from None
    if manifest.format != FORMAT or not set(manifest.tables) <= set(RECORD):
        raise UsageError(f"{path} is of another release ({manifest.release}), or was changed")
    return manifest


def stored_plan(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the plan in a backup, as classic held it.

    Raises:
        UsageError: there is none.
    """
    held = _read_manifest(Path(archive.filename or ""), archive).tables.get("plan")
    with archive.open("plan.copy") as file:
        line = file.read().decode().rstrip("\n")
    if held is None or not line:
        raise UsageError("the backup holds no plan", hint="Say which with --plan PLAN.toml.")
    value = line.split("\t")[held.columns.index("body")]
    body: dict[str, Any] = json.loads(_unescaped(value))
    return body


def _unescaped(value: str) -> str:
    """Return a value as it was before COPY wrote it in its text format."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), value)


_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}


def _digest(archive: zipfile.ZipFile, table: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(f"{table}.copy") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (KeyError, zipfile.BadZipFile, OSError, ValueError, EOFError):
        return ""
    return digest.hexdigest()


def blockers(classic: Connection, limitless: Connection, manifest: Manifest) -> tuple[str, ...]:
    """Return every reason why *manifest* may not be restored now, one line each."""
    found = []
    row = classic.execute(_SQL["there"]).fetchone()
    if row and row[0]:
        found.append(
            "schema migrator is on classic: a restore never writes over what is there. To begin again with what is"
            " there: migrator undo dual-write"
        )
    has_control = installed_version(limitless) is not None
    if has_control and (settled(limitless) is not None or retiring(limitless) is not None):
        found.append(
            "Limitless has the terminal route: writes are there, and classic must not be opened for them again"
        )
    if manifest.write_mode not in ("classic_only", "dual"):
        found.append(
            f"the backup was taken while writes were {manifest.write_mode}: classic may not be where writes are"
        )
    found += [f"{line}: stop it first" for line in sessions_of_workers(classic)]
    return tuple(found)


def restore(
    classic: Connection, limitless: Connection, archive: zipfile.ZipFile, manifest: Manifest, who: str
) -> list[str]:
    """Bring the record of *manifest* back; on classic in one transaction, so it is done whole or not at all.

    Returns roles that used the shim and do not exist any more; the others have their rights again.

    Limitless comes first and may be done again: it forgets positions and leases, which were those of the lost history.
    Its rows stay until the next undo or copy.

    Raises:
        NoGo: it may not be done now.
    """
    if found := blockers(classic, limitless, manifest):
        raise NoGo("control restore", found)
    reset_limitless(limitless)
    with classic.transaction():
        install_tables(classic)
        for table, held in manifest.tables.items():
            _load(classic, archive, table, held)
        for name, value in manifest.sequences.items():
            classic.execute(_SQL["advance"], {"sequence": f"migrator.{name}", "value": value})
        gone = grants.grant_again(classic, manifest.roles, manifest.readers)
        _begin_again(classic, manifest, who)
    return gone


def _load(conn: Connection, archive: zipfile.ZipFile, table: str, held: Held) -> None:
    """Load a table as it was: what its triggers would write anew (who was logged in, what is joined) is in the file."""
    name, oid = sql.Identifier("migrator", table), _oid(conn, table)
    triggers = conn.execute(_SQL["triggers"], {"oid": oid}).fetchall()
    conn.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
    conn.execute(sql.SQL("DELETE FROM {}").format(name))  # the row with which a new installation begins
    with archive.open(f"{table}.copy") as file, conn.cursor() as cursor:
        with cursor.copy(_copy(table, held.columns, "FROM STDIN")) as copy:
            while block := file.read(1 << 20):
                copy.write(block)
        loaded = cursor.rowcount
    if loaded != held.rows:
        raise UsageError(f"{table}: {loaded} of {counted(held.rows, 'row')} loaded: nothing was restored")
    for trigger, enabled in triggers:
        how = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}.get(enabled, "ENABLE")
        conn.execute(sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(name, sql.SQL(how), sql.Identifier(trigger)))


def _begin_again(conn: Connection, manifest: Manifest, who: str) -> None:
    """Leave nothing that says a tenant is on Limitless, or that a gate about the copy was passed."""
    conn.execute(_SQL["routes_of_before"], {"epoch": manifest.epoch + _AHEAD, "who": who})
    epoch.begin_history(conn)
    conn.execute(_SQL["forget_what_was_about_the_copy"])
    conn.execute(_SQL["void_votes"])
    conn.execute(_SQL["forget_phases"], {"kept": list(KEPT_PHASES)})
    conn.execute(_SQL["forget_reports"])
    rows = sum(held.rows for held in manifest.tables.values())
    set_phase(
        conn, Phase.DUAL_WRITE.value, "undone", f"restored from a backup of {manifest.taken_at} by {who}",
        next_step="migrator abort, migrator undo dual-write, then migrator run",
    )  # fmt: skip
    decide(
        conn, who, "control.restored", "control schema",
        f"a backup of {manifest.taken_at} by release {manifest.release}, {counted(rows, 'row')}",
        None, {"epoch": manifest.epoch, "taken_at": manifest.taken_at},
    )  # fmt: skip
