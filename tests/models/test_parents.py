"""Every interleaving of a parent that changes its tenant, a transaction that writes its child, and two mirrors.

The second explicit-state model: a derived table. Which tenant a child belongs to is decided by its parent; a
transaction beside the move journals the child under the tenant it sees. The batch and the snapshots are the product's
own code; what triggers journal (`capture`), what a mirror reads (`mirror.rows_sql`) and looks up beside
(`mirror.completion`) is said once more, in a few lines each.

Invariant, in every reachable state: what Limitless holds of each tenant is what classic holds of it at the position
of that tenant's mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import pytest

from migrator.dataplane.mirror.batch import Raw, TableBatch, add
from migrator.model.position import Snapshot
from migrator.model.table import Column, Hop, Table, TableKind

PARENT = Table(
    schema="s",
    name="parent",
    kind=TableKind.SHARDED,
    columns=(Column("id", "text"), Column("tenant_id", "bigint")),
    key=("id",),
    tenant_column="tenant_id",
    tenant_source="tenant_id",
)
CHILD = Table(
    schema="s",
    name="child",
    kind=TableKind.SHARDED,
    columns=(Column("id", "text"), Column("parent_id", "text"), Column("v", "text")),
    key=("id",),
    tenant_column="tenant_id",
    tenant_source="tenant_id",
    path=(Hop(("parent_id",), "s.parent", ("id",), enforced=True),),
)
FIRST_XID = 10
TENANTS = ("1", "2")

Value = tuple[str, ...] | None
"""Of a parent: its tenant. Of a child: its parent and v. None: no such row."""
Rows = frozenset[tuple[str, str, tuple[str, ...]]]  # table, key, value


@dataclass(frozen=True)
class Entry:
    """A journal entry; without a tenant every mirror reads it."""

    table: str
    key: str
    tenant: str | None
    xid: int
    moved: bool = False


class Writer(NamedTuple):
    """A transaction: its statements, how far it is; *frozen* is what it saw committed when it began, if it froze it."""

    script: tuple[str, ...]
    repeatable: bool = False
    action: str = "no action"  # of the child's foreign key
    xid: int | None = None
    done: int = 0
    ended: str = ""
    frozen: frozenset[int] | None = None


class Mirror(NamedTuple):
    """A tenant's mirror: what it has read and not yet committed."""

    read: tuple[Snapshot, Rows] | None = None  # S2, and all of the tenant as it will be


class World(NamedTuple):
    writers: tuple[Writer, ...]
    versions: tuple[tuple[str, str, int, Value], ...]  # table, key, xid, value; in the order written
    journal: frozenset[Entry]
    next_xid: int
    positions: tuple[Snapshot, ...]  # by tenant
    target: tuple[Rows, ...]
    mirrors: tuple[Mirror, ...]
    crashes: int

    def committed(self) -> frozenset[int]:
        return frozenset(w.xid for w in self.writers if w.xid is not None and w.ended == "committed")

    def running(self) -> frozenset[int]:
        return frozenset(w.xid for w in self.writers if w.xid is not None and not w.ended)

    def snapshot(self) -> Snapshot:
        running = self.running()
        return Snapshot(min(running, default=self.next_xid), self.next_xid, running)

    def rows(self, sees: Callable[[int], bool]) -> dict[tuple[str, str], tuple[str, ...]]:
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for table, key, xid, value in self.versions:
            if xid < FIRST_XID or sees(xid):
                if value is None:
                    found.pop((table, key), None)
                else:
                    found[table, key] = value
        return found

    def at(self, snapshot: Snapshot) -> dict[tuple[str, str], tuple[str, ...]]:
        committed = self.committed()
        return self.rows(lambda xid: xid in committed and snapshot.covers(xid))


def tenant_of(rows: dict[tuple[str, str], tuple[str, ...]], table: str, key: str) -> str | None:
    value = rows.get((table, key))
    if value is None:
        return None
    if table == "parent":
        return value[0]
    parent = rows.get(("parent", value[0]))
    return parent[0] if parent else None


def of_tenant(rows: dict[tuple[str, str], tuple[str, ...]], tenant: str) -> Rows:
    return frozenset((t, k, v) for (t, k), v in rows.items() if tenant_of(rows, t, k) == tenant)


# -- what applications do, and what the triggers journal ---------------------------------------------------------


Effect = tuple[list[tuple[str, str, Value]], set[Entry]]


def replaced(
    w: World, writer: Writer, xid: int, before: dict[tuple[str, str], tuple[str, ...]], rules: Rules
) -> Effect:
    """The parent is deleted and inserted again for the other tenant, in one statement: what happens to the child?

    The triggers run at the end, when the parent is there again. So the child's own trigger looks its tenant up in the
    new one.
    """
    (old,) = before["parent", "p"]
    new = "2" if old == "1" else "1"
    written: list[tuple[str, str, Value]] = [("parent", "p", (new,))]
    entries = {Entry("parent", "p", old, xid, moved=True), Entry("parent", "p", new, xid)}
    child = before.get(("child", "c"))
    if child is not None and child[0] == "p":
        if writer.action == "restrict":
            return [], set()
        if writer.action == "cascade":
            written.append(("child", "c", None))
            entries.add(Entry("child", "c", new, xid))
        elif writer.action in ("set null", "set default"):
            link = "q" if writer.action == "set default" else ""
            written.append(("child", "c", (link, child[1])))
            entries |= {Entry("child", "c", t, xid) for t in (new, None)}
            if link:
                entries.add(Entry("child", "c", before["parent", "q"][0], xid))
        elif rules.who_has_it:
            entries |= {Entry("child", "c", t, xid) for t in (old, new)}
    if rules.who_has_it:
        entries.add(Entry("parent", "p", new, xid, moved=True))
    return written, entries


def away_and_back(word: str, writer: Writer, xid: int, before: dict[tuple[str, str], tuple[str, ...]]) -> Effect:
    """A parent under a deferrable key goes in one statement and comes for the other tenant in a later one."""
    assert writer.action == "deferrable"
    tenant = before["parent", "p"][0] if word == "remove" else "2"
    children = {k for (t, k), v in before.items() if t == "child" and v[0] == "p"}
    entries = {Entry("parent", "p", tenant, xid, moved=True)} | {Entry("child", k, tenant, xid) for k in children}
    return [("parent", "p", None if word == "remove" else (tenant,))], entries


def statement(w: World, writer: Writer, xid: int, rules: Rules) -> Effect | None:
    """Return what the next statement writes and what its triggers journal; None when it must wait for a lock."""
    visible = writer.frozen if writer.frozen is not None else w.committed()
    before = w.rows(lambda x: x in visible or x == xid)
    word = writer.script[writer.done]
    table = "parent" if word in OF_PARENT else "child"
    key = "p" if word in OF_PARENT else "c"
    others = {(t, k) for t, k, x, _ in w.versions if x in w.running() - {xid}}
    if (table, key) in others:
        return None
    gone = any(o.xid in w.running() - {xid} and set(o.script) & {"replace", "remove"} for o in w.writers)
    if (word in ("replace", "remove") and ("child", "c") in others) or (word in ("insert", "leave") and gone):
        return None  # the foreign key's lock on the parent; for an update of the child that is more than there is
    newest = w.rows(lambda x: x in w.committed() or x == xid)
    if writer.frozen is not None and newest.get((table, key)) != before.get((table, key)):
        return [], set()  # could not serialize: nothing happens, the transaction ends as it likes
    if word == "replace":
        return replaced(w, writer, xid, before, rules)
    if word in ("remove", "restore"):
        return away_and_back(word, writer, xid, before)
    if word == "insert" and newest.get(("parent", "p")) != before.get(("parent", "p")) and _replacing(w):
        return [], set()  # the foreign key finds that the parent it sees is gone
    old = before.get((table, key))
    new: Value = old
    if word == "move":
        new = ("2" if old == ("1",) else "1",)
    elif word == "write" and old:
        new = (old[0], old[1] + str(xid))
    elif word == "insert" and not old:
        new = ("p", f"new{xid}")
    elif word == "delete":
        new = None
    elif word == "leave" and old:
        new = ("q", old[1])
    if new == old:
        return [], set()
    entries: set[Entry] = set()
    if table == "parent":
        assert old and new
        for tenant in (old[0], new[0]):
            entries.add(Entry("parent", "p", tenant, xid, moved=True))
            entries |= {Entry("child", k, tenant, xid) for (t, k), v in before.items() if t == "child" and v[0] == "p"}
    else:
        for value in (old, new):
            if value is not None:
                above = before.get(("parent", value[0]))
                entries.add(Entry("child", "c", above[0] if above else None, xid))
                if writer.frozen is not None:
                    entries.add(Entry("child", "c", None, xid))
        if old and new and old[0] != new[0]:
            entries.add(Entry("child", "c", None, xid))
    return [(table, key, new)], entries


T = TypeVar("T")

OF_PARENT = ("move", "replace", "remove", "restore")


def _replacing(w: World) -> bool:
    return any({"replace", "remove"} & set(writer.script) for writer in w.writers)


def writer_steps(w: World, rules: Rules) -> Iterator[World]:
    for n, writer in enumerate(w.writers):
        if writer.ended:
            continue
        if writer.repeatable and writer.frozen is None:
            yield w._replace(writers=_with(w.writers, n, writer._replace(frozen=w.committed())))
            continue
        if writer.done < len(writer.script):
            xid = writer.xid or w.next_xid
            effect = statement(w, writer, xid, rules)
            if effect is None:
                continue
            written, entries = effect
            yield w._replace(
                writers=_with(w.writers, n, writer._replace(xid=xid, done=writer.done + 1)),
                versions=(*w.versions, *((t, k, xid, v) for t, k, v in written)),
                journal=w.journal | entries,
                next_xid=max(w.next_xid, xid + 1),
            )
        else:
            for ended in ("committed", "aborted"):
                yield w._replace(writers=_with(w.writers, n, writer._replace(ended=ended)))


def _with(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


# -- what a mirror does ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """What a mirror minds, and capture; without one of them the model must fail."""

    children_of_moved: bool = True  # looks for children of parents that moved, on both sides
    strays: bool = True  # reads derived entries of transactions that ran at S1, wherever they stand
    who_has_it: bool = True  # a parent that goes names the one that stands in its place, and what is below


def raw(rows: dict[tuple[str, str], tuple[str, ...]], table: str, key: str, dirty: str | None, moved: bool) -> Raw:
    value = rows.get((table, key))
    present = tenant_of(rows, table, key)
    columns = (key, *value) if value else ((key, None) if table == "parent" else (key, None, None))
    return (dirty, present, "t" if present else "f", "t" if moved else "f", key, *columns)


def read(w: World, n: int, rules: Rules) -> tuple[Snapshot, Rows]:
    """What the real cycle reads and looks up, sorted by the real batch; returns the tenant as it will be."""
    mine, s1, s2 = TENANTS[n], w.positions[n], w.snapshot()
    now, committed, scope = w.at(s2), w.committed(), {TENANTS[n]}
    target = {(t, k): v for t, k, v in w.target[n]}
    batches = {"parent": TableBatch(PARENT), "child": TableBatch(CHILD)}
    for table, batch in batches.items():
        lines = set()
        for e in w.journal:
            new = e.xid in committed and s2.covers(e.xid) and not s1.covers(e.xid)
            own = e.tenant in (mine, None)
            stray = rules.strays and table == "child" and e.xid in s1.xip
            if e.table == table and new and (own or stray):
                known = e.tenant if own and not (table == "child" and e.xid in s1.xip) else None
                lines.add(raw(now, table, e.key, known, e.moved))
        add(batch, sorted(lines, key=str), scope)
    child = batches["child"]
    if child.tenantless_keys:  # who has them here?
        add(child, [raw(now, "child", k, mine, False) for t, k in target if t == "child"], scope)
    if rules.children_of_moved:
        suspects = {key[0] for _, key in batches["parent"].deletes | batches["parent"].moved}
        moved = {key[0] for _, key in batches["parent"].moved}
        here = [k for (t, k), v in target.items() if t == "child" and v[0] in suspects]
        there = [k for (t, k), v in now.items() if t == "child" and v[0] in moved]
        add(child, [raw(now, "child", k, mine, False) for k in here], scope)
        add(child, [raw(now, "child", k, None, False) for k in there], scope)
    for table, batch in batches.items():
        for tenant, key in batch.deletes:
            assert tenant == mine
            target.pop((table, key[0]), None)
        for (tenant, key), values in batch.upserts.items():
            assert tenant == mine
            target[table, key[0]] = tuple(v or "" for v in values[1:])
    return s2, frozenset((t, k, v) for (t, k), v in target.items())


def mirror_steps(w: World, rules: Rules) -> Iterator[World]:
    for n, mirror in enumerate(w.mirrors):
        if mirror.read is None:
            if w.snapshot() != w.positions[n]:
                yield w._replace(mirrors=_with(w.mirrors, n, Mirror(read(w, n, rules))))
            continue
        s2, rows = mirror.read
        yield w._replace(
            positions=_with(w.positions, n, s2),
            target=_with(w.target, n, rows),
            mirrors=_with(w.mirrors, n, Mirror()),
        )
        if w.crashes:
            yield w._replace(crashes=w.crashes - 1, mirrors=_with(w.mirrors, n, Mirror()))


def explore(scripts: tuple[Writer, ...], crashes: int, rules: Rules) -> int:
    """Visit every reachable state; returns how many."""
    versions: tuple[tuple[str, str, int, Value], ...] = (
        ("parent", "p", 5, ("1",)),
        ("parent", "q", 5, ("1",)),
    )
    if not any("insert" in w.script[:1] for w in scripts):
        versions += (("child", "c", 5, ("p", "old")),)
    rows: dict[tuple[str, str], tuple[str, ...]] = {(t, k): v for t, k, _, v in versions if v is not None}
    begin = Snapshot(FIRST_XID, FIRST_XID)
    world = World(
        scripts,
        versions,
        frozenset(),
        FIRST_XID,
        (begin,) * 2,
        tuple(of_tenant(rows, t) for t in TENANTS),
        (Mirror(),) * 2,
        crashes,
    )
    seen, todo = {world}, [world]
    while todo:
        w = todo.pop()
        for tenant, position, target in zip(TENANTS, w.positions, w.target, strict=True):
            assert target == of_tenant(w.at(position), tenant), (tenant, w)
        for following in (*writer_steps(w, rules), *mirror_steps(w, rules)):
            known = len(seen)
            seen.add(following)  # hashed once: that is most of the work
            if len(seen) > known:
                todo.append(following)
    return len(seen)


CHILDREN = [("write",), ("insert",), ("delete",), ("leave",)]
LONGER = [("delete", "insert"), ("write", "leave"), ("insert", "leave")]


@pytest.mark.parametrize("child", [*CHILDREN, *(pytest.param(c, marks=pytest.mark.slow) for c in LONGER)], ids="-".join)
@pytest.mark.parametrize("repeatable", [False, True], ids=["read-committed", "repeatable-read"])
def test_a_child_written_beside_its_parents_move(child: tuple[str, ...], repeatable: bool) -> None:
    """Whoever begins and commits first, whenever the mirrors look: each tenant has what is its own."""
    states = explore((Writer(("move",)), Writer(child, repeatable)), 1, Rules())

    assert states > 500, "the model reaches the states it is about"


@pytest.mark.parametrize("child", [("write",), ("insert",), ("leave",)], ids="-".join)
def test_a_parent_that_moves_away_and_back(child: tuple[str, ...]) -> None:
    """Two moves in one transaction or in two, and the child written beside them."""
    assert explore((Writer(("move", "move")), Writer(child)), 0, Rules()) > 200
    assert explore((Writer(("move",)), Writer((*child, "move"))), 0, Rules()) > 200


ACTIONS = ["no action", "restrict", "cascade", "set null", "set default"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("child", [(), ("write",), ("insert",), ("leave",)], ids=lambda c: "-".join(c) or "nobody")
def test_a_parent_replaced_in_one_statement(action: str, child: tuple[str, ...]) -> None:
    """For another tenant, whatever the foreign key does; twice, so that it also comes back."""
    beside = (Writer(child, action=action),) if child else ()

    assert explore((Writer(("replace",), action=action), *beside), 1, Rules()) > 5
    assert explore((Writer(("replace", "replace"), action=action), *beside), 0, Rules()) > 5


@pytest.mark.parametrize("child", [("write",), ("delete",)], ids="-".join)
@pytest.mark.parametrize("repeatable", [False, True], ids=["read-committed", "repeatable-read"])
def test_a_parent_that_is_away_between_two_statements(child: tuple[str, ...], repeatable: bool) -> None:
    """Under a deferrable key."""
    beside = Writer(child, repeatable, "deferrable")

    assert explore((Writer(("remove", "restore"), action="deferrable"), beside), 1, Rules()) > 100


def test_a_parent_that_does_not_say_who_has_its_place_leaves_children_behind() -> None:
    """Only NO ACTION lets it go with children: the old rule, that a foreign key keeps it in place, fails there."""
    for action in ACTIONS:
        caught = False
        try:
            explore((Writer(("replace",), action=action),), 0, Rules(who_has_it=False))
        except AssertionError:
            caught = True
        assert caught is (action == "no action"), action


@pytest.mark.parametrize("rules", [Rules(children_of_moved=False), Rules(strays=False)])
def test_the_model_can_fail(rules: Rules) -> None:
    """A mirror that forgets one of its rules is caught in some interleaving."""
    with pytest.raises(AssertionError):
        for child in CHILDREN:
            for repeatable in (False, True):
                explore((Writer(("move",)), Writer(child, repeatable)), 0, rules)
