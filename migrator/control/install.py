"""Installs the tool's own tables on both clusters, and removes them.

Each side is installed in one transaction under a lock, so two operators who start at once find one schema. Running it
again finds nothing to do. A schema that an earlier version of the tool installed is upgraded by `migrator upgrade`
(upgrade.py) only.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import psycopg

from migrator.control import plan
from migrator.control.tables import anything_captured
from migrator.db.named import load
from migrator.errors import NotInstalled, PlanMismatch, WrongVersion
from migrator.model.session import SCHEMA_VERSION

VERSION = SCHEMA_VERSION
"""Of the control schema that this migrator works with, on both sides. 1: release 0.1.0."""

_SQL = load("migrator.control", "install.sql")
LOCK = 0x6D696772
""""migr": the advisory lock of installations and upgrades on one server."""


def _script(name: str) -> str:
    return resources.files("migrator.control").joinpath(name).read_text(encoding="utf-8")


def installed_version(conn: psycopg.Connection[Any]) -> int | None:
    """Return the version of the control schema on *conn*'s side, None when there is none."""
    found = conn.execute(_SQL["is_installed"]).fetchone()
    if not found or not found[0]:
        return None
    row = conn.execute(_SQL["version"]).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def version_problem(version: int | None, side: str) -> WrongVersion | None:
    """Return what is wrong with a control schema of *version* on *side*; nothing where none is installed. Pure."""
    if version is None or version == VERSION:
        return None
    problem = f"the control schema on {side} is version {version}, this migrator works with version {VERSION}"
    if version > VERSION:
        return WrongVersion(problem, hint="Use the migrator that installed it, or a newer one.")
    return WrongVersion(
        problem,
        hint="Upgrade it: migrator upgrade --dry-run, then migrator upgrade (docs/upgrades.md). Until then the migrator"
        " that installed it goes on working. Reads go back to classic now: migrator rollback --all",
    )


def require_version(conn: psycopg.Connection[Any], side: str = "classic", *, or_newer: bool = False) -> None:
    """Return when the control schema on *side* is of this migrator's version, or not installed yet.

    Args:
        or_newer: a later version will do too: every version keeps what a rollback of an earlier one needs.

    Raises:
        WrongVersion: it is older or newer.
    """
    version = installed_version(conn)
    problem = version_problem(version, side)
    if problem is not None and not (or_newer and version is not None and version > VERSION):
        raise problem


def _apply(conn: psycopg.Connection[Any], side: str, *scripts: str) -> None:
    version = installed_version(conn)
    if version is None:
        for script in scripts:
            conn.execute(_script(script))
        conn.execute(_SQL["record_version"], {"version": VERSION})
    elif problem := version_problem(version, side):
        raise problem


def install(
    classic: psycopg.Connection[Any], plan_id: str, digest: str, body: dict[str, Any], shim: dict[str, Any]
) -> None:
    """Install the control schema on classic and store the plan; owns its transaction.

    A plan of the same name may change while nothing is captured yet; afterwards only *shim* may.

    Raises:
        PlanMismatch: another plan owns this cluster, or this one changed after capture began.
        WrongVersion: an earlier or later version of the tool installed it.
    """
    require_version(classic)  # before waiting for an upgrade, which waits for snapshots
    with classic.transaction():
        classic.execute("SELECT migrator_lock FROM pg_advisory_xact_lock(%s) AS migrator_lock", (LOCK,))
        _apply(classic, "classic", "classic.sql", "views.sql", "contract.sql")
        before = plan.identity(classic)
        if before is not None and before.plan_id != plan_id:
            raise PlanMismatch(
                f"plan '{before.plan_id}' owns this cluster, not '{plan_id}'",
                hint=f"Use the plan '{before.plan_id}', or undo it first.",
            )
        if before is not None and before.digest != digest and anything_captured(classic):
            raise PlanMismatch(
                f"plan '{plan_id}' changed since capture began",
                hint="Change it with: migrator plan apply, which says what cannot change; or run the plan as it was.",
            )
        plan.store(classic, plan_id, digest, body, shim)


def install_tables(classic: psycopg.Connection[Any]) -> None:
    """Install the control schema on classic without a plan, in the caller's transaction: a backup brings its own.

    Raises:
        WrongVersion: an earlier or later version of the tool installed it.
    """
    classic.execute("SELECT migrator_lock FROM pg_advisory_xact_lock(%s) AS migrator_lock", (LOCK,))
    _apply(classic, "classic", "classic.sql", "views.sql", "contract.sql")


def install_limitless(limitless: psycopg.Connection[Any]) -> None:
    """Install the tool's tables on Limitless; owns its transaction.

    Limitless has advisory locks only from 16.10, so two installers race on CREATE SCHEMA: the second waits for the
    first, fails with 42P06 or 23505 when that has committed, and finds what it made.

    Raises:
        WrongVersion: an earlier or later version of the tool installed it.
    """
    try:
        with limitless.transaction():
            _apply(limitless, "Limitless", "limitless.sql")
    except (psycopg.errors.DuplicateSchema, psycopg.errors.UniqueViolation):
        if installed_version(limitless) is None:
            raise
        require_version(limitless, "Limitless")


def uninstall(conn: psycopg.Connection[Any]) -> None:
    """Drop the tool's schema on *conn*'s side. Capture must be removed first, or its triggers go with it."""
    conn.execute("DROP SCHEMA IF EXISTS migrator CASCADE")


def active_plan(classic: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return the stored plan as JSON.

    Raises:
        NotInstalled: no plan was ever started on this cluster.
    """
    found = plan.stored(classic) if installed_version(classic) is not None else None
    if found is None:
        raise NotInstalled(
            "no plan was started on this classic cluster", hint="Start one with: migrator run --plan PLAN.toml"
        )
    return found.body


def earlier_digests(classic: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Return the digests of what the stored plan has replaced while its migration runs: other values, or the same
    ones as an earlier version of the tool digested them."""
    row = classic.execute("SELECT earlier FROM migrator.plan").fetchone()
    return tuple(row[0]) if row else ()
