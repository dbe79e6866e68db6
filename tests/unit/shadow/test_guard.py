"""Nothing is repeated whose effect would last, and nothing is compared that differs on equal sides."""

from __future__ import annotations

import pytest

from migrator.audit.catalog import Attribute, Catalog, Function, Relation, RelationKind
from migrator.grammar.parse import parse
from migrator.shadow.functions import Functions
from migrator.shadow.guard import Sort, Use, judge
from migrator.shadow.rows import Order


def relation(name: str, kind: RelationKind = RelationKind.TABLE, view: str | None = None) -> Relation:
    found = Relation("app", name, kind, view_sql=view)
    found.columns = {c: Attribute(c, "bigint") for c in ("tenant_id", "id", "note")}
    return found


def function(name: str, body: str, volatility: str = "s", language: str = "sql") -> Function:
    return Function("app", name, (), (), language, body, "", volatility, False, "text")


CATALOG = Catalog(search_path=("app",))
for _relation in (
    relation("t"),
    relation("select"),
    relation("far", RelationKind.FOREIGN),
    relation("seen", RelationKind.VIEW, "SELECT * FROM app.t WHERE note > 5"),
    relation("counting", RelationKind.VIEW, "SELECT nextval('app.s') AS id FROM app.t"),
    relation("clock", RelationKind.VIEW, "SELECT now() AS at, id FROM app.t"),
):
    CATALOG.relations[_relation.qualified] = _relation
CATALOG.functions = [
    function("kind", "SELECT lower($1)", "i"),
    function("recent", "SELECT now() - interval '1 day'"),
    function("hidden", "SELECT deeper($1)"),
    function("deeper", "SELECT dblink_exec('x', 'DELETE FROM y')"),
    function("runs", "BEGIN EXECUTE $1; END", language="plpgsql"),
    function("loud", "SELECT 1", "v"),
    function("foreign_tongue", "x", language="plpython3u"),
]
FUNCTIONS = Functions(CATALOG)


def use(sql: str) -> Use:
    [statement] = parse(sql)
    return judge(statement, FUNCTIONS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nextval('s') FROM t",
        "SELECT pg_catalog.nextval('s') FROM t",
        "SELECT * FROM t WHERE id = (SELECT setval('s', 5))",
        "INSERT INTO t (id) VALUES (nextval('s'))",
        "WITH x AS (SELECT pg_notify('a', 'b') FROM t) SELECT * FROM x",
        "SELECT dblink('x', 'y') FROM t",
        "SELECT dblink_exec('y') FROM t",
        "SELECT pg_advisory_lock(id) FROM t",
        "SELECT pg_sleep(1) FROM t",
        "SELECT set_config('role', 'x', false) FROM t",
        "SELECT lo_import('/x') FROM t",
        "SELECT query_to_xml('DELETE FROM t', true, true, '') FROM t",
        "SELECT loud() FROM t",
        "SELECT hidden(note) FROM t",
        "SELECT runs(note) FROM t",
        "SELECT foreign_tongue() FROM t",
        "SELECT never_heard_of() FROM t",
        "SELECT * INTO u FROM t",
        "SELECT * FROM far",
        "SELECT * FROM counting",
        "SELECT * FROM seen JOIN counting USING (id)",
        "SELECT * FROM unknown_table",
        "SELECT * FROM migrator.route",
        "SELECT * FROM pg_class",
        "SELECT * FROM information_schema.tables",
        "SELECT 1",
        "COPY t TO PROGRAM 'x'",
        "COPY (SELECT * FROM t) TO STDOUT",
        "CALL p()",
        "DO 'BEGIN END'",
        "NOTIFY jobs",
        "LOCK TABLE t",
        "TRUNCATE t",
        "DROP TABLE t",
        "CREATE TABLE u AS SELECT * FROM t",
        "SET role x",
        "EXPLAIN ANALYZE DELETE FROM t",
        "PREPARE x AS DELETE FROM t",
        "VACUUM t",
        "REFRESH MATERIALIZED VIEW t",
    ],
)
def test_refused(sql: str) -> None:
    assert use(sql).refused != ""


@pytest.mark.parametrize(
    ("sql", "sort"),
    [
        ("SELECT * FROM t WHERE tenant_id = $1", Sort.READ),
        ('SELECT * FROM "select" WHERE id = any($1)', Sort.READ),
        ("SELECT kind(note), count(*), sum(id) FROM t GROUP BY 1", Sort.READ),
        ("SELECT * FROM seen", Sort.READ),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", Sort.READ),
        ("SELECT * FROM t FOR UPDATE", Sort.WRITE),
        ("SELECT * FROM (SELECT * FROM t FOR SHARE) x", Sort.WRITE),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", Sort.WRITE),
        ("INSERT INTO t (id) SELECT id FROM t", Sort.WRITE),
        ("UPDATE t SET id = 1", Sort.WRITE),
        ("DELETE FROM t", Sort.WRITE),
        ("MERGE INTO t USING seen s ON t.id = s.id WHEN MATCHED THEN DELETE", Sort.WRITE),
    ],
)
def test_repeated(sql: str, sort: Sort) -> None:
    found = use(sql)

    assert (found.refused, found.sort) == ("", sort)


@pytest.mark.parametrize(
    ("sql", "doubts"),
    [
        ("SELECT now(), id FROM t", ("now()",)),
        ("SELECT id FROM t WHERE note > current_date", ("current_date",)),
        ("SELECT id FROM t WHERE note > localtimestamp(3)", ("localtimestamp",)),
        ("SELECT random() FROM t", ("random()",)),
        ("SELECT gen_random_uuid() FROM t", ("gen_random_uuid()",)),
        ("SELECT recent() FROM t", ("recent()",)),
        ("SELECT * FROM clock", ("now() in a view",)),
        ("SELECT id FROM t LIMIT 5", ("LIMIT without ORDER BY",)),
        ("SELECT id FROM t OFFSET 5", ("LIMIT without ORDER BY",)),
        ("SELECT * FROM (SELECT id FROM t ORDER BY note LIMIT 5) x", ("LIMIT in a subquery",)),
        ("SELECT array_agg(id) FROM t", ("array_agg() without ORDER BY",)),
        ("SELECT row_number() OVER (ORDER BY note) FROM t", ("row_number() OVER: rows that are equal in its order",)),
        ("SELECT DISTINCT ON (note) id FROM t ORDER BY note", ("DISTINCT ON",)),
        ("SELECT id FROM t TABLESAMPLE SYSTEM (5)", ("TABLESAMPLE",)),
        ("SELECT ctid FROM t", ("ctid",)),
        ("SELECT current_user FROM t", ("current_user",)),
    ],
)
def test_doubtful(sql: str, doubts: tuple[str, ...]) -> None:
    assert use(sql).doubts == doubts


@pytest.mark.parametrize(
    ("sql", "order"),
    [
        ("SELECT id FROM t", Order()),
        ("SELECT id FROM t ORDER BY id", Order(True, ("id",))),
        ("SELECT * FROM t ORDER BY note DESC, id LIMIT 5", Order(True, ("note", "id"), True)),
        ("SELECT id, note FROM t ORDER BY 2", Order(True, (2,))),
        ("SELECT id FROM t ORDER BY note", Order(True, ())),
        ("SELECT id FROM t ORDER BY id, lower(note::text)", Order(True, ())),
        ("SELECT id AS note FROM t ORDER BY t.note", Order(True, ())),
        ("SELECT id AS x FROM t ORDER BY x LIMIT 1", Order(True, ("x",), True)),
        ("SELECT string_agg(note::text, ',' ORDER BY id) FROM t", Order()),
        ("SELECT DISTINCT id FROM t", Order()),
    ],
)
def test_certain_and_its_order(sql: str, order: Order) -> None:
    found = use(sql)

    assert (found.refused, found.doubts) == ("", ())
    assert found.order == order
