"""How do the tool's own tables get onto both clusters, and off again?

Each side is installed and upgraded in one transaction under a lock, so two operators who start at once find
one schema. Running it again finds nothing to do.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import psycopg

from migrator.errors import NotInstalled, PlanMismatch

VERSION = 1
_LOCK = 0x6D696772  # "migr": the advisory lock of installations on one server


def _script(name: str) -> str:
    return resources.files("migrator.control").joinpath(name).read_text(encoding="utf-8")


def installed_version(conn: psycopg.Connection[Any]) -> int | None:
    """Return the version of the control schema on *conn*'s side, None when there is none."""
    found = conn.execute("SELECT to_regclass('migrator.installed') IS NOT NULL").fetchone()
    if not found or not found[0]:
        return None
    row = conn.execute("SELECT max(version) FROM migrator.installed").fetchone()
    return int(row[0]) if row and row[0] is not None else None


def _apply(conn: psycopg.Connection[Any], *scripts: str) -> None:
    version = installed_version(conn)
    if version is None:
        for script in scripts:
            conn.execute(_script(script))
        conn.execute("INSERT INTO migrator.installed (version) VALUES (%s)", (VERSION,))
    elif version > VERSION:
        raise PlanMismatch(
            f"the control schema is version {version}, this migrator knows {VERSION}",
            hint="Use the migrator that installed it, or a newer one.",
        )


def install(
    classic: psycopg.Connection[Any], plan_id: str, digest: str, body: dict[str, Any], shim: dict[str, Any]
) -> None:
    """Install or upgrade the control schema on classic and store the plan; owns its transaction.

    A plan of the same name may change while nothing is captured yet; afterwards only *shim* may.

    Raises:
        PlanMismatch: another plan owns this cluster, or this one changed after capture began.
    """
    with classic.transaction():
        classic.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        _apply(classic, "classic.sql", "views.sql")
        row = classic.execute("SELECT plan_id, digest FROM migrator.plan").fetchone()
        if row is not None and row[0] != plan_id:
            raise PlanMismatch(
                f"plan '{row[0]}' owns this cluster, not '{plan_id}'",
                hint=f"Use the plan '{row[0]}', or undo it first.",
            )
        captured = classic.execute("SELECT count(*) FROM migrator.captured_table").fetchone()
        if row is not None and row[1] != digest and captured and captured[0]:
            raise PlanMismatch(
                f"plan '{plan_id}' changed since capture began",
                hint="Undo the dual write first (migrator undo dual-write), or run the plan as it was.",
            )
        classic.execute(
            "INSERT INTO migrator.plan (plan_id, digest, body, shim) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (only_one) DO UPDATE SET digest = EXCLUDED.digest, body = EXCLUDED.body,"
            " shim = EXCLUDED.shim",
            (plan_id, digest, json.dumps(body), json.dumps(shim)),
        )


def install_limitless(limitless: psycopg.Connection[Any]) -> None:
    """Install or upgrade the tool's tables on Limitless; owns its transaction.

    Limitless has advisory locks only from 16.10, so two installers race on CREATE SCHEMA: one of them fails
    with 42P06 or 23505 and may simply try again.
    """
    with limitless.transaction():
        _apply(limitless, "limitless.sql")


def uninstall(conn: psycopg.Connection[Any]) -> None:
    """Drop the tool's schema on *conn*'s side. Capture must be removed first, or its triggers go with it."""
    conn.execute("DROP SCHEMA IF EXISTS migrator CASCADE")


def active_plan(classic: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return the stored plan as JSON.

    Raises:
        NotInstalled: no plan was ever started on this cluster.
    """
    row = None
    if installed_version(classic) is not None:
        row = classic.execute("SELECT body FROM migrator.plan").fetchone()
    if row is None:
        raise NotInstalled(
            "no plan was started on this classic cluster", hint="Start one with: migrator run --plan PLAN.toml"
        )
    body: dict[str, Any] = row[0]
    return body
