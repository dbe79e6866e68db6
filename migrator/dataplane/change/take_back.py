"""Takes back a schema change that is not finished, step by step, resumable after a kill between any two.

Most changes are taken back by the steps of their opposite, which find on each side what is there and what is not: a
kill may have come after a step took effect and before it was recorded. From the step on after which rows or values
would be missing on a side, a change can only be finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from migrator.catalog.details import constraints as constraints_of
from migrator.control import change as changes_of
from migrator.control.locks import only_change
from migrator.control.log import decide
from migrator.dataplane.change import (
    attributes,
    change_sql,
    columns,
    constraints,
    create,
    enum_values,
    indexes,
    renames,
    whole,
)
from migrator.dataplane.change.inspect import column_of, columns_of, index_of
from migrator.dataplane.change.kinds import Kind
from migrator.dataplane.change.progress import Recorded, StepFn, Work, load_tables, unfinished
from migrator.errors import NoGo, PreconditionFailed
from migrator.model.action import Action


@dataclass(frozen=True, slots=True)
class Way:
    """How a kind of change is taken back.

    Attributes:
        steps: in order, each with its name and words.
        too_late: says why it can only be finished, '' while it can be taken back.
    """

    steps: tuple[tuple[str, str, StepFn], ...]
    too_late: Callable[[Work, Recorded], str] = lambda work, recorded: ""


def _passed(*steps: str, why: str) -> Callable[[Work, Recorded], str]:
    """Too late from one of *steps* on, each of which is recorded in the transaction that carries it out."""
    return lambda work, recorded: why if recorded.step in steps else ""


def _index_gone(work: Work, recorded: Recorded) -> str:
    change = recorded.change
    there = index_of(work.classic, change.schema, change.name)
    return "" if there is not None and there[1] else "classic has dropped the index"


def _constraint_gone(work: Work, recorded: Recorded) -> str:
    there = constraints_of(work.classic, change_sql.table_name(recorded.change.table))
    return "" if recorded.change.name in there else "classic has dropped the constraint"


def _null_allowed(work: Work, recorded: Recorded) -> str:
    column = columns_of(work.classic, recorded.change.table).get(recorded.change.name)
    return "" if column is not None and column[1] else "classic accepts NULL already, so rows may hold it"


def _labelled(work: Work, recorded: Recorded) -> str:
    if recorded.change.name in enum_values.labels_of(work.limitless, recorded.change.table):
        return "Limitless has the value already, and PostgreSQL drops no value of an enum"
    return ""


def _validated(work: Work, recorded: Recorded) -> str:
    found = constraints_of(work.classic, change_sql.table_name(recorded.change.table)).get(recorded.change.name)
    return "classic has validated it, which PostgreSQL does not take back" if found and found.validated else ""


def _on_classic_done(work: Work, recorded: Recorded) -> str:
    if recorded.step in ("on_classic", "last_on_limitless"):
        return "classic has run the statement"
    if recorded.change.late:
        return "classic may have run the statement, which takes no transaction"
    made_there = recorded.change.there and not whole.drops(recorded.change.statement)
    if made_there and not recorded.change.before:
        return "Limitless may have run the statement, and what it had before is not known"
    return ""


def _changed(recorded: Recorded, **values: Any) -> Recorded:
    return replace(recorded, change=replace(recorded.change, **values))


def _default_as_before(step: StepFn) -> StepFn:
    return lambda work, recorded: step(work, _changed(recorded, default=recorded.change.before))


def _type_as_on_classic(work: Work, recorded: Recorded) -> None:
    """Limitless gets the type that classic still has: an earlier change of the file may have made it another."""
    column = column_of(work.classic, recorded.change.table, recorded.change.name)
    collation = sql.Identifier(*column.collation).as_string(None) if column.collation else ""
    attributes.type_on_limitless(work, _changed(recorded, type=column.declared, collation=collation))


def _unless_there_before(step: StepFn) -> StepFn:
    """Classic keeps what it had before the change."""
    return lambda work, recorded: None if recorded.change.before else step(work, recorded)


def _as_unique(step: StepFn) -> StepFn:
    return lambda work, recorded: step(work, _changed(recorded, condition="u"))


def _under_its_old_name(step: StepFn) -> StepFn:
    def back(work: Work, recorded: Recorded) -> None:
        change = recorded.change
        step(work, _changed(recorded, name=change.renamed, renamed=change.name))

    return back


def _forbid_null_again(work: Work, recorded: Recorded) -> None:
    """Limitless forbids NULL where classic does."""
    column = columns_of(work.classic, recorded.change.table).get(recorded.change.name)
    if column is not None and column[1]:
        attributes.set_not_null_on_limitless(work, recorded)


def _constrain_again(work: Work, recorded: Recorded) -> None:
    """Limitless gets the constraint that classic still has: a unique one as provisioning makes it."""
    found = constraints_of(work.classic, change_sql.table_name(recorded.change.table))[recorded.change.name]
    (indexes.build_on_limitless if found.sort == "u" else constraints.constrain_on_limitless)(work, recorded)


def _nothing_but_records(work: Work, recorded: Recorded) -> None:
    """Nothing took effect on either side."""


_DESCRIBE = ("describe", "tell mirrors which keys are unique", indexes.describe)

_AGAIN = "apply the file again, once all of this is done"

_UNMADE = Way(
    (("take_back_on_limitless", "drop what was made for it on Limitless", create.take_back),),
    _passed("make_on_classic", "link_on_limitless", "grant_on_limitless", "know", why="classic has it already"),
)

WAYS: dict[Kind, Way] = {
    Kind.ADD_COLUMN: Way(
        (
            ("loosen_on_limitless", "on Limitless, let rows be written without it", columns.loosen_on_limitless),
            ("forget", "no mirror, copy or validation that begins now reads or writes it", columns.forget),
            ("know", "wait until nothing works with the column", columns.know),
            ("drop_on_classic", "drop the column on classic, with what was written to it", columns.drop_on_classic),
            ("know_again", "wait until nothing works with the column", columns.know),
            ("drop_on_limitless", "drop the column on Limitless", columns.drop_on_limitless),
        )
    ),
    Kind.DROP_COLUMN: Way(
        (("forbid_null", "on Limitless, NOT NULL again where classic has it", _forbid_null_again),),
        _passed(
            "forget",
            "know",
            "drop_on_classic",
            "know_again",
            "drop_on_limitless",
            why="mirrors have stopped writing the column, so Limitless lacks its newer values",
        ),
    ),
    Kind.CREATE_INDEX: Way(
        (
            ("drop_on_limitless", "drop the index on Limitless", indexes.drop_on_limitless),
            (
                "drop_on_classic",
                "drop the index on classic, unless it was there before",
                _unless_there_before(indexes.drop_on_classic),
            ),
            _DESCRIBE,
        )
    ),
    Kind.DROP_INDEX: Way(
        (("build_on_limitless", "build it again on Limitless", indexes.build_on_limitless),), _index_gone
    ),
    Kind.CREATE_TABLE: _UNMADE,
    Kind.DROP_TABLE: Way(
        (("nothing", "no side has dropped it", _nothing_but_records),),
        _passed(
            "drop_table_on_classic",
            "know",
            "drop_table_on_limitless",
            why="classic has dropped the table with its rows",
        ),
    ),
    Kind.CREATE_TYPE: _UNMADE,
    Kind.CREATE_SEQUENCE: _UNMADE,
    Kind.ADD_LABEL: Way((("nothing", "no side has the value", _nothing_but_records),), _labelled),
    Kind.ADD_CONSTRAINT: Way(
        (
            ("release_on_limitless", "drop it on Limitless", constraints.release_on_limitless),
            ("release_on_classic", "drop it on classic", constraints.release_on_classic),
            _DESCRIBE,
        )
    ),
    Kind.ADD_UNIQUE: Way(
        (
            ("release_on_limitless", "drop it on Limitless", _as_unique(constraints.release_on_limitless)),
            ("release_on_classic", "drop it on classic", constraints.release_on_classic),
            ("drop_on_classic", "drop its index on classic", indexes.drop_on_classic),
            _DESCRIBE,
        )
    ),
    Kind.VALIDATE_CONSTRAINT: Way((("nothing", "no side has validated it", _nothing_but_records),), _validated),
    Kind.DROP_CONSTRAINT: Way(
        (("constrain_on_limitless", "make it again on Limitless", _constrain_again),), _constraint_gone
    ),
    Kind.SET_NOT_NULL: Way(
        (
            ("loosen_on_limitless", "on Limitless, accept NULL again", columns.loosen_on_limitless),
            (
                "drop_not_null_on_classic",
                "on classic, accept NULL again, if it did before",
                _unless_there_before(attributes.drop_not_null_on_classic),
            ),
            ("drop_helper", "drop the CHECK that looked for NULL on both sides", attributes.drop_helper),
            ("know", "wait until nothing works with the old shape", columns.know),
        )
    ),
    Kind.DROP_NOT_NULL: Way((("forbid_null", "on Limitless, NOT NULL again", _forbid_null_again),), _null_allowed),
    Kind.SET_DEFAULT: Way(
        (
            ("default_on_classic", "the earlier default on classic", _default_as_before(attributes.default_on_classic)),
            (
                "default_on_limitless",
                "the earlier default on Limitless",
                _default_as_before(attributes.default_on_limitless),
            ),
        )
    ),
    Kind.CHANGE_TYPE: Way(
        (("type_on_limitless", "the earlier type on Limitless", _type_as_on_classic),),
        _passed("type_on_classic", "know", why="classic has the new type already, so rows may need it"),
    ),
    Kind.RENAME: Way(
        (
            ("rename_on_limitless", "its old name on Limitless", _under_its_old_name(renames.rename_on_limitless)),
            ("rename_on_classic", "its old name on classic", _under_its_old_name(renames.rename_on_classic)),
            (
                "constrain_on_limitless",
                "on Limitless, validated, under its old name",
                _under_its_old_name(renames.constrain_on_limitless),
            ),
            (
                "release_on_limitless",
                "drop it on Limitless under its new name",
                _under_its_old_name(renames.release_on_limitless),
            ),
        )
    ),
    Kind.BOTH_SIDES: Way(
        (("back_on_limitless", "what it had before, on Limitless", whole.back_on_limitless),), _on_classic_done
    ),
    Kind.CLASSIC_ONLY: Way((("nothing", "classic has not run it", _nothing_but_records),), _on_classic_done),
}


@dataclass(frozen=True, slots=True)
class Found:
    """The changes that are not finished, and what taking them back would do.

    Attributes:
        unbegun: recorded, and nothing of them is done.
        begun: the one that was under way, None where there is none.
    """

    begun: Recorded | None
    unbegun: tuple[Recorded, ...]
    actions: tuple[Action, ...]


def find(work: Work) -> Found:
    """Return what is not finished.

    Raises:
        NoGo: a change can only be finished by now; with the reason.
    """
    load_tables(work)
    begun, unbegun = None, []
    for number, recorded in enumerate(unfinished(work.classic)):
        if number == 0:  # changes are carried out in order; its first step may have taken effect unrecorded
            begun = recorded
        else:
            unbegun.append(recorded)
    if begun is None:
        return Found(None, (), ())
    if not begun.undoing and (why := WAYS[begun.change.kind].too_late(work, begun)):
        raise NoGo(
            "schema undo",
            [f"{begun.change.words}: {why}"],
            hint="Finish it: apply its file again (migrator schema status).",
        )
    found = [
        Action(f"schema/undo/{begun.change.name}/{name}", f"{begun.change.words}: {words}", _AGAIN)
        for name, words, _ in _left(begun)
    ]
    found += [
        Action(f"schema/undo/{r.change.name}", f"{r.change.words}: not begun, forget it", _AGAIN) for r in unbegun
    ]
    return Found(begun, tuple(unbegun), tuple(found))


def undo(work: Work) -> tuple[str, ...]:
    """Take back what is not finished; return the changes, in words. A run that was killed goes on.

    Raises:
        NoGo: a change can only be finished by now.
        PreconditionFailed: another schema change runs.
        ClusterUnavailable: a lock, a mirror or a copy did not end in time; the next run goes on.
    """
    if not only_change(work.turns):
        raise PreconditionFailed("another schema change is running", hint="See it with: migrator schema status")
    found = find(work)
    if found.begun is None:
        return ()
    with work.classic.transaction():
        if not found.begun.undoing:
            found.begun.undoing = True
            found.begun.done(work.classic, "")
        for recorded in found.unbegun:
            _finish(work, recorded, "not begun, and undone with the change before it")
    _take_back(work, found.begun)
    return (found.begun.change.words, *(r.change.words for r in found.unbegun))


def _left(recorded: Recorded) -> Sequence[tuple[str, str, StepFn]]:
    steps = WAYS[recorded.change.kind].steps
    names = [name for name, _, _ in steps]
    return steps[names.index(recorded.step) + 1 if recorded.undoing and recorded.step in names else 0 :]


def _take_back(work: Work, recorded: Recorded) -> None:
    work.tell(f"undo: {recorded.change.words}")
    for name, _, step in _left(recorded):
        work.watch(name, "begin")
        step(work, recorded)
        work.watch(name, "acted")
        recorded.done(work.classic, name)
        work.watch(name, "done")
    _finish(work, recorded, f"undone by {work.who}")


def _finish(work: Work, recorded: Recorded, problem: str) -> None:
    change = recorded.change
    with work.classic.transaction():
        changes_of.set_problem(work.classic, recorded.change_id, problem)
        changes_of.finish(work.classic, recorded.change_id)
        decide(work.classic, work.who, "schema.undone", change.table, f"{change.words}: {problem}")
