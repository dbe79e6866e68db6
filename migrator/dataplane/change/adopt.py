"""Brings what was made past the tool to the other side, and into the inventory.

Both sides are compared, and every difference becomes tasks or is left with advice. Nothing is remembered in between:
a run that was killed is run again, finds what is done and goes on.

Order: Limitless can take every row before classic's tables are captured or described anew; what reads the whole, and
what lets applications read there, comes when every mirror has applied that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from migrator.catalog.objects import without_grants
from migrator.control import provisioned
from migrator.control.answers import learn
from migrator.control.copy_unit import to_copy
from migrator.control.locks import only_change
from migrator.control.route import write_mode
from migrator.control.tables import captured_tables
from migrator.control.tenant_copy import pending
from migrator.dataplane.change import adopt_objects, adopt_shape, adopt_tables
from migrator.dataplane.change.adoption import Left, Task
from migrator.dataplane.change.apply import apply
from migrator.dataplane.change.barrier import wait_since
from migrator.dataplane.change.progress import Work, unfinished
from migrator.errors import NoGo, PreconditionFailed
from migrator.inventory.look import look, refresh
from migrator.model.action import Action
from migrator.model.capture import Difference
from migrator.model.position import Snapshot
from migrator.model.route import WriteMode
from migrator.model.table import split_qualified
from migrator.provision.ddl_sql import Step, foreign_key_steps
from migrator.provision.design import Design
from migrator.provision.one import right_steps, rights_differ
from migrator.provision.sides import Sides

WRITE_PAUSE_S = 10.0
"""Writers of a table wait at most this long while the keys of its rows are journalled."""

_RECOPY = (
    "Writes may have passed the journal: restore what was changed, then copy everything again: migrator mirror recopy"
    " --reason …"
)


@dataclass(slots=True)
class Found:
    """What adopting would do, in order, and what it leaves; *backwards*: SQL that classic lacks."""

    tasks: list[Task] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    backwards: tuple[str, ...] = ()

    @property
    def actions(self) -> list[Action]:
        """Every step, for a dry run."""
        return [
            *(Action(f"adopt/{t.name}", t.words, None) for t in self.tasks),
            *(Action("adopt/apply", f"apply to classic: {text}", None) for text in self.backwards),
        ]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What one run did, in words, and what it left with advice."""

    done: tuple[str, ...]
    left: tuple[Left, ...]


def find(work: Work, write_pause_s: float = WRITE_PAUSE_S) -> Found:
    """Return what adopting would do now.

    Raises:
        NoGo: capture is lost for a reason that adopting does not end, or writes do not go to classic.
        PreconditionFailed: nothing is captured.
    """
    work.tables = {t.qualified: t for t in captured_tables(work.classic).values()}
    if not work.tables:
        raise PreconditionFailed(
            "no table is captured", hint="Dual write has not begun: change classic directly, then provision."
        )
    learn(work.limitless)
    refresh(work.classic, work.limitless)
    seen = adopt_shape.watched(work.classic)
    _require_adoptable(work, seen)
    differences = look(work.classic, work.limitless)
    sides = Sides.read(work.classic, work.limitless, work.plan)
    shape = adopt_shape.find(work, sides, seen)
    names = [d.subject.removeprefix("table ") for d in differences if d.code == "table-not-captured"]
    names += [
        name
        for d in differences
        if d.code == "left-behind" and d.subject.startswith("table ")  # detached: only if somebody says so
        if adopt_tables.is_named(work, name := d.subject.removeprefix("table "))
    ]
    made = adopt_tables.find(work, sides, names)
    everything = [*work.tables.values(), *made.tables]
    wanted = sides.wanted(everything)
    missing = _accepted(work, list(sides.look(everything).steps.values()))
    base = sides.look(list(work.tables.values())).steps
    late = [s for s in missing if s.label in base and s.record.kind in ("index", "constraint")]
    early = [s for s in missing if s not in late]
    objects = adopt_objects.find(
        sides, wanted.catalog, differences, {*(s.label for s in early), *(f"table {n}" for n in names)}
    )
    first = [
        *adopt_objects.making(early),
        *objects.tasks,
        *adopt_shape.first_tasks(shape),
        *_values(seen),
        *adopt_shape.describe_tasks(shape, seen, write_pause_s),
        *adopt_tables.tasks(work, made, write_pause_s),
    ]
    last = [
        *adopt_shape.last_tasks(shape),
        *_later(work, sides, wanted, late),
        *_rights(work, [t.qualified for t in made.tables], early),
    ]
    if first or last:
        last.insert(0, Task("know", "wait until every mirror has applied that", _know))
        last.append(Task("refresh", "compare both sides' inventory again", lambda w: refresh(w.classic, w.limitless)))
    return Found([*first, *last], [*shape.left, *made.left, *objects.left], (*shape.backwards, *objects.backwards))


def adopt(work: Work, write_pause_s: float = WRITE_PAUSE_S) -> Adopted:
    """Bring both sides and the inventory up to what is there; safe to run again, also after a kill.

    Raises:
        NoGo: see `find`; a side refuses a step, or a table's writers would wait too long.
        PreconditionFailed: nothing is captured, or a schema change runs, or is not finished.
        ClusterUnavailable: a lock, a mirror or a copy did not end in time; the next run goes on.
    """
    if not only_change(work.turns):
        raise PreconditionFailed("another schema change is running", hint="See it with: migrator schema status")
    begun = unfinished(work.classic)
    if begun:
        raise PreconditionFailed(
            f"a schema change is not finished: {', '.join(r.change.words for r in begun)}",
            hint="Apply its file again first: migrator schema status",
        )
    found = find(work, write_pause_s)
    done = []
    for task in found.tasks:
        work.tell(task.words)
        work.watch(task.name, "begin")
        task.act(work)
        work.watch(task.name, "acted")
        if task.name not in ("know", "refresh"):
            done.append(task.words)
    if found.backwards:
        done += apply(work, ";\n".join(found.backwards), "schema adopt").finished
    again = find(work, write_pause_s)
    undone = [Left(t.name, f"not done: {t.words}", "See what was said above") for t in again.tasks]
    return Adopted(tuple(done), (*again.left, *(u for u in undone if u.subject not in ("know", "refresh"))))


def _require_adoptable(work: Work, seen: adopt_shape.Watched) -> None:
    mode = write_mode(work.classic)
    problems = [f"capture is not as it was installed: {text}" for text in seen.rest]
    if mode is not WriteMode.DUAL:
        problems.append(f"the write mode is {mode}: schemas change on both sides only while classic takes the writes")
    if problems:
        raise NoGo(
            "schema adopt", problems, hint=f"Nothing was changed. {_RECOPY}" if seen.rest else "Nothing was changed."
        )


def _accepted(work: Work, steps: Sequence[Step]) -> list[Step]:
    """Leave out what the plan says may be missing."""
    return [s for s in steps if s.label not in work.plan.gates.acknowledged]


def _values(seen: adopt_shape.Watched) -> list[Task]:
    """Return the tasks that let the capture watch know of enums' new values."""
    return [
        Task(
            "note_values",
            f"note the values of type {schema}.{name}",
            partial(_note_values, schema=schema, name=name, adopted=difference),
        )
        for (schema, name), difference in seen.enums.items()
    ]


def _note_values(work: Work, schema: str, name: str, adopted: Difference) -> None:
    with work.classic.transaction():
        adopt_objects.note_values(work.classic, schema, name)
        adopt_shape.end_loss(work.classic, work.who, [adopted])


def _know(work: Work) -> None:
    row = work.classic.execute(
        "SELECT pg_current_snapshot()::text, extract(epoch FROM clock_timestamp())::float8"
    ).fetchone()
    assert row is not None
    wait_since(work, "schema adopt", Snapshot.parse(row[0]), float(row[1]))


def _later(work: Work, sides: Sides, wanted: Design, indexes: Sequence[Step]) -> list[Task]:
    """Return the tasks for what reads whole tables on Limitless: indexes, once all is copied, and foreign keys."""
    copied = not to_copy(work.classic) and not pending(work.classic)
    found = list(indexes) if copied else []
    keys = wanted.catalog.foreign_keys
    there = sides.existing(wanted.catalog).foreign_keys
    recorded = {(m.schema, m.detail, m.name) for m in provisioned.made(work.limitless) if m.kind == "constraint"}
    if {(k.table[0], k.table[1], k.name) for k in keys} & recorded:  # the others have theirs
        have = {(k.table, k.name) for k in there}
        found += foreign_key_steps([k for k in keys if (k.table, k.name) not in have], there)
    return [Task("build_on_limitless", f"make {s.label} on Limitless", partial(_build, step=s)) for s in found]


def _build(work: Work, step: Step) -> None:
    with work.alone(step.label):
        adopt_objects.make_step(work, step)


def _rights(work: Work, new: Sequence[str], early: Sequence[Step]) -> list[Task]:
    """Return the task that grants on Limitless what classic grants on what is new, or was left without by a kill."""
    schemas = sorted({t.schema for t in work.tables.values()})
    bare = without_grants(work.limitless, schemas)
    made = [("table", *split_qualified(name)) for name in new]
    made += [("table", t.schema, t.name) for t in work.tables.values() if (t.schema, t.name) in bare]
    made += [(s.record.kind, s.record.schema, s.record.name) for s in early]
    if (
        not new
        and not early
        and not right_steps(work.classic, work.limitless, list(work.tables.values()), work.plan, made)
    ):
        return []
    return [Task("grant_on_limitless", "give Limitless the rights that classic has on it", partial(_grant, made=made))]


def _grant(work: Work, made: Sequence[tuple[str, str, str]]) -> None:
    for step in right_steps(work.classic, work.limitless, list(work.tables.values()), work.plan, made):
        adopt_objects.make_any(work, [step])
    for difference in rights_differ(work.classic, work.limitless, work.plan):
        work.tell(f"rights: {difference}")
