"""What does a journal look like, and how does a trigger fill it? Pure builders.

A journal row is (slot, part, xid, tenant_id, key columns): which row changed, never what it contains. `part` says
which mirror reads it, and whether the row moved (see `MOVED`). The
triggers are AFTER STATEMENT with transition tables, so whatever a statement touched is named once, in the
writer's own transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.capture import names
from migrator.model.table import Hop, Table

MIGRATOR = "migrator"

MOVED = 64
"""Added to `part` of a parent's entry when the row changed its tenant, or may have children that nothing names.

Children written by a transaction that ran beside the move were journalled under the tenant the parent had for that
transaction. So the mirror looks for the children of such a parent itself, on both sides.
"""


def _columns(table: Table) -> list[sql.Composable]:
    found: list[sql.Composable] = []
    if table.sharded:
        found.append(sql.Identifier("tenant_id"))
    return found + [sql.Identifier(names.key_column(i)) for i in range(len(table.key))]


def create_journal(table: Table, table_id: int, slots: int) -> list[sql.Composed]:
    """Return the statements that make *table*'s journal and its ring slots.

    No B-tree: it would cost the writer half again the WAL. Entries arrive almost in xid order, so a BRIN
    index finds what is new; pages not summarised yet (the newest) are always read, which is what we want.
    The mirror summarises full ranges (`migrator.capture.ring.summarise`).
    (xid8 has no BRIN operator class, bigint has.)
    """
    types: list[sql.Composable] = []
    if table.sharded:
        types.append(sql.SQL("tenant_id {}").format(sql.SQL(table.tenant_type)))
    for number, column in enumerate(table.key):
        types.append(
            sql.SQL("{} {}").format(sql.Identifier(names.key_column(number)), sql.SQL(table.column(column).type))
        )
    parent = sql.Identifier(MIGRATOR, names.journal(table_id))
    statements = [
        sql.SQL(
            "CREATE TABLE {} (slot smallint NOT NULL, part smallint NOT NULL, xid bigint NOT NULL, {})"
            " PARTITION BY LIST (slot)"
        ).format(parent, sql.SQL(", ").join(types))
    ]
    for slot in range(slots):
        name = sql.Identifier(MIGRATOR, names.journal_slot(table_id, slot))
        statements.append(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({}) WITH (autovacuum_enabled = off)").format(
                name, parent, sql.Literal(slot)
            )
        )
        statements.append(sql.SQL("CREATE INDEX ON {} USING brin (xid) WITH (pages_per_range = 16)").format(name))
    return statements


def part_of(tenant: sql.Composable, parts: int) -> sql.Composed:
    """Return the expression for a tenant's mirror partition, 1..parts, or -1 without a tenant.

    The hash runs over the text form under collation "C": a nondeterministic collation hashes its sort keys.
    """
    return sql.SQL(
        "CASE WHEN {t} IS NULL THEN -1"
        ' ELSE 1 + mod(hashtextextended({t}::text COLLATE "C", 0) & 9223372036854775807, {n})::int END'
    ).format(t=tenant, n=sql.Literal(parts))


def _linked(parent: str, hop: Hop, child: str) -> sql.Composed:
    """Return the condition that joins row *child* to row *parent*."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier(parent, up), sql.SQL(equals), sql.Identifier(child, down))
        for down, equals, up in hop.links()
    )


def upward(alias: str, hops: Sequence[Hop], source: str) -> tuple[sql.Composed, sql.Identifier]:
    """Return the joins from *alias* up to the tenant's owner, and the tenant expression.

    LEFT JOINs: a row whose parent is gone has no tenant, and must still be named.
    """
    joins: list[sql.Composable] = []
    at = alias
    for number, hop in enumerate(hops):
        above = f"{alias}_up{number}"
        joins.append(
            sql.SQL(" LEFT JOIN {} AS {} ON {}").format(
                names.table_identifier(hop.parent),
                sql.Identifier(above),
                _linked(above, hop, at),
            )
        )
        at = above
    return sql.Composed(joins), sql.Identifier(at, source)


def _own_keys(table: Table, transition: str) -> sql.Composed:
    """Return the SELECT of (tenant, key) for every row of a transition table."""
    key = [sql.Identifier("r", c) for c in table.key]
    if not table.sharded:
        return sql.SQL("SELECT {} FROM {} AS r").format(sql.SQL(", ").join(key), sql.Identifier(transition))
    joins, tenant = upward("r", table.path, table.tenant_source or "")
    own = sql.SQL("SELECT {}, {} FROM {} AS r{}").format(
        tenant, sql.SQL(", ").join(key), sql.Identifier(transition), joins
    )
    if not table.derived:
        return own
    # The parent this transaction sees may have moved since its snapshot was taken: then every partition looks.
    return sql.SQL(
        "{} UNION ALL SELECT NULL::{}, {} FROM {} AS r"
        " WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')"
    ).format(own, sql.SQL(table.tenant_type), sql.SQL(", ").join(key), sql.Identifier(transition))


def _relinked_keys(table: Table) -> sql.Composed:
    """Return keys, without a tenant, of derived rows whose link to the parent changed.

    Their old parent may have moved in the same statement, so its tenant of before cannot be looked up any
    more: without a tenant, every mirror partition looks after the key.
    """
    same = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier("n", c), sql.SQL(table.column(c).equality), sql.Identifier("r", c))
        for c in table.key
    )
    link = sql.SQL(" AND ").join(
        sql.SQL("({n} {equals} {r} OR {n} IS NULL AND {r} IS NULL)").format(
            n=sql.Identifier("n", c), r=sql.Identifier("r", c), equals=sql.SQL(table.column(c).equality)
        )
        for c in table.path[0].columns
    )
    return sql.SQL(
        "SELECT NULL::{}, {} FROM old_rows AS r WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE {} AND {})"
    ).format(sql.SQL(table.tenant_type), sql.SQL(", ").join(sql.Identifier("r", c) for c in table.key), same, link)


def _insert(table: Table, table_id: int, source: sql.Composable, parts: int, *, moves: bool = False) -> sql.Composed:
    """Return the INSERT of the keys that *source* selects; with *moves* it selects after them whether they moved."""
    part: sql.Composable = part_of(sql.Identifier("x", "tenant_id"), parts) if table.sharded else sql.Literal(0)
    columns = _columns(table)
    names_of_source = columns
    if moves:
        part = sql.SQL("{} + CASE WHEN x.moved AND x.tenant_id IS NOT NULL THEN {} ELSE 0 END").format(
            part, sql.Literal(MOVED)
        )
        names_of_source = [*columns, sql.Identifier("moved")]
    return sql.SQL(
        "INSERT INTO {journal} (slot, part, xid, {columns})"
        " SELECT ring.slot, {part}, pg_current_xact_id()::text::bigint, {values}"
        " FROM migrator.ring AS ring, ({source}) AS x ({named})"
    ).format(
        named=sql.SQL(", ").join(names_of_source),
        journal=sql.Identifier(MIGRATOR, names.journal(table_id)),
        columns=sql.SQL(", ").join(columns),
        part=part,
        values=sql.SQL(", ").join(sql.SQL("x.{}").format(c) for c in columns),
        source=source,
    )


def mark_dirty(table: Table, table_id: int, parts: int) -> sql.Composed:
    """Return the statement that journals keys given as text arrays: tenants first (sharded), then key columns.

    For a raw cursor ($1, $2...): identifiers may hold a percent sign.
    """
    types = [table.tenant_type] if table.sharded else []
    types += [table.column(c).type for c in table.key]
    arrays = sql.SQL(", ").join(sql.SQL("${}::text[]").format(sql.SQL(str(i + 1))) for i in range(len(types)))
    texts = [f"t{i}" for i in range(len(types))]
    source = sql.SQL("SELECT {} FROM unnest({}) AS u ({})").format(
        sql.SQL(", ").join(
            sql.SQL("u.{}::{}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in zip(texts, types, strict=True)
        ),
        arrays,
        sql.SQL(", ").join(map(sql.Identifier, texts)),
    )
    return _insert(table, table_id, source, parts)


def _descendants(parent: Table, child: Table, event: str) -> sql.Composed | None:
    """Return (tenant, key) of *child* rows that change tenant because rows of *parent* changed.

    For an UPDATE: rows whose referenced columns or own link upwards differ, before and after. For an INSERT or
    DELETE: all rows, because a parent that comes or goes takes children along that nothing else names.
    """
    level = next((i for i, h in enumerate(child.path) if h.parent == parent.qualified), None)
    if level is None:
        return None
    below, above = child.path[: level + 1], child.path[level + 1 :]
    link = above[0].columns if above else (child.tenant_source or "",)
    watched = tuple(dict.fromkeys((*child.path[level].parent_columns, *link)))
    columns = sql.SQL(", ").join(map(sql.Identifier, watched))
    if event == "update":
        affected = sql.SQL(
            "((SELECT {c} FROM old_rows EXCEPT SELECT {c} FROM new_rows)"
            " UNION (SELECT {c} FROM new_rows EXCEPT SELECT {c} FROM old_rows))"
        ).format(c=columns)
    else:
        rows = sql.Identifier("new_rows" if event == "insert" else "old_rows")
        affected = sql.SQL("(SELECT {} FROM {})").format(columns, rows)
    joins: list[sql.Composable] = []
    at = "a"
    for number in range(level, -1, -1):
        hop = below[number]
        lower = child.qualified if number == 0 else below[number - 1].parent
        alias = f"d{number}"
        joins.append(
            sql.SQL(" JOIN {} AS {} ON {}").format(
                names.table_identifier(lower),
                sql.Identifier(alias),
                _linked(at, hop, alias),
            )
        )
        at = alias
    upjoins, tenant = upward("a", above, child.tenant_source or "")
    return sql.SQL("SELECT {}, {} FROM {} AS a{}{}").format(
        tenant,
        sql.SQL(", ").join(sql.Identifier(at, c) for c in child.key),
        affected,
        upjoins,
        sql.Composed(joins),
    )


def _watched(table: Table, others: Sequence[tuple[int, Table]]) -> tuple[str, ...]:
    """Return the columns of *table* that decide the tenant of its derived children: none when it has none."""
    hops = [h for _, child in others for h in child.path if h.parent == table.qualified]
    if not hops:
        return ()
    own = table.path[0].columns if table.path else (table.tenant_source or "",)
    return tuple(dict.fromkeys([*(c for h in hops for c in h.parent_columns), *own]))


def _all_enforced(table: Table, others: Sequence[tuple[int, Table]]) -> bool:
    return all(h.enforced for _, child in others for h in child.path if h.parent == table.qualified)


def _with_moves(table: Table, event: str, own: sql.Composed, watched: Sequence[str], enforced: bool) -> sql.Composed:
    """Return *own* (tenant, key) with a column that says whether the row's children may have gone elsewhere."""
    if event != "update":
        # A foreign key keeps parents with children in place, unless this session switched it off.
        moved = sql.SQL("current_setting('session_replication_role') = 'replica'") if enforced else sql.SQL("true")
        return sql.SQL("SELECT o.*, {} FROM ({}) AS o").format(moved, own)
    columns = sql.SQL(", ").join(sql.Identifier(c) for c in table.key)
    changed = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*table.key, *watched])))
    keys = [sql.Identifier(names.key_column(i)) for i in range(len(table.key))]
    return sql.SQL(
        "SELECT o.*, EXISTS (SELECT FROM (SELECT {columns} FROM (SELECT {changed} FROM old_rows"
        " EXCEPT SELECT {changed} FROM new_rows) AS gone UNION SELECT {columns} FROM (SELECT {changed} FROM new_rows"
        " EXCEPT SELECT {changed} FROM old_rows) AS come) AS m ({keys}) WHERE {same})"
        " FROM ({own}) AS o (tenant_id, {keys})"
    ).format(
        columns=columns,
        changed=changed,
        own=own,
        keys=sql.SQL(", ").join(keys),
        same=sql.SQL(" AND ").join(
            sql.SQL("m.{k} {equals} o.{k}").format(k=k, equals=sql.SQL(table.column(c).equality))
            for k, c in zip(keys, table.key, strict=True)
        ),
    )


def capture_function(
    table: Table, table_id: int, event: str, parts: int, others: Sequence[tuple[int, Table]]
) -> sql.Composed:
    """Return the trigger function of one event.

    *others* are all captured tables with their ids; those derived through *table* are journalled along.
    The transaction-local setting migrator.parts collects the touched partitions as a bit mask. A key whose
    tenant is not known touches every partition of tenants (-2), but never the one of reference tables: that
    one has nothing to apply, publishes rarely, and a writer would wait for it in vain.
    """
    if event == "insert":
        own: sql.Composable = _own_keys(table, "new_rows")
    elif event == "delete":
        own = _own_keys(table, "old_rows")
    else:
        selects = [_own_keys(table, "old_rows"), _own_keys(table, "new_rows")]
        if table.derived:
            selects.append(_relinked_keys(table))
        own = sql.SQL(" UNION ").join(selects)
    watched = _watched(table, others)
    own_plain = own
    if watched:
        own = _with_moves(table, event, sql.Composed([own]), watched, _all_enforced(table, others))
    blocks = [_block(_insert(table, table_id, own, parts, moves=bool(watched)))]
    plain = _block(_insert(table, table_id, sql.Composed([own_plain]), parts))
    for child_id, child in others:
        descendants = _descendants(table, child, event)
        if descendants is None:
            continue
        block = _block(_insert(child, child_id, descendants, parts))
        hop = next(h for h in child.path if h.parent == table.qualified)
        if event != "update" and hop.enforced:
            # The foreign key keeps a parent with children in place, unless this session switched it off.
            block = sql.SQL(
                "    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN\n{}    END IF;\n"
            ).format(block)
        blocks.append(block)
    if watched and event == "update":
        # Most updates move nothing: they pay for one comparison.
        blocks = [
            sql.SQL(
                "    IF EXISTS (SELECT {c} FROM old_rows EXCEPT SELECT {c} FROM new_rows) THEN\n{moving}"
                "    ELSE\n{plain}    END IF;\n"
            ).format(
                c=sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([*table.key, *watched]))),
                moving=sql.Composed(blocks),
                plain=plain,
            )
        ]
    body = sql.SQL(
        "\nDECLARE\n    found bigint;\n    touched bigint := 0;\n    known bigint;\n    noted text;\nBEGIN\n{}"
        "    IF touched <> 0 THEN\n"
        "        known := coalesce(nullif(pg_catalog.current_setting('migrator.parts', true), ''), '0');\n"
        "        IF known | touched <> known THEN\n"
        # An assignment, not PERFORM: plpgsql evaluates it without a query.
        "            noted := pg_catalog.set_config('migrator.parts', (known | touched)::text, true);\n"
        "        END IF;\n    END IF;\n    RETURN NULL;\nEND\n"
    ).format(sql.Composed(blocks))
    # Every setting of a function costs each call; tables of the application are read for derived tenants only.
    reads = table.derived or bool(watched)
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp{} AS {}"
    ).format(
        sql.Identifier(MIGRATOR, names.function(table_id, event)),
        sql.SQL(" SET row_security = off" if reads else ""),
        _quoted(body),
    )


def leaf_function(table: Table, table_id: int, parts: int, others: Sequence[tuple[int, Table]]) -> sql.Composed:
    """Return the function that journals every key in one leaf, which is attached or detached with all its rows."""
    stands_for = "migrator_leaf"
    own: sql.Composable = _own_keys(table, stands_for)
    moves = bool(_watched(table, others))
    if moves:
        own = sql.SQL("SELECT o.*, true FROM ({}) AS o").format(own)
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {}(leaf regclass) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp SET row_security = off AS {}"
    ).format(
        sql.Identifier(MIGRATOR, names.function(table_id, "leaf")),
        _quoted(
            sql.SQL("\nBEGIN\n    EXECUTE replace($migrator_keys${}$migrator_keys$, {}, leaf::text);\nEND\n").format(
                _insert(table, table_id, own, parts, moves=moves), sql.Literal(f'"{stands_for}"')
            )
        ),
    )


def _block(insert: sql.Composed) -> sql.Composed:
    return sql.SQL(
        "    WITH written AS ({} RETURNING part)\n"
        "    SELECT pg_catalog.bit_or(CASE WHEN part < 0 THEN -2::bigint ELSE 1::bigint << (part & 63) END)"
        " INTO found FROM written;\n"
        "    touched := touched | coalesce(found, 0);\n"
    ).format(insert)


def _quoted(body: sql.Composed) -> sql.Composed:
    tag = sql.SQL("$migrator_capture$")
    return sql.Composed([tag, body, tag])


def create_trigger(table: str, table_id: int, event: str) -> list[sql.Composed]:
    """Return the statements that put one trigger on *table* (a captured table or one of its leaves)."""
    tables = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}[event]
    referencing = sql.SQL(" ").join(
        sql.SQL("{} TABLE AS {}").format(sql.SQL(which), sql.Identifier(f"{which.lower()}_rows")) for which in tables
    )
    name = sql.Identifier(f"{names.TRIGGER}_{event}")
    target = names.table_identifier(table)
    return [
        sql.SQL("CREATE TRIGGER {} AFTER {} ON {} REFERENCING {} FOR EACH STATEMENT EXECUTE FUNCTION {}()").format(
            name,
            sql.SQL(event.upper()),
            target,
            referencing,
            sql.Identifier(MIGRATOR, names.function(table_id, event)),
        ),
        sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, name),
    ]


def create_truncate_guard(table: str) -> list[sql.Composed]:
    """Return the statements that refuse TRUNCATE on *table*: it fires no row and no transition table."""
    target, name = names.table_identifier(table), sql.Identifier(names.GUARD)
    return [
        sql.SQL(
            "CREATE TRIGGER {} BEFORE TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate()"
        ).format(name, target),
        sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, name),
    ]
