"""Prepares the write pause while traffic goes on, so that it has little to wait for; it can be run again."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator import settings
from migrator.control.tables import captured_tables
from migrator.decommission import attempt, dossier, hand_over, sequences, write_stop
from migrator.errors import NoGo
from migrator.inventory.look import losses, refresh
from migrator.model.table import Table
from migrator.plan.schema import Plan
from migrator.provision.apply import Stage, finalize, finalize_actions

Connection = psycopg.Connection[Any]

FINALIZE_TRIES = 5
"""So often the foreign keys are made while mirrors drop them again; then status says which are missing."""


def tables(classic: Connection) -> list[Table]:
    """Return the captured tables."""
    return list(captured_tables(classic).values())


def prepare(classic: Connection, limitless: Connection, plan: Plan) -> None:
    """Do, while traffic goes on, whatever the pause would wait for, and try what could fail in it.

    Raises:
        NoGo: with every blocker of every part.
    """
    refresh(classic, limitless)  # the pause reads the inventory on classic alone
    problems: list[str] = []
    try:
        make_keys(classic, limitless, plan, "final")
    except NoGo as no:
        problems += no.blockers
    problems += _sequences_ahead(classic, limitless, plan)
    problems += write_stop.rehearse(classic, tables(classic), plan.decommission.max_pause_s / 2)
    problems += hand_over.rehearse(limitless)
    problems += dossier.blockers(classic, plan, settings.home(), keep=True, fresh=True)
    if problems:
        raise NoGo("decommission", problems)


def make_keys(classic: Connection, limitless: Connection, plan: Plan, stage: str) -> None:
    """Make the indexes and foreign keys of *stage* ("mirrored" or "final") on Limitless, while mirrors may take some
    away again.

    Raises:
        NoGo: rows would be lost, or a key could not be made.
    """
    differences = losses(classic, limitless)
    if differences:
        raise NoGo("decommission", differences)
    stage_now: Stage = "final" if stage == "final" else "mirrored"
    for left in reversed(range(FINALIZE_TRIES)):
        result = finalize(classic, limitless, tables(classic), plan, stage=stage_now)
        if result.verdict.go:
            return
        # What was made and is to be made again, a mirror or a copy had to drop meanwhile: that is no error.
        todo = finalize_actions(classic, limitless, tables(classic), plan, stage=stage_now)
        if not left or not {a.id for a in result.made} & {a.id for a in todo}:
            raise NoGo("decommission", result.verdict.blockers)


def _sequences_ahead(classic: Connection, limitless: Connection, plan: Plan) -> list[str]:
    """Restart every sequence on Limitless while it is not used there, and store what was read; return blockers."""
    problems: list[str] = []
    prepared = attempt.Prepared(attempt.now(classic), {}, {})
    for facts in sequences.read(classic, limitless, list(plan.tables.schemas)):
        try:
            prepared.first[facts.qualified] = sequences.restart(limitless, facts, plan.decommission.sequence_headroom)
            prepared.column_max[facts.qualified] = facts.column_max
        except NoGo as no:
            problems += no.blockers
    if not problems:
        attempt.keep_sequences(classic, prepared)
    return problems
