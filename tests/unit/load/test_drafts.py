"""A drafted workload can be read again, and offers what was captured or counted."""

from __future__ import annotations

from migrator.load import from_statements, from_trace
from migrator.load.from_statements import Called
from migrator.load.workload import Source, Workload
from migrator.load.written import parse
from migrator.model.table import Column, Table, TableKind
from migrator.model.trace import Call


def read(toml: str) -> Workload:
    return parse(toml, "draft", "draft")


def test_a_trace_gives_weights_and_values() -> None:
    captured = [Call("SELECT * FROM t WHERE a = $1", (str(n),)) for n in range(1000)]
    captured += [Call("INSERT INTO t VALUES ('Größe \"x\"\n\x7f')")] * 10
    captured += [Call("UPDATE t SET a = $1", (None,))] * 5
    captured += [Call("COMMIT")] * 3 + [Call("SELECT FROM")] * 2 + [Call("SELECT 1 FOR UPDATE")]

    draft = from_trace.made(captured, 50, 100)
    found = read(draft.toml)

    assert [(t.weight, t.writes) for t in found.transactions] == [(1000, False), (10, True), (1, True)]
    samples = found.transactions[0].statements[0].samples
    assert 50 <= len(samples) <= 100 and len(set(samples)) == len(samples)
    assert int(samples[0][0]) < 100 and int(samples[-1][0]) > 900, "spread over the trace"
    assert found.transactions[1].statements[0].sql.endswith("\x7f')")
    assert len(draft.left_out) == 3 and draft.statements == 3


def test_only_the_most_called_are_kept() -> None:
    draft = from_trace.made([Call(f"SELECT {n}") for n in range(10)], 4, 5)

    assert draft.statements == 4 and draft.left_out == ("6 statements captured less often",)


def table(name: str, *columns: tuple[str, str], tenant: str | None = "tenant_id") -> Table:
    made = tuple(Column(column, kind) for column, kind in columns)
    kind = TableKind.SHARDED if tenant else TableKind.REFERENCE
    return Table("shop", name, kind, made, ("id",), tenant_column=tenant, tenant_source=tenant)


TABLES = (
    table(
        "purchase",
        ("id", "bigint"),
        ("tenant_id", "bigint"),
        ("total", "numeric(12,2)"),
        ("note", "jsonb"),
        ("at", "date"),
    ),
    table("select", ("id", "bigint"), ("tenant_id", "text"), ("name", "character varying(5)"), ("mood", "shop.mood")),
    table("currency", ("id", "bigint"), ("code", "text"), tenant=None),
)


def drafted(*called: Called) -> tuple[Workload, tuple[str, ...]]:
    draft = from_statements.made(called, TABLES, 50)
    return read(draft.toml), draft.left_out


def test_statistics_give_weights_and_pools_give_values() -> None:
    found, left_out = drafted(
        Called("SELECT * FROM shop.purchase p WHERE p.tenant_id = $1 AND id = $2::bigint AND $3 > total LIMIT $4", 900),
        Called(
            'SELECT name FROM shop."select" s JOIN shop.purchase p ON true WHERE s.id = $1 AND s.tenant_id = $2', 90
        ),
        Called('INSERT INTO shop."select" (id, tenant_id, name) VALUES ($1, $2, $3)', 80),
        Called("UPDATE shop.purchase SET total = $1, note = $2, at = $3 WHERE tenant_id = $4 AND id = $5", 70),
        Called("SELECT count(*) FROM shop.currency", 5),
    )
    assert left_out == ()
    page, join, insert, update, count = found.transactions

    assert [p.source for p in page.statements[0].parameters] == [Source.TENANT, Source.POOL, Source.POOL, Source.VALUE]
    assert page.statements[0].parameters[3].of == (20,) and page.weight == 900
    assert [p.source for p in join.statements[0].parameters] == [Source.POOL, Source.TENANT]
    assert [p.source for p in insert.statements[0].parameters] == [Source.UNIQUE, Source.TENANT, Source.TEXT]
    assert insert.writes and insert.statements[0].parameters[2].of == (5,)
    assert [p.source for p in update.statements[0].parameters] == [
        Source.INTEGER, Source.VALUE, Source.VALUE, Source.TENANT, Source.POOL,
    ]  # fmt: skip
    assert not count.statements[0].parameters and not count.writes
    pool = found.pools["shop.purchase"]
    assert pool.endswith(' FROM "shop"."purchase" LIMIT 20000')
    columns = pool.partition(" FROM ")[0].removeprefix("SELECT ").replace('"', "").split(", ")
    assert columns[0] == "tenant_id"
    taken = [page.statements[0].parameters[1], page.statements[0].parameters[2], update.statements[0].parameters[4]]
    assert [columns[p.of[1] - 1] for p in taken] == ["id", "total", "id"]
    assert found.pools["shop.select"].endswith('FROM "shop"."select" LIMIT 20000')


def test_what_cannot_be_told_is_left_out_and_said() -> None:
    draft = from_statements.made(
        (
            Called("SELECT * FROM shop.purchase WHERE note->>$1 = $2", 9),
            Called("SELECT * FROM elsewhere WHERE id = $1", 8),
            Called('INSERT INTO shop."select" (mood) VALUES ($1)', 7),
            Called("SELECT 1 FROM shop.purchase WHERE id = ANY ($1)", 6),
        ),
        TABLES,
        50,
    )

    assert draft.statements == 0 and len(draft.left_out) == 4
    assert draft.left_out[0] == "1 statement without a table of the plan"
    assert all("cannot be told" in line for line in draft.left_out[1:])
