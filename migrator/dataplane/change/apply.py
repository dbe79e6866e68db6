"""Applies a file of schema changes to both sides, resumable after a kill between any two steps.

Checked as a whole first; then recorded; then each change goes through its steps, in an order in which Limitless
always accepts what classic holds. Every step detects what is done already, so running the file again goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migrator.control import change as changes_of
from migrator.control.answers import learn
from migrator.control.locks import only_change
from migrator.control.log import decide
from migrator.control.route import write_mode
from migrator.control.tables import captured_tables
from migrator.control.watch import problems as capture_problems
from migrator.dataplane.change import columns, create, enum_values, indexes
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.check import check
from migrator.dataplane.change.progress import Connection, Recorded, Work, is_same, record, unfinished
from migrator.dataplane.change.request import Kind, RequestedChange, read_requests
from migrator.errors import NoGo, PreconditionFailed
from migrator.model.action import Action
from migrator.model.route import WriteMode

StepFn = Callable[[Work, Recorded], None]

_OBJECT: tuple[tuple[str, StepFn], ...] = (
    ("make_on_limitless", create.make_on_limitless),
    ("make_on_classic", create.make_on_classic),
    ("grant_on_limitless", create.grant_on_limitless),
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
    Kind.CREATE_TYPE: _OBJECT,
    Kind.CREATE_SEQUENCE: _OBJECT,
    Kind.ADD_LABEL: (
        ("label_on_limitless", enum_values.label_on_limitless),
        ("label_on_classic", enum_values.label_on_classic),
    ),
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
    "build_on_classic": "build it concurrently on classic",
    "describe": "tell mirrors which keys are unique",
    "make_on_limitless": "make it on Limitless, with its keys and indexes",
    "make_on_classic": "make it on classic, a table with its capture in one transaction",
    "link_on_limitless": "make its foreign keys on Limitless, if the other tables have theirs",
    "grant_on_limitless": "give Limitless the rights that classic has on it",
    "label_on_limitless": "on Limitless, so that it can take every row",
    "label_on_classic": "on classic",
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
    work.tables = {t.qualified: t for t in captured_tables(work.classic).values()}
    if not work.tables:
        raise PreconditionFailed(
            "no table is captured", hint="Dual write has not begun: change classic directly, then provision."
        )
    learn(work.limitless)
    requests, problems = read_requests(text, tuple(work.tables.values()), tuple(work.plan.tables.schemas))
    problems += _not_dual(work.classic)
    begun = unfinished(work.classic)
    going_on = [r for r in begun if any(_means(r, w) for w in requests)]
    problems += [
        f"an earlier change is not finished: {r.change.words}; apply its file first (migrator schema status)"
        for r in begun
        if r not in going_on
    ]
    fresh = [w for w in requests if not any(_means(r, w) for r in going_on)]
    changes, refused = check(work.classic, work.limitless, work.plan, list(work.tables.values()), fresh)
    problems += [*refused, *capture_problems(work.classic)]
    if problems:
        raise NoGo(f"schema apply {source}", problems, hint="Nothing was changed.")
    return going_on, changes, len(fresh) - len(changes)


def _not_dual(conn: Connection) -> list[str]:
    mode = write_mode(conn)
    if mode is WriteMode.DUAL:
        return []
    return [f"the write mode is {mode}: schemas change on both sides only while classic takes the writes"]


def _means(recorded: Recorded, request: RequestedChange) -> bool:
    return is_same(recorded.change, request.kind, request.table, request.name)


def actions(going_on: Sequence[Recorded], changes: Sequence[Change]) -> list[Action]:
    """Return every step that would be done, for a dry run."""
    found = []
    for change, done in [*((r.change, r.step) for r in going_on), *((c, "") for c in changes)]:
        for name, _ in _left(change, done):
            if name == "fill" and not change.volatile:
                continue
            found.append(Action(f"schema/{change.name}/{name}", f"{change.words}: {WORDS[name]}", None))
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
