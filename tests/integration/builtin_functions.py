"""Writes `migrator/audit/shardkey/builtin_functions.tsv` from the catalogs of running servers: for a new release, run

python -m tests.integration.builtin_functions DSN_OF_15 DSN_OF_18 > migrator/audit/shardkey/builtin_functions.tsv
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

# Functions that a statement can call; of overloads, the volatility that promises least. What takes or returns a
# pseudo-type of the server's insides is for types, indexes, triggers and the planner.
FUNCTIONS = """
SELECT p.proname, (array_agg(p.provolatile::text ORDER BY array_position('{v,s,i}', p.provolatile::text)))[1]
  FROM pg_proc p
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a', 'w')
   AND NOT EXISTS (
        SELECT FROM pg_type t
         WHERE t.oid = ANY (p.proargtypes::oid[] || p.prorettype) AND t.typtype = 'p'
           AND (t.typname IN ('internal', 'cstring', 'trigger', 'event_trigger', 'language_handler')
                OR t.typname ~ '_handler$'))
 GROUP BY p.proname
"""


def functions(conn: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the volatility (v, s or i) of every function of the server by name."""
    return dict(conn.execute(FUNCTIONS).fetchall())


def merged(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the functions of several releases; where they differ, the volatility that promises least."""
    together: dict[str, str] = {}
    for each in found:
        for name, volatility in each.items():
            together[name] = max(volatility, together.get(name, "i"), key="isv".index)
    return dict(sorted(together.items()))


def main() -> None:
    found = []
    for dsn in sys.argv[1:]:
        with psycopg.connect(dsn) as conn:
            found.append(functions(conn))
    sys.stdout.writelines(f"{name}\t{volatility}\n" for name, volatility in merged(found).items())


if __name__ == "__main__":
    main()
