"""Writes the psql script that gathers the evidence where the audit itself may not connect. Read-only.

The same statements as a live audit (collect.sql), one JSON object per line.
"""

from __future__ import annotations

from migrator.audit.evidence.live import STATEMENTS

_HEAD = """\
-- Gathers the evidence of `migrator audit` without a connection of its own. Read-only.
--
--     psql -X -f gather.sql -o evidence.jsonl "postgresql://user@host/database"
--     migrator audit --gathered evidence.jsonl --html audit.html
--
-- Run it on the writer, as a user with pg_monitor (or pg_read_all_stats). What a user may not read is left out with
-- a message on the screen, and the audit says so. It counts rows per tenant in one pass over each table that has the
-- tenant column; on a busy cluster run it on a replica, or remove the last part.

\\set QUIET on
\\set ON_ERROR_STOP off
\\pset tuples_only on
\\pset format unaligned
\\pset pager off
SET default_transaction_read_only = on;
SET search_path = pg_catalog;
SET statement_timeout = 0;
SET lock_timeout = '5s';
SET row_security = off;
SET client_encoding = 'UTF8';
"""

_STATISTICS = """\
SELECT jsonb_build_object('kind', 'problem', 'text',
         'pg_stat_statements is not installed, so no statement was seen: give statement files or logs')
 WHERE NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements') /* migrator:audit */;
SELECT format('SET search_path = %%I, pg_catalog', n.nspname)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements' /* migrator:audit */ \\gexec
"""

_TENANTS = """\
SET search_path = pg_catalog;
SELECT format('SELECT jsonb_build_object(''kind'', ''tenant_rows'', ''relation'', %%L, ''column'', %%L, ''tenant'', t, '
              || '''rows'', n, ''recent'', r) FROM (SELECT %%I::text AS t, count(*) AS n, '
              || 'count(*) FILTER (WHERE age(xmin) BETWEEN 0 AND 1000000) AS r FROM %%I.%%I GROUP BY 1) AS c '
              || '/* migrator:audit */',
              n.nspname || '.' || c.relname, a.attname, a.attname, n.nspname, c.relname)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.attname = {key} AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */ \\gexec
"""


def script(tenant_key: str) -> str:
    """Return the psql script for a database whose tenant column is *tenant_key*."""
    key = "'" + tenant_key.replace("'", "''") + "'"
    first = f"SELECT jsonb_build_object('kind', 'gather', 'tenant_key', {key}) /* migrator:audit */;\n"
    parts = [_HEAD, first]
    parts += [f"-- {name}\n{text};\n" for name, text in STATEMENTS.items() if not name.startswith("statements")]
    parts.append(_STATISTICS.replace("%%", "%"))
    parts += [f"-- {name}\n{text};\n" for name, text in STATEMENTS.items() if name.startswith("statements")]
    parts.append(_TENANTS.replace("%%", "%").replace("{key}", key))
    return "\n".join(parts)
