"""Is the verdict on each hand-labelled statement the one that was argued?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport, StatementReport
from tests.unit.audit.cases import CASES, Expected, expected, verdict_plan

FILE = CASES / "verdicts" / "statements.sql"
LABELS = expected(FILE)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return audit_files(schema=[CASES / "verdicts" / "schema.sql"], statements=[FILE], plan=verdict_plan())


@pytest.fixture(scope="module")
def by_name(report: AuditReport) -> dict[str, StatementReport]:
    return {s.name: s for s in report.statements}


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name)
def test_the_verdict_is_the_one_argued(label: Expected, by_name: dict[str, StatementReport]) -> None:
    """Every labelled statement gets its verdict, a reason, and the rules it is labelled with."""
    found = by_name[label.name]

    assert found.verdict == label.verdict, f"{label.why}; the audit says: {found.reasons}"
    assert found.reasons
    assert label.rules <= set(found.rules)


def test_the_corpus_is_large_and_covers_every_verdict() -> None:
    """At least 200 statements; each verdict at least a few times; no name twice."""
    verdicts = Counter(label.verdict for label in LABELS)

    assert len(LABELS) >= 200
    assert len({label.name for label in LABELS}) == len(LABELS)
    assert set(verdicts) == {
        "single_shard", "multi_shard_keys", "cross_shard", "reference_only", "no_table", "unsupported", "unparsable",
    }  # fmt: skip
    assert min(verdicts.values()) >= 3


def test_a_proposed_rewrite_stays_on_one_shard(report: AuditReport, tmp_path: object) -> None:
    """Whatever the audit proposes is itself judged single_shard."""
    rewrites = [s for s in report.statements if s.rewrite]
    path = tmp_path / "rewrites.sql"  # type: ignore[operator]
    path.write_text("".join(f"-- name: {s.name}\n{s.rewrite};\n" for s in rewrites))

    again = audit_files(schema=[CASES / "verdicts" / "schema.sql"], statements=[path], plan=verdict_plan())

    judged = {s.name: s.verdict for s in again.statements if s.function is None}
    assert len(judged) == len(rewrites) > 30
    assert set(judged.values()) == {"single_shard"}


def test_every_statement_in_is_a_statement_out(report: AuditReport) -> None:
    """Nothing is left out: what was read is what is reported."""
    evidence = report.evidence
    from_file = [s for s in report.statements if s.function is None]

    assert evidence["statements_read"] == len(from_file) == len(LABELS)
    assert evidence["statements_unparsable"] == sum(1 for s in from_file if s.verdict == "unparsable")


def test_an_unparsable_statement_says_where(by_name: dict[str, StatementReport]) -> None:
    """The position counts characters in the text as it was given."""
    found = by_name["broken"]

    assert found.sql[found.position or 0 :].startswith("WHERE tenant_id")


def test_the_keys_named_are_the_same_in_every_run(tmp_path: Path) -> None:
    """A column equal to several parameters is named by the first, whatever the hashes of this process."""
    (tmp_path / "s.sql").write_text("CREATE TABLE t (tenant_id int, id int, PRIMARY KEY (tenant_id, id));")
    joins = [f"JOIN t x{n} ON x{n}.tenant_id = a.tenant_id AND a.tenant_id = ${n}" for n in range(1, 9)]
    (tmp_path / "q.sql").write_text(" ".join(("SELECT 1 FROM t b, t a", *joins, "WHERE b.tenant_id = 3;")))

    report = audit_files(schema=[tmp_path / "s.sql"], statements=[tmp_path / "q.sql"], tenant_key="tenant_id")

    assert report.statements[0].keys == ("$1", "3")


def test_a_key_of_numbers_says_as_what_it_must_be_bound(tmp_path: Path) -> None:
    """A driver decides the type of a parameter, unless the statement casts it; texts and uuids have no such rival."""
    (tmp_path / "schema.sql").write_text(
        "CREATE TABLE a (t bigint NOT NULL, id int); CREATE TABLE b (t uuid NOT NULL, id int);"
    )
    (tmp_path / "q.sql").write_text(
        "-- name: bare\nSELECT * FROM a WHERE t = :tenant;\n-- name: cast\nSELECT * FROM a WHERE t = $1::bigint;\n"
        "-- name: constant\nSELECT * FROM a WHERE t = 5;\n-- name: uuid\nSELECT * FROM b WHERE t = $1;\n"
    )

    report = audit_files(schema=[tmp_path / "schema.sql"], statements=[tmp_path / "q.sql"], tenant_key="t")

    assert {s.name: s.reasons[1:] for s in report.statements} == {
        "bare": ("on one shard if tenant is bound as bigint: numeric or double precision would make it all of them",),
        "cast": (), "constant": (), "uuid": (),
    }  # fmt: skip
