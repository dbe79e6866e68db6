"""How fast is the audit, and how much memory does it take?

    pip install pglast==8.8    # by hand, for the comparison alone: it is GPL-3, and no extra of this project names it
    pytest tests/benchmarks/test_audit.py -m slow -s

prints the figures. Statements are the corpus of verdicts with as many columns as an object mapper names, 400 characters
on average, as in the applications that were looked at. A third of them crosses shards and gets a rewrite, which is
parsed and judged again. A log repeats its statements with other constants. Limits: at least 0.07 of the bare parser's
speed on the same statements in the same run, one process, its processor time, end to end (a log 0.3), and as fast for
many as for few; 100,000 distinct statements below 500 MB; tenants of 5,000,000 rows counted in one pass.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pgparse
import psycopg
import pytest

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.rows import Evidence, absorb
from migrator.audit.files import audit_files
from migrator.audit.report.values import AuditReport
from migrator.audit.shardkey.shape import shapes_of_key
from migrator.audit.sizing.count import count_tenants, plan_counts
from migrator.audit.spread import available
from migrator.scripts.statement_file import split
from tests import ROOT
from tests.unit.audit.cases import CASES, verdict_plan

SCHEMA = CASES / "verdicts" / "schema.sql"
STATEMENTS = CASES / "verdicts" / "statements.sql"

CHILD = """
import resource, sys, time
from pathlib import Path
from migrator.audit.files import audit_files
from tests.unit.audit.cases import verdict_plan

began = time.perf_counter()
report = audit_files(schema=[Path(sys.argv[1])], statements=[Path(sys.argv[2])], plan=verdict_plan())
seconds = time.perf_counter() - began
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
import importlib.util
import json
print(json.dumps({"statements": len(report.statements), "seconds": seconds, "peak_mb": peak_mb}))
"""


def _parsable() -> list[str]:
    found = []
    for piece in split(STATEMENTS.read_text()):
        try:
            pgparse.parse(piece.sql)
        except pgparse.PGQueryError:
            continue
        if piece.sql:
            found.append(piece.sql)
    return found


COLUMNS = ", ".join(f"'a value' AS column_number_{n}" for n in range(11))


def _write(path: Path, count: int) -> list[str]:
    """Write *count* distinct statements: the corpus again and again, each with its own column labels."""
    base = [s for s in _parsable() if s.startswith("SELECT ") and " FROM " in s.removeprefix("SELECT ")]
    texts = []
    with path.open("w") as file:
        for number in range(count):
            text = base[number % len(base)].replace("SELECT ", f"SELECT {COLUMNS}, {number} AS n{number}, ", 1)
            if "DISTINCT" in text or "UNION" in text or "INTERSECT" in text or "EXCEPT" in text:
                text = base[number % len(base)] + f" -- {number}"
            texts.append(text)
            file.write(f"-- name: s{number}\n{text};\n")
    return texts


def _seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the least processor time that *work* took."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def _parse_all(parse: Callable[[str], object], texts: list[str]) -> None:
    for text in texts:
        parse(text)


@pytest.mark.slow
def test_speed_against_the_bare_parser(tmp_path: Path) -> None:
    """End to end, files in and report out, the audit keeps a share of its parser's own speed, however many they are."""
    few, many = tmp_path / "few.sql", tmp_path / "many.sql"
    texts = _write(few, 3000)
    _write(many, 12_000)

    def audit(path: Path) -> AuditReport:
        return audit_files(schema=[SCHEMA], statements=[path], plan=verdict_plan())

    own_s, bare_s = _seconds(lambda: audit(few)), _seconds(lambda: _parse_all(pgparse.parse, texts))
    many_s = _seconds(lambda: audit(many), rounds=1)
    said = f"audit {len(texts) / own_s:,.0f} statements/s, pgparse.parse {len(texts) / bare_s:,.0f}"
    if importlib.util.find_spec("pglast") is not None:
        pglast_s = _seconds(lambda: _parse_all(importlib.import_module("pglast").parse_sql, texts))
        said += f", pglast.parse_sql {len(texts) / pglast_s:,.0f}; ratio to pglast {pglast_s / own_s:.2f}"
        began = time.perf_counter()
        audit_files(schema=[SCHEMA], statements=[many], plan=verdict_plan(), processes=available())
        wall_s = (time.perf_counter() - began) * len(texts) / 12_000
        said += f"; of 12,000, by the clock with {available()} processes as by default, {pglast_s / wall_s:.2f}"
    print(f"\n{sum(map(len, texts)) / len(texts):.0f} characters on average: {said}")
    assert sum(1 for s in audit(few).statements if s.function is None) == len(texts)
    assert bare_s / own_s >= 0.07
    assert many_s < 1.5 * 4 * own_s


@pytest.mark.slow
def test_a_log_of_repeated_statements(tmp_path: Path) -> None:
    """20,000 records of some hundred statements that differ in their constants are read and judged as those hundred."""
    base = [text for text in dict.fromkeys(_write(tmp_path / "few.sql", 500)) if "--" not in text]
    texts = [base[n % len(base)].replace("'a value'", f"'value {n}'").replace("\n", " ") for n in range(20_000)]
    log = tmp_path / "postgresql.log"
    log.write_text(
        "".join(
            f"2026-11-29 10:00:00.000 UTC [{n % 50}] LOG:  duration: 0.{n % 1000:03} ms  statement: {text}\n"
            for n, text in enumerate(texts)
        )
    )
    found: list[AuditReport] = []

    own_s = _seconds(lambda: found.append(audit_files(schema=[SCHEMA], logs=[log], plan=verdict_plan())), rounds=2)
    bare_s = _seconds(lambda: _parse_all(pgparse.parse, texts), rounds=2)

    said = f"audit of a log {len(texts) / own_s:,.0f} statements/s, pgparse.parse {len(texts) / bare_s:,.0f}"
    if importlib.util.find_spec("pglast") is not None:
        pglast_s = _seconds(lambda: _parse_all(importlib.import_module("pglast").parse_sql, texts), rounds=2)
        said += f"; ratio to pglast {pglast_s / own_s:.2f}"
    print(f"\n{said}")
    assert sum(s.calls for s in found[-1].statements if s.function is None) == len(texts)
    assert len(found[-1].statements) <= 600
    assert bare_s / own_s >= 0.3


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_statements(tmp_path: Path) -> None:
    """100,000 distinct statements stay below 500 MB, the report with all of them included."""
    path = tmp_path / "statements.sql"
    _write(path, 100_000)

    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(SCHEMA), str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    found = json.loads(done.stdout)
    print(f"\n{found['statements']:,} statements in {found['seconds']:.1f} s, peak {found['peak_mb']:.0f} MB")
    assert found["statements"] >= 100_000
    assert found["peak_mb"] < 500


@pytest.mark.slow
@pytest.mark.pg
def test_tenants_of_five_million_rows(classic_dsn: str) -> None:
    """Every table is read once, and the progress says which one is being read."""
    said: list[str] = []
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(
            "CREATE UNLOGGED TABLE big (tenant_id int NOT NULL, id int NOT NULL, filler text)"
            " WITH (autovacuum_enabled = off)"
        )
        conn.execute(
            "INSERT INTO big SELECT (1000 * power(random(), 3))::int, n, 'some text of a row'"
            "  FROM generate_series(1, 5000000) n"
        )
        conn.execute("ANALYZE big")
        evidence = Evidence(Catalog())
        relation = {"kind": "relation", "schema": "public", "name": "big", "relkind": "r", "rows": 5_000_000}
        column = {"kind": "column", "relation": "public.big", "name": "tenant_id", "type": "integer"}
        absorb([relation, column], evidence, "benchmark")
        shapes = shapes_of_key(evidence.catalog, "tenant_id", {})
        counts = plan_counts(evidence.catalog, shapes, sample_above_rows=10**9, recent_xids=1000)
        began = time.perf_counter()
        [counted] = count_tenants(conn, counts, evidence.catalog, said.append, [])
        seconds = time.perf_counter() - began

    print(f"\n5,000,000 rows of {len(counted.rows):,} tenants in {seconds:.1f} s")
    assert counted.total == 5_000_000
    assert len(said) == 1
