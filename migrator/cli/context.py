"""Finds the plan and opens the connections of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator import settings
from migrator.errors import NotInstalled, UsageError

if TYPE_CHECKING:
    import psycopg

    from migrator.plan.schema import Plan

APP = "migrator-cli"
NO_PLAN_HINT = (
    "Give --plan PLAN.toml, set MIGRATOR_PLAN, or set MIGRATOR_CLASSIC_DSN to use the plan that runs on that cluster."
)


def find_plan(option: Path | None, *, any_version: bool = False) -> Plan:
    """Return the plan of --plan, else of MIGRATOR_PLAN, else the one stored on classic.

    Args:
        any_version: a plan that an earlier version stored need not keep rules that came since.

    Raises:
        PlanInvalid, UsageError: there is none, or it cannot be used.
    """
    from migrator.plan.load import load

    path = option or settings.plan_path()
    if path is not None:
        return load(path)
    dsn = settings.classic_dsn()
    if dsn is None:
        raise UsageError("no plan given", hint=NO_PLAN_HINT)
    from migrator.control.install import active_plan
    from migrator.db.connect import connect, masked
    from migrator.plan.load import from_body, from_earlier

    with connect(dsn, APP, statement_timeout_s=10, side="classic") as conn:
        try:
            body = active_plan(conn)
        except NotInstalled:
            raise UsageError(f"no plan is stored on {masked(dsn)}", hint=NO_PLAN_HINT) from None
    return from_earlier(body) if any_version else from_body(body)


def find_classic(option: Path | None) -> str:
    """Return classic's connection string: of --plan, else MIGRATOR_CLASSIC_DSN, else of MIGRATOR_PLAN, else of the
    local servers. Needs no plan, because a rollback must not."""
    dsn = None if option else settings.classic_dsn_from_environment()
    if dsn:
        return dsn
    path = option or settings.plan_path()
    if path is not None:
        from migrator.plan.load import load

        return settings.resolve(load(path).classic.writer)
    dsn = settings.classic_dsn()
    if dsn is None:
        raise UsageError(
            "classic is not known", hint="Set MIGRATOR_CLASSIC_DSN, give --plan PLAN.toml, or set MIGRATOR_PLAN."
        )
    return dsn


@contextmanager
def classic(
    option: Path | None,
    *,
    statement_timeout_s: float | None = 30,
    lock_timeout_s: float | None = 10,
    any_version: bool = False,
) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection to classic for one command.

    Raises:
        WrongVersion: the tool's own tables there are of another version, unless *any_version*.
    """
    from migrator.control.install import require_version
    from migrator.db.connect import connect

    dsn = find_classic(option)
    with connect(
        dsn, APP, statement_timeout_s=statement_timeout_s, lock_timeout_s=lock_timeout_s, side="classic"
    ) as conn:
        if not any_version:
            require_version(conn)
        yield conn


@contextmanager
def limitless(plan: Plan, *, lock_timeout_s: float | None = None) -> Iterator[psycopg.Connection[Any]]:
    """Open a connection to Limitless for one command; raises WrongVersion as `classic` does."""
    from migrator.control.install import require_version
    from migrator.db.connect import connect

    with connect(settings.resolve(plan.limitless.dsn), APP, lock_timeout_s=lock_timeout_s, side="Limitless") as conn:
        require_version(conn, "Limitless")
        yield conn


@contextmanager
def both(
    plan: Plan,
    *,
    statement_timeout_s: float | None = None,
    lock_timeout_s: float | None = 10,
    any_version: bool = False,
) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """Open a connection to each side of *plan*; raises WrongVersion as `classic` does."""
    from migrator.control.install import require_version
    from migrator.db.connect import connect

    def opened(reference: str, side: str) -> psycopg.Connection[Any]:
        dsn = settings.resolve(reference)
        return connect(dsn, APP, statement_timeout_s=statement_timeout_s, lock_timeout_s=lock_timeout_s, side=side)

    with opened(plan.classic.writer, "classic") as one, opened(plan.limitless.dsn, "Limitless") as other:
        if not any_version:
            require_version(one)
            require_version(other, "Limitless")
        yield one, other


def require_installed(conn: psycopg.Connection[Any]) -> None:
    """Raise NotInstalled unless the control schema is on *conn*'s cluster."""
    from migrator.control.install import active_plan

    active_plan(conn)
