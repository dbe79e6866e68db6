"""Which calls are repeated, of whom, and which column does each of their parameters stand for?"""

from __future__ import annotations

import pytest

from migrator.audit.catalog import Attribute, Catalog, Relation, RelationKind
from migrator.grammar.parse import parse
from migrator.model.trace import Call
from migrator.plan.schema import Tables
from migrator.shadow.bindings import bindings, limits
from migrator.shadow.prepare import ELSEWHERE, NO_REFERENCE, NO_TENANT, Preparer, Repeated, Scope


def relation(name: str, *columns: str) -> Relation:
    found = Relation("app", name, RelationKind.TABLE)
    found.columns = {c: Attribute(c, "bigint") for c in columns}
    return found


CATALOG = Catalog(search_path=("app",))
for _table in (
    relation("t", "tenant_id", "id", "note"),
    relation("u", "tenant_id", "id", "t_id"),
    relation("colour", "id", "name"),
    relation("left_behind", "id"),
):
    CATALOG.relations[_table.qualified] = _table
TABLES = Tables.model_validate(
    {"schemas": ["app"], "table": {"app.colour": {"kind": "reference"}, "app.left_behind": {"kind": "excluded"}}}
)
PREPARER = Preparer(CATALOG, TABLES)
TWO = Scope({"1": 1, "2": 2, "a'b": 1}, reference=True, whole=False)
WHOLE = Scope({"1": 1, "2": 2}, reference=True, whole=True)


def prepared(sql: str, *values: str | None, scope: Scope = TWO, tenant: str | None = None) -> Repeated | str:
    return PREPARER.prepare(Call(sql, values, tenant=tenant), scope)


@pytest.mark.parametrize(
    ("sql", "values", "tenants", "part"),
    [
        ("SELECT * FROM t WHERE tenant_id = $1", ("1",), ("1",), 1),
        ("SELECT * FROM t WHERE tenant_id = 'a''b'", (), ("a'b",), 1),
        ("SELECT * FROM t JOIN u USING (tenant_id) WHERE u.tenant_id = $2 AND t.id = $1", ("9", "2"), ("2",), 2),
        ("SELECT * FROM t WHERE tenant_id IN ($1, $2)", ("1", "a'b"), ("1", "a'b"), 1),
        ("SELECT * FROM t WHERE tenant_id IN ($1, $2)", ("1", "2"), ("1", "2"), None),
        ("INSERT INTO t (id, tenant_id) VALUES ($1, $2)", ("5", "2"), ("2",), 2),
        ("SELECT * FROM colour", (), (), 0),
    ],
)
def test_whose_rows(sql: str, values: tuple[str, ...], tenants: tuple[str, ...], part: int | None) -> None:
    found = prepared(sql, *values)

    assert isinstance(found, Repeated)
    assert (found.tenants, found.part) == (tenants, part)


@pytest.mark.parametrize(
    ("sql", "values", "why"),
    [
        ("SELECT * FROM t WHERE tenant_id = $1", ("7",), ELSEWHERE),
        ("SELECT * FROM t WHERE tenant_id IN ($1, $2)", ("1", "7"), ELSEWHERE),
        ("SELECT * FROM t WHERE tenant_id = $1", (None,), NO_TENANT),
        ("SELECT * FROM t WHERE tenant_id = $1", (), NO_TENANT),
        ("SELECT * FROM t WHERE id = $1", ("1",), NO_TENANT),
        ("SELECT * FROM left_behind", (), "it reads app.left_behind, which is not migrated"),
        ("SELECT 1; SELECT 2", (), "it is not one statement"),
        ("SELEC 1", (), "PostgreSQL's grammar refuses it"),
    ],
)
def test_what_is_not_repeated(sql: str, values: tuple[str | None, ...], why: str) -> None:
    assert prepared(sql, *values) == why


def test_what_depends_on_who_is_there() -> None:
    """All tenants' rows once all are there; a statement that Limitless refuses as it stands in any case."""
    everybody = prepared("SELECT * FROM t WHERE id = $1", "1", scope=WHOLE)
    refused = prepared("MERGE INTO t USING u ON t.id = u.t_id WHEN MATCHED THEN DELETE")
    told = prepared("SELECT * FROM t WHERE id = $1", "1", tenant="2")

    assert isinstance(everybody, Repeated) and everybody.part is None
    assert isinstance(refused, Repeated)
    assert isinstance(told, Repeated) and told.tenants == ("2",)
    assert prepared("SELECT * FROM colour", scope=Scope({}, reference=False, whole=False)) == NO_REFERENCE


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM t WHERE tenant_id = $1 AND note > $2::bigint", {1: "t.tenant_id", 2: "t.note"}),
        ("SELECT * FROM t a JOIN u b ON a.id = b.t_id WHERE a.note = $1 AND b.id = $2", {1: "t.note", 2: "u.id"}),
        ("SELECT * FROM t JOIN u ON u.t_id = t.id WHERE t_id = $1 AND note = $2", {1: "u.t_id", 2: "t.note"}),
        ("SELECT * FROM t JOIN u ON u.t_id = t.id WHERE id = $1", {}),
        ("SELECT * FROM t WHERE id = ANY ($1)", {1: "t.id*"}),
        ("SELECT * FROM t WHERE id IN ($1, $2)", {1: "t.id", 2: "t.id"}),
        ("SELECT * FROM t WHERE $1 = note", {1: "t.note"}),
        ("UPDATE t SET note = $1 WHERE id = $2", {1: "t.note", 2: "t.id"}),
        ("INSERT INTO t (id, note) VALUES ($1, $2), ($3, 5)", {1: "t.id", 2: "t.note", 3: "t.id"}),
        ("INSERT INTO t VALUES ($1, $2)", {1: "t.tenant_id", 2: "t.id"}),
        ("SELECT lower($1) FROM t", {}),
    ],
)
def test_columns_of_parameters(sql: str, columns: dict[int, str]) -> None:
    found = bindings(parse(sql)[0], CATALOG)

    assert {n: f"{b.relation.name}.{b.column}{'*' * b.many}" for n, b in found.items()} == columns


def test_limits_are_parameters_too() -> None:
    assert limits(parse("SELECT * FROM t WHERE id = $1 ORDER BY id LIMIT $2 OFFSET $3")[0]) == {2: "20", 3: "0"}
