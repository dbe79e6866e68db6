"""Is the audit right about an application? Its schema and statements, distributed as `plan init` proposes, are
judged by PostgreSQL's planner.

    python -m tests.applications schema.sql --statements queries/ --tenant-key tenant_id
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from migrator.audit.evidence.rows import RawStatement
from migrator.audit.files import read_statements
from migrator.local.process import free_port
from migrator.local.server import Server, copy_cluster
from migrator.scripts.folder import expand
from tests.applications.held import Held, hold_all, load_schema, proposed_plan
from tests.applications.source_code import statements
from tests.fixtures.postgres import Cluster


@contextmanager
def _server() -> Iterator[str]:
    cluster = Cluster(None)
    data = cluster.data / "application"
    copy_cluster(cluster.template, data)
    server = Server("application", data, cluster.bin, free_port(), cluster.password)
    try:
        server.start()
        yield server.dsn()
    finally:
        server.kill()
        shutil.rmtree(cluster.home, ignore_errors=True)
        shutil.rmtree(cluster.data, ignore_errors=True)


def _statements(paths: list[Path]) -> list[RawStatement]:
    found: list[RawStatement] = []
    for path in paths:
        if path.suffix in (".go", ".json") or (path.is_dir() and not list(path.rglob("*.sql"))):
            found += statements(path)
        else:
            found += read_statements(expand(path).files if path.is_dir() else [path], ()).statements
    return found


def _tell(held: Held, verbose: bool) -> None:
    for title, found in (
        ("CALLED SINGLE, AND CROSSES", held.crossing),
        ("NEEDLESS ALARM", held.alarms),
        ("CALLED SEVERAL KEYS, AND ONE SHARD", held.several),
        ("REFUSED ON THE SHARDED TABLES, AND NOT SAID", held.refused),
    ):
        for name, seen in found:
            print(f"{title}: {name}: {seen}")
    for why, names in sorted(held.not_asked.items()):
        print(f"not asked, {why}: {len(names)}: {'; '.join(names[: 40 if verbose else 3])}")
    counts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(held.asked.items()))
    print(f"{held.statements} statements, {held.total} asked ({counts}); {held.one_shard} read one shard")
    print(
        f"agreed {held.agreed}, at run time and said so {len(held.marked)}, crossing {len(held.crossing)},"
        f" needless alarms {len(held.alarms)} ({100 * len(held.alarms) / max(1, held.total):.1f} %),"
        f" rows placed by a default {len(held.placed)}, several keys {len(held.several)},"
        f" refused and said {held.announced}, refused and not said {len(held.refused)}"
    )


def main() -> int:
    """Return 0 when no statement is called single-shard that is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.applications", description=__doc__)
    parser.add_argument("schema", nargs="+", type=Path, help="dumps, migrations, or folders of them, in order")
    parser.add_argument(
        "--statements", action="append", required=True, type=Path, help="files or folders: SQL, Go, sqlx"
    )
    parser.add_argument("--tenant-key", required=True)
    parser.add_argument("--key-alias", action="append", default=[], metavar="TABLE=COLUMN")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    aliases = dict(entry.split("=", 1) for entry in given.key_alias)
    with _server() as dsn, psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as conn:
        for refused in load_schema(conn, given.schema):
            print(f"schema: {refused}")
        plan = proposed_plan(conn, given.tenant_key, aliases)
        held, report = hold_all(conn, plan, _statements(given.statements))
        kinds = [t.kind for t in report.tables]
        print(", ".join(f"{kinds.count(kind)} {kind} tables" for kind in dict.fromkeys(kinds)))
        _tell(held, given.verbose)
    return 1 if held.crossing else 0


if __name__ == "__main__":
    sys.exit(main())
