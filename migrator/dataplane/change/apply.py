"""Applies a file of schema changes to both sides, resumable after a kill between any two steps.

Checked as a whole first; then recorded; then each change goes through its steps, in an order in which Limitless
always accepts what classic holds. Every step detects what is done already, so running the file again goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrator.control import change as changes_of
from migrator.control.locks import only_change
from migrator.control.log import decide
from migrator.control.route import write_mode
from migrator.control.watch import problems as capture_problems
from migrator.dataplane.change import (
    attributes,
    columns,
    constraints,
    create,
    drop_table,
    enum_values,
    indexes,
    renames,
    whole,
)
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.check import check
from migrator.dataplane.change.followups import without_followups
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.progress import (
    Connection,
    Recorded,
    StepFn,
    Work,
    is_same,
    load_tables,
    record,
    unfinished,
)
from migrator.dataplane.change.request import read_requests
from migrator.dataplane.change.way_back import way_back
from migrator.errors import NoGo, PreconditionFailed
from migrator.model.action import Action
from migrator.model.route import WriteMode

_OBJECT: tuple[tuple[str, StepFn], ...] = (
    ("make_on_limitless", create.make_on_limitless),
    ("make_on_classic", create.make_on_classic),
    ("grant_on_limitless", create.grant_on_limitless),
)

_VALIDATED: tuple[tuple[str, StepFn], ...] = (
    ("validate_on_classic", constraints.validate_on_classic),
    ("describe", indexes.describe),
    ("know", columns.know),
    ("constrain_on_limitless", constraints.constrain_on_limitless),
)

STEPS: dict[Kind, tuple[tuple[str, StepFn], ...]] = {
    Kind.ADD_COLUMN: (
        ("add_on_limitless", columns.add_on_limitless),
        ("add_on_classic", columns.add_on_classic),
        ("know", columns.know),
        ("fill", columns.fill),
        ("set_default_on_limitless", columns.set_default_on_limitless),
    ),
    Kind.DROP_COLUMN: (
        ("loosen_on_limitless", columns.loosen_on_limitless),
        ("forget", columns.forget),
        ("know", columns.know),
        ("drop_on_classic", columns.drop_on_classic),
        ("know_again", columns.know),
        ("drop_on_limitless", columns.drop_on_limitless),
    ),
    Kind.CREATE_INDEX: (
        ("build_on_classic", indexes.build_on_classic),
        ("describe", indexes.describe),
        ("know", columns.know),
        ("build_on_limitless", indexes.build_on_limitless),
    ),
    Kind.DROP_INDEX: (
        ("drop_on_limitless", indexes.drop_on_limitless),
        ("drop_on_classic", indexes.drop_on_classic),
        ("describe", indexes.describe),
    ),
    Kind.CREATE_TABLE: (
        ("make_on_limitless", create.make_on_limitless),
        ("make_on_classic", create.make_on_classic),
        ("link_on_limitless", create.link_on_limitless),
        ("grant_on_limitless", create.grant_on_limitless),
        ("know", columns.know),
    ),
    Kind.DROP_TABLE: (
        ("drop_table_on_classic", drop_table.drop_table_on_classic),
        ("know", columns.know),
        ("drop_table_on_limitless", drop_table.drop_table_on_limitless),
    ),
    Kind.CREATE_TYPE: _OBJECT,
    Kind.CREATE_SEQUENCE: _OBJECT,
    Kind.ADD_LABEL: (
        ("label_on_limitless", enum_values.label_on_limitless),
        ("label_on_classic", enum_values.label_on_classic),
    ),
    Kind.ADD_CONSTRAINT: (("constrain_on_classic", constraints.constrain_on_classic), *_VALIDATED),
    Kind.ADD_UNIQUE: (
        ("build_on_classic", indexes.build_on_classic),
        ("index_to_constraint", constraints.index_to_constraint),
        ("describe", indexes.describe),
        ("know", columns.know),
        ("build_on_limitless", indexes.build_on_limitless),
    ),
    Kind.VALIDATE_CONSTRAINT: _VALIDATED,
    Kind.DROP_CONSTRAINT: (
        ("release_on_limitless", constraints.release_on_limitless),
        ("release_on_classic", constraints.release_on_classic),
        ("describe", indexes.describe),
    ),
    Kind.SET_NOT_NULL: (
        ("check_not_null_on_classic", attributes.check_not_null_on_classic),
        ("set_not_null_on_classic", attributes.set_not_null_on_classic),
        ("know", columns.know),
        ("set_not_null_on_limitless", attributes.set_not_null_on_limitless),
    ),
    Kind.DROP_NOT_NULL: (
        ("loosen_on_limitless", columns.loosen_on_limitless),
        ("drop_not_null_on_classic", attributes.drop_not_null_on_classic),
    ),
    Kind.SET_DEFAULT: (
        ("default_on_classic", attributes.default_on_classic),
        ("default_on_limitless", attributes.default_on_limitless),
    ),
    Kind.CHANGE_TYPE: (
        ("type_on_limitless", attributes.type_on_limitless),
        ("type_on_classic", attributes.type_on_classic),
        ("know", columns.know),
    ),
    Kind.RENAME: (
        ("rename_on_limitless", renames.rename_on_limitless),
        ("rename_on_classic", renames.rename_on_classic),
        ("constrain_on_limitless", renames.constrain_on_limitless),
        ("release_on_limitless", renames.release_on_limitless),
    ),
    Kind.BOTH_SIDES: (
        ("first_on_limitless", whole.first_on_limitless),
        ("on_classic", whole.on_classic),
        ("last_on_limitless", whole.last_on_limitless),
    ),
    Kind.CLASSIC_ONLY: (("on_classic", whole.on_classic),),
}

WORDS = {
    "add_on_limitless": "on Limitless, with what existing rows get",
    "add_on_classic": "on classic, together with the descriptor mirrors work by",
    "know": "wait until no mirror, copy or validation works with the old shape",
    "know_again": "wait until no mirror, copy or validation works with the old shape",
    "fill": "give existing rows its default in batches on classic; the journal carries them over",
    "set_default_on_limitless": "on Limitless, the default as it is written",
    "loosen_on_limitless": "on Limitless, let rows be written without it",
    "forget": "no mirror, copy or validation that begins now reads or writes it",
    "drop_on_classic": "drop it on classic",
    "drop_on_limitless": "drop it on Limitless",
    "drop_table_on_classic": "drop it on classic with its capture, in one transaction",
    "drop_table_on_limitless": "drop it on Limitless, with its sequences",
    "build_on_classic": "build it concurrently on classic",
    "describe": "tell mirrors which keys are unique",
    "make_on_limitless": "make it on Limitless, with its keys and indexes",
    "make_on_classic": "make it on classic, a table with its capture in one transaction",
    "link_on_limitless": "make its foreign keys on Limitless, if the other tables have theirs",
    "grant_on_limitless": "give Limitless the rights that classic has on it",
    "label_on_limitless": "on Limitless, so that it can take every row",
    "label_on_classic": "on classic",
    "constrain_on_classic": "on classic, for rows that are written from here on",
    "validate_on_classic": "let classic look at its rows, while they are written",
    "constrain_on_limitless": "on Limitless, validated",
    "index_to_constraint": "make the index a constraint on classic",
    "release_on_limitless": "drop it on Limitless, which then refuses less than classic",
    "release_on_classic": "drop it on classic",
    "check_not_null_on_classic": "let classic look for NULL, while rows are written",
    "set_not_null_on_classic": "on classic, which looks at no row any more",
    "set_not_null_on_limitless": "on Limitless, in the same two steps",
    "drop_not_null_on_classic": "on classic",
    "default_on_classic": "on classic, where rows are written",
    "default_on_limitless": "on Limitless, for the time after the hand-over",
    "type_on_limitless": "on Limitless, so that it can take every value",
    "type_on_classic": "on classic, together with the descriptor mirrors work by",
    "rename_on_limitless": "on Limitless, if it is an index there",
    "rename_on_classic": "on classic",
    "first_on_limitless": "on Limitless",
    "on_classic": "on classic",
    "last_on_limitless": "on Limitless",
    "build_on_limitless": "build it on Limitless, a unique one with the shard key",
}


@dataclass(frozen=True, slots=True)
class Applied:
    """What one run did: changes finished, in words, and statements of the file that held already."""

    finished: tuple[str, ...]
    held: int


def plan_changes(work: Work, text: str, source: str) -> tuple[list[Recorded], list[Change], int]:
    """Return what to do: earlier unfinished changes that the file names too, new ones, and how many hold already.

    Raises:
        NoGo: with every problem; nothing was changed.
        PreconditionFailed: nothing is captured.
    """
    load_tables(work)
    requests, unread = read_requests(text, tuple(work.tables.values()), tuple(work.plan.tables.schemas), source)
    problems: list[str] = _not_dual(work.classic)
    begun = unfinished(work.classic)
    going_on = [r for r in begun if not r.undoing and any(_means(r, w) or _goes_with(r, w) for w in requests)]
    problems += [
        f"{r.change.words}: it is being undone; let that end first (migrator schema undo)" for r in begun if r.undoing
    ]
    problems += [
        f"an earlier change is not finished: {r.change.words}; apply its file first, or take it back with "
        "migrator schema undo (migrator schema status)"
        for r in begun
        if r not in going_on and not r.undoing
    ]
    fresh = [w for w in requests if not any(_means(r, w) for r in going_on)]
    changes, refused = check(work.classic, work.limitless, work.plan, list(work.tables.values()), fresh)
    problems += [*without_followups(text, [*unread, *refused]), *capture_problems(work.classic)]
    if problems:
        raise NoGo(f"schema apply {source}", problems, hint="Nothing was changed.")
    return going_on, changes, len(fresh) - len(changes)


def _not_dual(conn: Connection) -> list[str]:
    mode = write_mode(conn)
    if mode is WriteMode.DUAL:
        return []
    return [f"the write mode is {mode}: schemas change on both sides only while classic takes the writes"]


def _means(recorded: Recorded, request: RequestedChange) -> bool:
    return is_same(recorded.change, request.kind, request.table, request.name, request.source)


def _goes_with(recorded: Recorded, request: RequestedChange) -> bool:
    """Whether it is dropped because a column is that *request* drops."""
    change = recorded.change
    return request.kind is Kind.DROP_COLUMN and (change.table, change.column) == (request.table, request.name)


def actions(going_on: Sequence[Recorded], changes: Sequence[Change]) -> list[Action]:
    """Return every step that would be done, for a dry run."""
    found = []
    for change, done in [*((r.change, r.step) for r in going_on), *((c, "") for c in changes)]:
        for name, _ in _left(change, done):
            if name == "fill" and not change.volatile:
                continue
            if name == ("first_on_limitless" if whole.drops(change.statement) else "last_on_limitless"):
                continue
            back = way_back(change.kind, name)
            found.append(Action(f"schema/{change.name}/{name}", f"{change.words}: {WORDS[name]}", back))
    return found


def apply(work: Work, text: str, source: str) -> Applied:
    """Carry out what *text* asks for; a second run finds nothing to do, and one that was killed goes on.

    Raises:
        NoGo: with every problem, before anything was changed; or rows do not allow a change.
        PreconditionFailed: nothing is captured, or another schema change runs.
        ClusterUnavailable: a lock, a mirror or a copy did not end in time; the next run goes on.
    """
    if not only_change(work.turns):
        raise PreconditionFailed("another schema change is running", hint="See it with: migrator schema status")
    _, changes, held = plan_changes(work, text, source)
    record(work.classic, changes, work.who)
    finished = []
    for recorded in unfinished(work.classic):
        _carry_out(work, recorded)
        finished.append(recorded.change.words)
    return Applied(tuple(finished), held)


def _left(change: Change, done: str) -> Sequence[tuple[str, StepFn]]:
    names = [name for name, _ in STEPS[change.kind]]
    return STEPS[change.kind][names.index(done) + 1 if done in names else 0 :]


def _carry_out(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    work.tell(change.words)
    for name, step in _left(change, recorded.step):
        work.watch(name, "begin")
        try:
            step(work, recorded)
        except NoGo as error:
            _note_problem(work.classic, recorded, error)
            raise
        work.watch(name, "acted")
        recorded.done(work.classic, name)
        work.watch(name, "done")
    with work.classic.transaction():
        changes_of.finish(work.classic, recorded.change_id)
        decide(work.classic, work.who, "schema.changed", change.table, change.words)


def _note_problem(conn: Connection, recorded: Recorded, error: NoGo) -> None:
    """Keep the reason; changes that have changed nothing yet are ended, so that they block no other file."""
    with conn.transaction():
        changes_of.set_problem(conn, recorded.change_id, "; ".join(error.blockers))
        changes_of.end_unbegun(conn)
