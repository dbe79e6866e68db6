"""Builds the schema on Limitless, verifies it, and drops exactly that again.

Each object is made in its own transaction together with its record in migrator.provisioned, so that a run killed
anywhere is continued by the next one, and undo drops what this tool made and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import psycopg
from psycopg import sql

from migrator.catalog.read import is_limitless
from migrator.catalog.values import Catalog, ForeignKey
from migrator.control.answers import learn
from migrator.control.install import install_limitless, installed_version, uninstall
from migrator.db.connect import fault
from migrator.db.error_text import server_message
from migrator.db.lock_retry import until_free
from migrator.errors import ClusterUnavailable, NoGo, UsageError
from migrator.inventory.look import remember
from migrator.model.action import Action
from migrator.model.blocker import Blocker
from migrator.model.side import Side
from migrator.model.sqlstate import Fault
from migrator.model.table import Table
from migrator.model.verdict import Verdict
from migrator.plan.schema import Plan
from migrator.privileges.require import blockers
from migrator.provision import probing
from migrator.provision.compare import MISSING, differences, foreign_key_differences
from migrator.provision.ddl_sql import Record, Step, drop, foreign_key_steps, same_foreign_key, steps
from migrator.provision.design import Design, design
from migrator.provision.one import make
from migrator.provision.read import available_extensions, read, routers
from migrator.provision.records import completed_from_records, concurrent_kinds, forget_made, made_here, make_apart
from migrator.provision.rights import grant_steps, notes, role_steps
from migrator.rights import check as rights_check
from migrator.rights import read as rights

Indexes = Literal["before", "after"]
"""Are secondary indexes made before the copy, or after it by `finalize` (the faster copy)?"""

Stage = Literal["empty", "mirrored", "final"]
"""Which foreign keys should be there: none, those that only check at commit, or those an application expects."""

Progress = Callable[[Action], None]
Conn = psycopg.Connection[Any]

LOCKED_TIMEOUT_S = 120.0
"""How long a step is retried while the mirror or an application holds its locks."""

INSTALL = Action("provision/control", "Install the tool's own tables (schema migrator)", "DROP SCHEMA migrator")


@dataclass(frozen=True, slots=True)
class ProvisionResult:
    """The result of provisioning: what it made, and whether Limitless now is as designed.

    Attributes:
        made: what this run made; empty when there was nothing to do.
        warnings: what was left out or changed on purpose.
        verdict: every blocker and every difference.
    """

    made: tuple[Action, ...]
    warnings: tuple[str, ...]
    verdict: Verdict
    seconds: float


def actions(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, *, indexes: Indexes = "before"
) -> tuple[Action, ...]:
    """Return what `provision` would do now.

    Raises:
        NoGo: with the blockers of `provision`, when it would not succeed.
    """
    verdict = check(classic, limitless, tables, plan, indexes=indexes)
    if not verdict.go:
        raise NoGo("provision", verdict.blockers)
    wanted = _design(classic, limitless, tables, plan)
    todo, _ = _steps(classic, limitless, tables, plan, wanted, indexes)
    return tuple(([] if installed_version(limitless) else [INSTALL]) + [s.action for s in todo])


def check(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, *, indexes: Indexes = "before"
) -> Verdict:
    """Return the blockers of `provision` now: those of the design, and what Limitless itself refuses.

    Only the server knows everything that it refuses, so all missing objects are made in one transaction that is rolled
    back. Not when every table exists already: then rows may be written, and building an index would block them.
    Rights are not compared: roles get their logins once they exist.
    """
    if lacks := blockers(limitless, Side.LIMITLESS, plan.tables):
        return Verdict(lacks)
    wanted = _design(classic, limitless, tables, plan)
    if blocking := (*wanted.blockers, *learn(limitless).blockers()):
        return Verdict(blocking)
    if wanted.catalog.tables.keys() <= read(limitless, _schemas(plan)).tables.keys():
        return Verdict()
    with limitless.transaction(force_rollback=True):
        return _provision(classic, limitless, tables, plan, wanted, indexes, None, dry=True).verdict


def provision(
    classic: Conn,
    limitless: Conn,
    tables: Sequence[Table],
    plan: Plan,
    *,
    indexes: Indexes = "before",
    on_step: Progress | None = None,
    ask: bool = False,
) -> ProvisionResult:
    """Make what Limitless lacks, then verify it. A second run finds nothing to do.

    With blockers of the design, or where Limitless or the tool's role lacks what is needed, nothing is made at all.
    What Limitless refuses is a blocker, and the rest is made.

    Args:
        ask: first probe the cluster's capabilities, unless this version was probed before.

    Raises:
        NoGo, ClusterUnavailable: it could not be probed; see `probing.probe`.
        UsageError: if *limitless* is not a Limitless server, where sharded tables would become ordinary ones.
    """
    if lacks := blockers(limitless, Side.LIMITLESS, plan.tables):
        return ProvisionResult((), (), Verdict(lacks), 0.0)
    wanted = _design(classic, limitless, tables, plan)
    if wanted.blockers:
        return ProvisionResult((), wanted.warnings, Verdict(wanted.blockers), 0.0)
    answers = probing.ensure(classic, limitless) if ask else learn(limitless)
    if answers.blockers():
        return ProvisionResult((), wanted.warnings, Verdict(answers.blockers()), 0.0)
    result = _provision(classic, limitless, tables, plan, wanted, indexes, on_step)
    if installed_version(classic) is not None:
        remember(classic, limitless, _schemas(plan))
    return result


def _provision(
    classic: Conn,
    limitless: Conn,
    tables: Sequence[Table],
    plan: Plan,
    wanted: Design,
    indexes: Indexes,
    on_step: Progress | None,
    *,
    dry: bool = False,
) -> ProvisionResult:
    """Make what Limitless lacks and verify it; when *dry*, without rights, and classic stays as it is."""
    began = time.monotonic()
    made: list[Action] = []
    if installed_version(limitless) is None:
        install_limitless(limitless)
        made.append(INSTALL)
    todo, left_out = _steps(classic, limitless, tables, plan, wanted, indexes)
    # What others depend on may be refused too; verification names what is missing, with the server's reason.
    refused = _run(limitless, [replace(s, best_effort=True) for s in todo], made, on_step)
    stage = _stage(limitless, wanted)
    compare = _verify_catalogs if dry else verify
    verdict = compare(classic, limitless, tables, plan, indexes=indexes, stage=stage)
    warnings = (*wanted.warnings, *left_out)
    return ProvisionResult(tuple(made), warnings, _explained(verdict, refused), time.monotonic() - began)


def verify(
    classic: Conn,
    limitless: Conn,
    tables: Sequence[Table],
    plan: Plan,
    *,
    indexes: Indexes = "before",
    stage: Stage = "empty",
) -> Verdict:
    """Compare the catalogs and the rights of both sides; return every difference as a blocker."""
    catalogs = _verify_catalogs(classic, limitless, tables, plan, indexes=indexes, stage=stage)
    return catalogs + Verdict(rights_check.check(classic, limitless, _schemas(plan), plan.gates.acknowledged))


def _verify_catalogs(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, *, indexes: Indexes, stage: Stage
) -> Verdict:
    wanted = _design(classic, limitless, tables, plan)
    existing = completed_from_records(limitless, read(limitless, _schemas(plan)), wanted.catalog)
    result = [
        *wanted.blockers,
        *learn(limitless).blockers(),
        *differences(wanted.catalog, existing, indexes=indexes == "before"),
    ]
    keys = _keys(wanted, existing, stage)
    result += foreign_key_differences(keys, existing.foreign_keys, [t.qualified for t in tables])
    return Verdict(tuple(b for b in result if _label(b) not in plan.gates.acknowledged))


def _label(blocker: Blocker) -> str:
    """Return what a plan names to acknowledge *blocker*: the missing object, else the blocker's text."""
    return blocker.subject if blocker.code == MISSING else blocker.text


def _keys(wanted: Design, existing: Catalog, stage: Stage) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of *stage*. One that has its final form early keeps it: changing it back would read its
    whole table under a lock, for nothing."""
    if stage == "empty":
        return ()
    if stage == "final":
        return wanted.final_foreign_keys
    final = {(k.table, k.name): k for k in wanted.final_foreign_keys}
    early = {n for k in existing.foreign_keys if (n := (k.table, k.name)) in final and same_foreign_key(k, final[n])}
    return tuple(final[n] if (n := (k.table, k.name)) in early else k for k in wanted.catalog.foreign_keys)


def finalize_actions(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, *, stage: Stage = "mirrored"
) -> tuple[Action, ...]:
    """Return what `finalize` would do now."""
    return tuple(s.action for s in _finalize_steps(classic, limitless, tables, plan, stage))


def finalize(
    classic: Conn,
    limitless: Conn,
    tables: Sequence[Table],
    plan: Plan,
    *,
    stage: Stage = "mirrored",
    on_step: Progress | None = None,
) -> ProvisionResult:
    """Make deferred indexes and the foreign keys of *stage*; run it when everything is copied. Safe to run twice.

    A key that rows violate is a blocker and the others are made.
    """
    began = time.monotonic()
    made: list[Action] = []
    todo = [replace(s, best_effort=True) for s in _finalize_steps(classic, limitless, tables, plan, stage)]
    refused = _run(limitless, todo, made, on_step)
    # Rights have gates of their own.
    verdict = _verify_catalogs(classic, limitless, tables, plan, indexes="before", stage=stage)
    return ProvisionResult(tuple(made), (), _explained(verdict, refused), time.monotonic() - began)


def analyze(limitless: Conn, tables: Sequence[Table]) -> None:
    """Gather statistics of everything copied: without them the planner reads whole tables for a few rows."""
    for table in tables:
        limitless.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.schema, table.name)))


def undo_actions(limitless: Conn) -> tuple[Action, ...]:
    """Return what `undo` would do now."""
    if installed_version(limitless) is None:
        return ()
    dropped = [_dropped(record) for record in made_here(limitless)]
    return (*dropped, Action("undo/control", "Drop the tool's own tables (schema migrator)", "provision again"))


def undo(limitless: Conn, *, with_rows: bool = False, on_step: Progress | None = None) -> tuple[str, ...]:
    """Drop what provisioning made, newest first; return what was kept because something else uses it.

    Raises:
        NoGo: if tables hold rows, unless *with_rows*.
    """
    if installed_version(limitless) is None:
        return ()
    made = made_here(limitless)
    if not with_rows:
        filled = [f"{_words(r)} holds rows" for r in made if r.kind == "table" and _has_rows(limitless, r)]
        if filled:
            raise NoGo("undo provision", filled, hint="Add --with-rows to delete these copies; classic is not touched.")
    kept = []
    for record in made:
        if record.kind == "role" and _can_log_in(limitless, record.name):
            kept.append(f"role {record.name} can log in now")
            continue
        try:
            with limitless.transaction():
                limitless.execute(drop(record))
                forget_made(limitless, record)
        except psycopg.errors.DependentObjectsStillExist:
            # something else depends on it: both stay
            kept.append(f"{_words(record)} is used by something this tool did not make")
            continue
        except _GONE:
            if record.kind != "grant":
                raise
            # the object or role was dropped, and the rights with it
        if on_step:
            on_step(_dropped(record))
    uninstall(limitless)
    return tuple(kept)


def empty(limitless: Conn) -> tuple[str, ...]:
    """Empty the tables that provisioning made, all at once; return their names. For undoing dual write."""
    if installed_version(limitless) is None:
        return ()
    names = [sql.Identifier(r.schema, r.name) for r in made_here(limitless) if r.kind == "table"]
    if names:
        limitless.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
    return tuple(n.as_string(None) for n in names)


# -- details -------------------------------------------------------------------------------------------

_GONE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidSchemaName,
)


def _stage(limitless: Conn, wanted: Design) -> Stage:
    """Return the stage of the foreign keys that earlier runs made: a run after the copy keeps them."""
    keys = {(k.table[0], k.table[1], k.name) for k in wanted.catalog.foreign_keys}
    made = {(r.schema, r.detail, r.name) for r in made_here(limitless) if r.kind == "constraint"} & keys
    if not made:
        return "empty"
    found = read(limitless, sorted(wanted.catalog.schemas | {schema for schema, _, _ in keys})).foreign_keys
    missing = foreign_key_steps(wanted.catalog.foreign_keys, found)
    return "final" if missing and not foreign_key_steps(wanted.final_foreign_keys, found) else "mirrored"


def _dropped(record: Record) -> Action:
    if record.kind == "grant":
        return Action(f"undo/grant/{record.name}", record.detail, "provision again")
    return Action(f"undo/{record.kind}/{record.schema}/{record.name}", f"Drop {_words(record)}", "provision again")


def _schemas(plan: Plan) -> list[str]:
    return list(plan.tables.schemas)


def _design(classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan) -> Design:
    if not is_limitless(limitless):
        raise UsageError(
            "the server named by limitless.dsn is not Aurora Limitless",
            hint="It has no rds_aurora.limitless_subclusters, so sharded tables would become ordinary ones there.",
        )
    return design(
        read(classic, _schemas(plan)),
        tables,
        available_extensions=available_extensions(limitless, plan.limitless.engine_version),
        acknowledged=plan.gates.acknowledged,
        routers=routers(limitless),
    )


def _steps(
    classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, wanted: Design, indexes: Indexes
) -> tuple[list[Step], list[str]]:
    """Return what Limitless lacks, and which rights are left out on purpose. Roles come first, grants last."""
    existing = completed_from_records(limitless, read(limitless, _schemas(plan)), wanted.catalog)
    here = rights.read(classic, _schemas(plan), effective=False)
    there = rights.read(limitless, _schemas(plan), roles=here.roles, effective=False)
    todo = role_steps(here, there)
    todo += steps(wanted.catalog, existing, indexes=indexes == "before")
    todo += grant_steps(here, there, wanted.catalog, tables)
    return todo, notes(here, there)


def _finalize_steps(classic: Conn, limitless: Conn, tables: Sequence[Table], plan: Plan, stage: Stage) -> list[Step]:
    wanted = _design(classic, limitless, tables, plan)
    existing = completed_from_records(limitless, read(limitless, _schemas(plan)), wanted.catalog)
    keys = _keys(wanted, existing, stage)
    todo = steps(wanted.catalog, existing, concurrently=concurrent_kinds(limitless))
    return todo + foreign_key_steps(keys, existing.foreign_keys)


def _run(limitless: Conn, todo: Sequence[Step], made: list[Action], on_step: Progress | None) -> dict[str, str]:
    """Run *todo*; return what was refused: the object's label to the server's reason.

    Functions and views may depend on each other in any order, so refused best-effort steps are retried while
    others still succeed. A deadlock with the mirror or the application is not a refusal.

    Raises:
        ClusterUnavailable: a step's tables stayed locked.
    """
    refused: dict[str, str] = {}
    waiting = list(todo)
    while waiting:
        again, progress = [], False
        for step in waiting:
            try:
                if not (tried := until_free(partial(_make, limitless, step), LOCKED_TIMEOUT_S)):
                    raise ClusterUnavailable(
                        "Limitless",
                        f"the tables that {step.label} needs stayed busy {tried}",
                        "End the long transaction (see pg_stat_activity), then run this again: it goes on from here.",
                    )
            except psycopg.Error as error:
                if not step.best_effort or limitless.broken or fault(error) in (Fault.UNREACHABLE, Fault.OVERLOADED):
                    raise
                again.append(step)
                refused[step.label] = server_message(error)
            else:
                progress = True
                refused.pop(step.label, None)
                made.append(step.action)
                if on_step:
                    on_step(step.action)
        waiting = again if progress else []
    return refused


def _explained(verdict: Verdict, refused: dict[str, str]) -> Verdict:
    """Return *verdict* with the server's reason for what is missing."""
    blockers = []
    for blocker in verdict.blockers:
        why = refused.get(_label(blocker))
        text = f"{blocker}, Limitless refuses it: {why}"
        blockers.append(blocker if why is None else Blocker(blocker.code, blocker.subject, text))
    missing = {_label(blocker) for blocker in verdict.blockers}
    if not verdict.go:  # a refused grant is among the blockers already, in other words
        blockers += [
            Blocker("object.refused", label, f"Limitless refuses: {label}: {why}")
            for label, why in refused.items()
            if label not in missing
        ]
    return Verdict(tuple(blockers))


def _make(limitless: Conn, step: Step) -> None:
    if step.apart:
        make_apart(limitless, step)
        return
    with limitless.transaction():
        make(limitless, step.record, step.statements, dict(step.settings))


def _can_log_in(limitless: Conn, role: str) -> bool:
    return limitless.execute("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", (role,)).fetchone() is not None


def _has_rows(limitless: Conn, record: Record) -> bool:
    name = f"{sql.Identifier(record.schema, record.name).as_string(None)}"
    there = limitless.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    if not there or not there[0]:
        return False
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(record.schema, record.name))
    row = limitless.execute(statement).fetchone()
    return bool(row and row[0])


def _words(record: Record) -> str:
    match record.kind:
        case "grant":
            return f"rights of {record.name}"
        case "function" | "procedure":
            return f"{record.kind} {record.detail}"
        case "constraint":
            return f"constraint {record.name} of {record.schema}.{record.detail}"
    return f"{record.kind} {record.schema + '.' if record.schema else ''}{record.name}"
