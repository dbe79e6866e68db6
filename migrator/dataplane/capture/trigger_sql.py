"""Builds capture's triggers and their functions. Pure.

The triggers are AFTER STATEMENT with transition tables, so whatever a statement touched is named once, in the writer's
own transaction. An UPDATE names the new rows alone; a row trigger names the old row where key or tenant change. It has
a list of columns, so that other updates do not pay for it; where triggers of the application fire before and may change
any column, `migrator.widen_rekey` takes the list away. What this cannot describe keeps both transition tables: rows
that move between the leaves of a partitioned table (no row trigger sees an UPDATE then), and parents, whose children
may change their tenant with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from migrator.dataplane.capture import names, orphans
from migrator.dataplane.capture.journal_sql import MIGRATOR, insert
from migrator.dataplane.capture.keys_sql import (
    NEW_ROWS,
    OLD_ROWS,
    changed_rows,
    deciding,
    descendants,
    own_keys,
    relinked_keys,
    watched,
    with_moves,
)
from migrator.dataplane.capture.parents_sql import all_enforced, left_behind, successors
from migrator.model.table import Table

Others = Sequence[tuple[int, Table]]
"""All captured tables with their ids; those derived through a table are journalled along with it."""


def names_new_rows_only(table: Table, others: Others) -> bool:
    """Return whether an UPDATE of *table* is journalled by its new rows and a row trigger for changed keys."""
    return not (table.partitioned or watched(table, others))


def events(table: Table, others: Others) -> tuple[str, ...]:
    """Return the triggers *table* gets."""
    return (*names.EVENTS, names.REKEY) if names_new_rows_only(table, others) else names.EVENTS


def capture_function(table: Table, table_id: int, event: str, parts: int, slots: int, others: Others) -> sql.Composed:
    """Return the trigger function of one event."""

    def write(into: Table, number: int, source: sql.Composable, *, moves: bool = False) -> sql.Composed:
        return _into_ring(slots, lambda slot: insert(into, number, slot, source, parts, moves=moves, noted=True))

    moving = watched(table, others)
    if event == names.REKEY:
        blocks = [_if(_rekeyed(table), write(table, table_id, _old_key(table)))]
    elif moving:
        blocks = _Parent(table, table_id, others, moving, write).blocks(event)
    elif event == "delete":
        blocks = [write(table, table_id, own_keys(table, OLD_ROWS))]
    elif event == "insert" or names_new_rows_only(table, others):
        blocks = [write(table, table_id, own_keys(table, NEW_ROWS))]
    else:
        blocks = [write(table, table_id, _before_and_after(table))]
    if event in ("insert", "update") and table.path and table.path[0].enforced:
        blocks.append(_if(orphans.IN_REPLICA, _statement(orphans.NOTE)))  # the parent may not be there
    # Every setting of a function costs each call, search_path on PostgreSQL 15 a third of all that capture costs.
    # Only where rows of the application are joined are there names and operators that need it.
    settings = " SET search_path = pg_catalog, pg_temp SET row_security = off" if table.derived or moving else ""
    return sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{} AS {}").format(
        sql.Identifier(MIGRATOR, names.function(table_id, event)),
        sql.SQL(settings),
        _quoted(sql.SQL("\n{}BEGIN\n{}    RETURN NULL;\nEND\n").format(_DECLARE, sql.Composed(blocks))),
    )


Write = Callable[..., sql.Composed]
"""(table, its id, SELECT of its keys, moves=False) → plpgsql that journals them."""


@dataclass(frozen=True, slots=True)
class _Parent:
    """What the triggers of a table with derived children do."""

    table: Table
    table_id: int
    others: Others
    moving: tuple[str, ...]
    write: Write

    def blocks(self, event: str) -> list[sql.Composed]:
        return {"insert": self._insert, "delete": self._delete, "update": self._update}[event]()

    def _own(self, keys: sql.Composed, moved: sql.Composable) -> sql.Composed:
        known = sql.SQL("SELECT o.*, {} FROM ({}) AS o").format(moved, keys)
        return self.write(self.table, self.table_id, known, moves=True)

    def _below(self, source: Callable[[tuple[str, ...]], sql.Composable], enforced: bool | None = None) -> sql.Composed:
        """Journal what is below the rows of *source*(columns): all, or only where the key is or is not enforced."""
        found = []
        for number, child in self.others:
            columns = deciding(self.table, child)
            hop = next((h for h in child.path if h.parent == self.table.qualified), None)
            if hop is not None and enforced in (None, hop.enforced):
                found.append(self.write(child, number, descendants(self.table, child, source(columns))))
        return sql.Composed(found)

    def _insert(self) -> list[sql.Composed]:
        """A foreign key that is checked at once lets no row wait for a parent, unless it was bypassed."""
        moved: sql.Composable = sql.SQL("true")
        if all_enforced(self.table, self.others):
            moved = sql.SQL("({} OR {})").format(orphans.IN_REPLICA, orphans.MAY_EXIST)
        return [
            self._own(own_keys(self.table, NEW_ROWS), moved),
            self._below(lambda _: NEW_ROWS, enforced=False),
            _if(orphans.IN_REPLICA, self._below(lambda _: NEW_ROWS, enforced=True)),
        ]

    def _delete(self) -> list[sql.Composed]:
        return [
            self._own(own_keys(self.table, OLD_ROWS), sql.SQL("true")),
            self._below(lambda _: OLD_ROWS, enforced=False),
            _if(orphans.IN_REPLICA, self._below(lambda _: OLD_ROWS, enforced=True)),
            *self._gave_up("delete"),
        ]

    def _update(self) -> list[sql.Composed]:
        """Most updates move nothing: they pay for one comparison, and every old key is among the new ones."""
        known = with_moves(self.table, _before_and_after(self.table), self.moving)
        return [
            sql.SQL(
                "    IF EXISTS (SELECT {c} FROM old_rows EXCEPT SELECT {c} FROM new_rows) THEN\n{moving}"
                "    ELSE\n{plain}    END IF;\n"
            ).format(
                c=sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*self.table.key, *self.moving]))),
                moving=sql.Composed(
                    [
                        self.write(self.table, self.table_id, known, moves=True),
                        self._below(changed_rows),
                        *self._gave_up("update"),
                    ]
                ),
                plain=self.write(self.table, self.table_id, own_keys(self.table, NEW_ROWS)),
            )
        ]

    def _gave_up(self, event: str) -> list[sql.Composed]:
        """Journal the row that now has a key that others refer to, with all rows below; note children left without a
        parent."""
        needed = tuple(dict.fromkeys([*self.table.key, *self.moving]))
        taken_over = successors(self.table, self.others, needed, event)
        blocks = [
            _if(
                sql.SQL("EXISTS {}").format(taken_over),
                sql.Composed(
                    [
                        self._own(own_keys(self.table, taken_over), sql.SQL("true")),
                        self._below(lambda _: taken_over),
                        self._below(lambda _: OLD_ROWS),
                    ]
                ),
            )
        ]
        lost = left_behind(self.table, self.others, event)
        if lost is not None:
            # In a session that checks no key, an earlier snapshot may even hide them.
            gone_round = sql.SQL("{} OR EXISTS ({})").format(orphans.IN_REPLICA, lost)
            blocks.append(_if(gone_round, _statement(orphans.NOTE)))
        return blocks


def _before_and_after(table: Table) -> sql.Composed:
    selects = [own_keys(table, OLD_ROWS), own_keys(table, NEW_ROWS)]
    if table.derived:
        selects.append(relinked_keys(table))
    return sql.SQL(" UNION ").join(selects)


def _if(condition: sql.Composable, block: sql.Composable) -> sql.Composed:
    if block == sql.Composed([]):
        return sql.Composed([])
    return sql.SQL("    IF {} THEN\n{}    END IF;\n").format(condition, block)


def _statement(statement: sql.Composable) -> sql.Composed:
    return sql.SQL("        {};\n").format(statement)


_DECLARE = sql.SQL(
    # A sequence: reading it needs no query, and its value is one for all at once, whatever their snapshots are.
    "DECLARE\n    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');\n"
)


def _into_ring(slots: int, statement: Callable[[int], sql.Composable]) -> sql.Composed:
    """Return the plpgsql that runs the *statement* of the slot that writers use now.

    Any slot will do: it is judged by its contents, and an old writer may be late at any time.
    """
    found: list[sql.Composable] = []
    for slot in range(slots - 1):
        found.append(
            sql.SQL("    {} pg_catalog.int8eq(migrator_slot, {}) THEN\n        {};\n").format(
                sql.SQL("ELSIF" if slot else "IF"), sql.Literal(slot), statement(slot)
            )
        )
    return sql.SQL("{}    ELSE\n        {};\n    END IF;\n").format(sql.Composed(found), statement(slots - 1))


def _owner(table: Table) -> list[str]:
    """Return the columns of *table* that say which row it is, and whose: tenant or link to the parent, then key."""
    if table.derived:
        return [*table.path[0].columns, *table.key]
    return [*([table.tenant_source or ""] if table.sharded else []), *table.key]


def _listed(columns: Sequence[str], row: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(row), sql.Identifier(c)) for c in columns)


def _old_key(table: Table) -> sql.Composed:
    """Return the SELECT of (tenant, key) of a row trigger's old row.

    A derived row's old parent may have moved in the same statement, so its tenant of before cannot be looked up any
    more: without a tenant, every mirror partition looks after the key.
    """
    if table.derived:
        return sql.SQL("SELECT NULL::{}, {}").format(sql.SQL(table.tenant_type), _listed(table.key, "OLD"))
    return sql.SQL("SELECT {}").format(_listed(_owner(table), "OLD"))


def _rekeyed(table: Table) -> sql.Composed:
    """Return the condition that a row's key or tenant looks different than before.

    Images are compared: equal keys of some types look different (1.0 and 1.00), and are different texts to the mirror.
    The casts: between two bare ROW()s the operator would be applied column by column.
    """
    row = sql.SQL("ROW({})::pg_catalog.record")
    return sql.SQL("{} OPERATOR(pg_catalog.*<>) {}").format(
        row.format(_listed(_owner(table), "OLD")), row.format(_listed(_owner(table), "NEW"))
    )


def leaf_function(table: Table, table_id: int, parts: int, slots: int, others: Others) -> sql.Composed:
    """Return the function that journals every key in one leaf, which is attached or detached with all its rows."""
    stands_for = "migrator_leaf"
    own: sql.Composable = own_keys(table, sql.Identifier(stands_for))
    moves = bool(watched(table, others))
    if moves:
        own = sql.SQL("SELECT o.*, true FROM ({}) AS o").format(own)

    def execute(slot: int) -> sql.Composed:
        return sql.SQL("EXECUTE replace($migrator_keys${}$migrator_keys$, {}, leaf::text)").format(
            insert(table, table_id, slot, own, parts, moves=moves), sql.Literal(f'"{stands_for}"')
        )

    # It reads whatever table it is given with the tool's rights: guards call it, and no session of an application.
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {name}(leaf regclass) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp SET row_security = off AS {body};"
        " REVOKE ALL ON FUNCTION {name}(regclass) FROM PUBLIC"
    ).format(
        name=sql.Identifier(MIGRATOR, names.function(table_id, "leaf")),
        body=_quoted(sql.SQL("\n{}BEGIN\n{}END\n").format(_DECLARE, _into_ring(slots, execute))),
    )


def _quoted(body: sql.Composed) -> sql.Composed:
    tag = sql.SQL("$migrator_capture$")
    return sql.Composed([tag, body, tag])


def create_trigger(
    member: str, table: Table, table_id: int, event: str, others: Others, *, replace: bool = False
) -> list[sql.Composed]:
    """Return the statements that put one trigger on *member*: *table*, or one of its leaves; to *replace* one."""
    name = sql.Identifier(names.trigger(event))
    target = names.table_identifier(member)
    if event == names.REKEY:
        timing: sql.Composable = sql.SQL("AFTER UPDATE OF {} ON {} FOR EACH ROW").format(
            sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys(_owner(table)))), target
        )
    else:
        both = () if names_new_rows_only(table, others) else ("OLD",)
        tables = {"insert": ("NEW",), "update": (*both, "NEW"), "delete": ("OLD",)}[event]
        timing = sql.SQL("AFTER {} ON {} REFERENCING {} FOR EACH STATEMENT").format(
            sql.SQL(event.upper()),
            target,
            sql.SQL(" ").join(
                sql.SQL("{} TABLE AS {}").format(sql.SQL(which), sql.Identifier(f"{which.lower()}_rows"))
                for which in tables
            ),
        )
    return [
        sql.SQL("CREATE {}TRIGGER {} {} EXECUTE FUNCTION {}()").format(
            sql.SQL("OR REPLACE " if replace else ""),
            name,
            timing,
            sql.Identifier(MIGRATOR, names.function(table_id, event)),
        ),
        sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, name),
    ]


def widen_rekey(member: str) -> sql.Composed:
    """Return the statement that lets *member*'s row trigger look at every update, where that is needed."""
    return sql.SQL("SELECT migrator.widen_rekey({}::regclass)").format(
        sql.Literal(names.table_identifier(member).as_string(None))
    )


def create_truncate_guard(table: str) -> list[sql.Composed]:
    """Return the statements that refuse TRUNCATE on *table*: it fires no row and no transition table."""
    target, name = names.table_identifier(table), sql.Identifier(names.GUARD)
    return [
        sql.SQL(
            "CREATE TRIGGER {} BEFORE TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate()"
        ).format(name, target),
        sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, name),
    ]
