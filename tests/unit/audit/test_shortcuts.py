"""What the audit does in a shorter way, it says as the long way does: on the cases and on statements made at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.rows import Evidence
from migrator.audit.rules import statement as rules
from migrator.audit.rules.rule import Hit
from migrator.audit.shardkey import touched, volatility
from migrator.audit.shardkey.parameters import place
from migrator.audit.shardkey.propose import propose
from migrator.audit.shardkey.shape import Shapes, shapes_of_key, shapes_of_plan
from migrator.audit.shardkey.verdict import ON_ROWS, Judged, StatementVerdict, judge, judge_parsed
from migrator.audit.shardkey.walk import Context, FunctionSummary
from migrator.grammar.parse import Parsed, Unparsable, parse
from migrator.grammar.written import stop_words, stops, tokens
from migrator.scripts.statement_file import split
from tests.integration.planner import statements as made
from tests.unit.audit.cases import CASES, rules_plan, verdict_plan

GENERATED = range(9_000_000, 9_000_250)


@dataclass(frozen=True)
class Corpus:
    name: str
    context: Context
    texts: tuple[str, ...]

    def statements(self) -> Iterator[tuple[str, Parsed]]:
        for text in self.texts:
            try:
                [found] = parse(place(text).sql)
            except (Unparsable, ValueError):
                continue
            yield text, found


def _context(schema: str, shapes: str) -> Context:
    evidence = Evidence(Catalog())
    read_dump(schema, "schema.sql", evidence)
    chosen: Shapes
    if shapes == "key":
        chosen = shapes_of_key(evidence.catalog, made.KEY, {})
    else:
        plan = verdict_plan() if shapes == "verdicts" else rules_plan()
        chosen = shapes_of_plan(evidence.catalog, plan.tables)
    context = Context(evidence.catalog, chosen, volatility.known(evidence.catalog))
    context.summaries = {"touching": FunctionSummary(("public.orders",), None, "it reads all orders")}
    return context


# Names that hide others, statements in statements, everything that only looks plain.
FORMS = (
    "SELECT touching(1) FROM countries",
    "WITH countries AS (SELECT * FROM orders) SELECT * FROM countries",
    "WITH c AS (SELECT 1) SELECT * FROM c, countries",
    "SELECT * FROM countries WHERE EXISTS (WITH c AS (SELECT * FROM orders) SELECT 1 FROM c)",
    "SELECT * FROM countries FOR UPDATE OF countries",
    "SELECT * FROM countries c FOR UPDATE OF c",
    "SELECT * INTO copied FROM countries",
    "SELECT * FROM missing",
    "SELECT * FROM pg_class",
    "SELECT * FROM pg_catalog.pg_class, countries",
    "SELECT 1",
    "INSERT INTO countries SELECT id FROM orders",
    "INSERT INTO countries (code) VALUES ($1) ON CONFLICT (code) DO UPDATE SET name = (SELECT state FROM orders)",
    "UPDATE countries SET name = $1 WHERE CURRENT OF c",
    "DELETE FROM countries USING orders WHERE orders.id = 1",
    "MERGE INTO countries USING orders ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM countries",
    "SELECT * FROM orders WHERE tenant_id = $1",
    "SELECT * FROM orders WHERE $1 = orders.tenant_id AND id = 2",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 AND o.tenant_id = $2",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 AND o.tenant_id IS NOT NULL",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 AND o.tenant_id + 1 = $1",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 AND o.tenant_id = ANY (ARRAY[$2, $3])",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 OR o.id = 1",
    "SELECT * FROM orders o WHERE NOT o.tenant_id = $1",
    "SELECT * FROM orders o WHERE o.tenant_id <> $1",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 AND 1 = 0",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 + 1",
    "SELECT * FROM orders o WHERE o.tenant_id = $1::numeric",
    "SELECT * FROM orders o WHERE p.tenant_id = $1",
    "SELECT * FROM orders AS o (a, tenant_id) WHERE o.tenant_id = $1",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 UNION SELECT * FROM orders",
    "SELECT * FROM orders o WHERE o.tenant_id = $1 FOR UPDATE",
    "SELECT * FROM orders o TABLESAMPLE SYSTEM (1) WHERE o.tenant_id = $1",
    "SELECT state FROM orders WHERE tenant_id = $1 GROUP BY GROUPING SETS ((state), ())",
    "SELECT * FROM orders, LATERAL (SELECT 1) s WHERE tenant_id = $1",
    "UPDATE orders SET state = $2 WHERE tenant_id = $1",
    "UPDATE orders SET tenant_id = $2 WHERE tenant_id = $1",
    "UPDATE orders SET state = $2 FROM countries WHERE tenant_id = $1",
    "DELETE FROM orders WHERE tenant_id = $1 RETURNING id",
    "SELECT ctid FROM countries",
    'SELECT U&"\\0063tid" FROM countries',
    "SELECT now(), current_date FROM countries",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpora() -> list[Corpus]:
    found = []
    for name in ("verdicts", "rules"):
        pieces = split((CASES / name / "statements.sql").read_text())
        texts = (*(p.sql for p in pieces), *(FORMS if name == "verdicts" else ()))
        found.append(Corpus(name, _context((CASES / name / "schema.sql").read_text(), name), texts))
    texts = tuple(made.Writer(seed).statement() for seed in GENERATED)
    return [*found, Corpus("generated", _context(made.SCHEMA, "key"), texts)]


def _said(judged: Judged) -> tuple[object, ...]:
    analysis = judged.analysis
    assert analysis is not None
    unbound = [(i.relation.qualified, i.alias, i.place, i.why) for i in judged.unbound]
    instances = [(i.relation.qualified, i.alias, i.place, analysis.types.get(i.node or 0)) for i in judged.instances]
    facts = (analysis.late, analysis.policed, sorted(set(analysis.unknown)), list(analysis.kinds))
    return (
        *(judged.verdict, judged.reasons, judged.relations, judged.rules, judged.proposed, judged.keys),
        *(unbound, instances, facts[:3], sorted(facts[3])),
    )


def test_a_statement_by_itself_gets_the_verdict_that_reading_all_of_it_gives(corpora: list[Corpus]) -> None:
    differ, shorter = [], 0
    for corpus in corpora:
        for text, statement in corpus.statements():
            short, long = judge_parsed(corpus.context, statement), judge(corpus.context, statement.tag, statement.body)
            if _said(short) != _said(long):
                differ.append((text, _said(short), _said(long)))
            kinds, context = statement.kinds, corpus.context
            shorter += statement.tag in ON_ROWS and (
                touched.without_shards(context, statement.body, kinds) is not None
                or touched.one_table(context, statement) is not None
            )
    assert differ == []
    assert shorter > 60


def test_the_rules_find_in_a_plain_statement_what_they_find_when_they_look_at_every_node(
    corpora: list[Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hits(corpus: Corpus) -> list[list[Hit]]:
        return [
            rules.check(statement, judge_parsed(corpus.context, statement), corpus.context)
            for _, statement in corpus.statements()
        ]

    short = [hits(corpus) for corpus in corpora]
    monkeypatch.setattr(rules, "_is_plain", lambda statement: False)
    assert short == [hits(corpus) for corpus in corpora]
    assert any(found for corpus in short for found in corpus)


def test_every_rewrite_is_on_one_shard_when_all_of_it_is_read(corpora: list[Corpus]) -> None:
    rewritten = 0
    for corpus in corpora:
        for text, statement in corpus.statements():
            judged = judge_parsed(corpus.context, statement)
            if judged.verdict is not StatementVerdict.CROSS_SHARD:
                continue
            new = propose(judged, statement, place(text), corpus.context)
            if new is not None:
                [again] = parse(place(new).sql)
                assert judge(corpus.context, again.tag, again.body).verdict is StatementVerdict.SINGLE_SHARD, new
                rewritten += 1
    assert rewritten > 100


WORDS = ("WHERE", "ORDER", "OR", "ON")
PIECES = (
    *("where", "WHERE", "or", "order", "ordered", "on", "x", "_where", "or$", "é", "whereé", "e'a''b'", "'or'", "''"),
    *('"where"', '"a""b"', "$1", "$2or", "1", "1.5e3", "(", ")", "[", "]", ";", ",", ".", "=", "<=", "::", "-", "/"),
    *(" ", "  ", "\n", "\t", "-- or\n", "/* where */", "/* a /* or */ b */", "$$or$$", "$t$where$t$", "E'\\'or'", "*"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_the_words_that_end_a_clause_are_those_that_reading_every_token_finds(pieces: list[str]) -> None:
    data = ("x " + " ".join(pieces)).encode()
    wanted = {*WORDS, "(", ")", "[", "]", ";"}

    found = [t for t in stops(data, 0, stop_words(*WORDS)) if t.word in wanted]

    assert found == [t for t in tokens(data) if t.word in wanted]
