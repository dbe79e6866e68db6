"""The digest of the same rows is the same number on every PostgreSQL, whatever the session, role or collation says.

Servers: the one of the run (embedded, or --pg-bin), those that the distribution installed, and directories of initdb
and postgres named in MIGRATOR_TEST_PG_BINS (separated by colons). 15 is what classic runs, 16 what Limitless runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.consistency import digest_sql
from migrator.db.connect import connect
from migrator.local.process import free_port
from migrator.local.server import Server, make_cluster, password_of, programs, reachable_programs
from migrator.model.side import Side
from migrator.model.table import Column, Table, TableKind
from tests.integration.consistency.kinds import KINDS, SCHEMA, fill

pytestmark = pytest.mark.pg

WANTED = ("15", "16", "18")

# What a role or database may set, and what must not reach the text of a value.
HOSTILE = {
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kolkata",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "xmloption": "document",
    "standard_conforming_strings": "off",
    "search_path": "public",
}

TABLE = Table(
    "kinds",
    "sample",
    TableKind.SHARDED,
    (
        Column("id", "bigint", not_null=True),
        Column("tenant_id", "bigint", not_null=True),
        *(Column(name, kind, not_null=name.startswith("n_")) for name, kind, _, _ in KINDS),
        Column("c_folded", "text"),
    ),
    ("id",),
    tenant_column="tenant_id",
    tenant_source="tenant_id",
    tenant_type="bigint",
)


def builds(given: Path | None) -> dict[str, Path]:
    """Return one directory of programs per major version found here."""
    named = [Path(p) for p in os.environ.get("MIGRATOR_TEST_PG_BINS", "").split(":") if p]
    found: dict[str, Path] = {}
    for path in [programs(given), *named, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]:
        if (path / "initdb").exists():
            done = subprocess.run([path / "postgres", "--version"], capture_output=True, text=True)
            match = re.search(r"(\d+)\.", done.stdout)
            assert match is not None, f"{path} does not run: {done.stderr}"
            found.setdefault(match[1], path)
    return found


def digests_of(server: Server, hostile: bool) -> tuple[bool, dict[str, Any]]:
    """Fill a database and return whether it has ICU, and everything the validator would ask."""
    database = "hostile" if hostile else "plain"
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database} TEMPLATE template0".encode())
        if hostile:
            for name, value in HOSTILE.items():
                admin.execute(f"ALTER DATABASE {database} SET {name} = '{value}'".encode())
    with connect(server.dsn(database), "test") as conn:
        conn.execute(SCHEMA.encode())
        collation = ""
        if hostile:  # one side nondeterministic, the other not: the bytes are compared
            with contextlib.suppress(psycopg.errors.FeatureNotSupported):  # a build without ICU
                conn.execute(
                    "CREATE COLLATION kinds.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
                )
                collation = "COLLATE kinds.ci"
        conn.execute(f"ALTER TABLE kinds.sample ADD c_folded text {collation}".encode())
        conn.execute(fill(200).encode())
        conn.execute("UPDATE kinds.sample SET c_folded = CASE WHEN id % 2 = 0 THEN 'Straße' ELSE 'STRASSE' END")
        asked = {
            "digests": digest_sql.digests(TABLE, Side.CLASSIC, ["1", "2", "3"]),
            "other side": digest_sql.digests(TABLE, Side.LIMITLESS, ["1", "2", "3"]),
            "buckets": digest_sql.bucket_digests(TABLE, Side.CLASSIC, ["2"], 8),
            "rows": digest_sql.bucket_rows(TABLE, Side.CLASSIC, 8, [("2", 1), ("2", 3)]),
        }
        answers: dict[str, Any] = {name: sorted(conn.execute(query).fetchall()) for name, query in asked.items()}
        columns = digest_sql.row_columns(TABLE, Side.CLASSIC, ["2"], False)
        answers["columns"] = psycopg.RawCursor(conn).execute(columns, [["2"], ["1"], "s"]).fetchall()
    return bool(collation), answers


def test_every_version_gives_the_same_digest(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL 15, 16 and 18, hostile settings, a collation that calls different texts equal: one digest."""
    found = builds(request.config.getoption("pg_bin"))
    missing = [version for version in WANTED if version not in found]
    answers: dict[str, dict[str, Any]] = {}
    icu = []
    home = Path(tempfile.mkdtemp(prefix="migrator-versions-"))
    home.chmod(0o755)
    try:
        password = password_of(home)
        for version, path in found.items():
            (home / version).mkdir(mode=0o755)
            bin_directory = reachable_programs(path, home / version)
            make_cluster(home / version / "data", bin_directory, password)
            server = Server(f"pg{version}", home / version / "data", bin_directory, free_port(), password)
            server.start()
            try:
                for hostile in (False, True):
                    with_icu, answers[f"{version}{' hostile' if hostile else ''}"] = digests_of(server, hostile)
                    icu += [version] if with_icu else []
            finally:
                server.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    with capsys.disabled():  # a build that is missing here is said, never passed over
        print(
            f"\n  digests compared on PostgreSQL {', '.join(sorted(found))}; nondeterministic collation on"
            f" {', '.join(icu) or 'none'}; not found here: {', '.join(missing) or 'none'}"
        )

    first, *others = answers.values()
    assert len(first["digests"]) == 3 and len(first["rows"]) > 0
    assert [name for name, answer in answers.items() if answer != first] == []
    assert others, "a plain and a hostile database at least"
