"""The JSON of an audit and of a rehearsal with something in every place that their pages show."""

from __future__ import annotations

from typing import Any

AUDIT: dict[str, Any] = {
    "database": "shop",
    "engine_version": "16.13-limitless",
    "tenant_key": "tenant_id",
    "mode": "live",
    "created_at": "2026-01-02",
    "summary": {
        "findings": {"blocker": 1, "rewrite": 1, "warning": 0, "info": 0},
        "statements": {"cross_shard": {"statements": 1, "calls": 2.0}, "single_shard": {"statements": 1, "calls": 2.0}},
    },
    "changes": {
        "since": "2026-01-01",
        "new_findings": ["LIM-KEY-01:orders"],
        "gone_findings": ["LIM-KEY-01:users"],
        "changed_verdicts": [{"name": "q1", "before": "single_shard", "now": "cross_shard"}],
        "new_statements": [],
        "gone_statements": ["s9"],
    },
    "findings": [
        {"id": "LIM-KEY-01:orders", "rule": "LIM-KEY-01", "severity": "blocker", "object": "app.orders",
         "title": "no key", "evidence": "primary key (id)", "fix": "add it",
         "sql": "ALTER TABLE", "source": "catalog", "reference": "ddl",
         "acknowledged": "Ada: known"},
        {"id": "LIM-QRY-01:q", "rule": "LIM-QRY-01", "severity": "rewrite", "object": "q", "title": "all shards",
         "evidence": "", "fix": "bind it", "sql": None, "source": "q.sql:1", "reference": "query",
         "acknowledged": None},
    ],
    "statements": [
        {"name": "q1", "sql": "SELECT 1", "verdict": "cross_shard", "reasons": ["no key", "a join"],
         "rules": ["LIM-QRY-01"], "source": {"file": "q.sql", "line": 3}, "rewrite": "SELECT 2", "refused": True,
         "weight": {"calls": 2.0, "total_ms": 1234.0, "extra_shard_calls": 6.0}},
        {"name": "q2", "sql": "SELECT 3", "verdict": "single_shard", "reasons": ["bound"], "rules": [],
         "refused": False, "source": {"file": "log", "line": 0}, "rewrite": None,
         "weight": {"calls": 2.0, "total_ms": None, "extra_shard_calls": 0.0}},
    ],
    "tables": [
        {"name": "app.orders", "kind": "sharded", "decided_by": "plan", "key": "tenant_id",
         "via": "user_id -> users.id", "rows": 1234567, "bytes": 2**21, "writes": 3, "reasons": ["has the key"]},
        {"name": "app.notes", "kind": "undecided", "decided_by": "audit", "key": None, "via": None,
         "rows": None, "bytes": None, "writes": 0, "reasons": ["who knows"]},
    ],
    "objects": [{"type": "tables", "count": 1200, "clean": 1}, {"type": "views", "count": 3, "clean": 3}],
    "explain": {
        "cluster": "dba@db:5432/shop", "asked": 2, "agreed": 0, "differs": 2, "not_answered": 1,
        "differences": [
            {"id": "s1", "name": "q1", "verdict": "single_shard", "answer": "several_shards", "why": "several shards",
             "contradicts": True, "plan": ["Append", "  ->  Foreign Scan on orders_fs00001"]},
            {"id": "s2", "name": "q2", "verdict": "cross_shard", "answer": "one_shard", "why": "one is enough",
             "contradicts": False, "plan": []},
        ],
        "reasons": [{"why": "42P01: no such table", "statements": 1, "first": "q3"}],
    },
    "tenants": {
        "count": 2, "rows": 1010, "exact": False, "median_rows": 505, "p99_rows": 1000, "max_rows": 1000, "gini": 0.49,
        "hot": [{"tenant": "acme", "reasons": ["99 % of rows"]}],
        "histogram": [{"from_rows": 8, "to_rows": 15, "tenants": 1, "rows": 10},
                      {"from_rows": 512, "to_rows": 1023, "tenants": 1, "rows": 1000}],
        "largest": [{"tenant": "acme", "rows": 1000, "share": 0.99}, {"tenant": "b", "rows": 10, "share": 0.01}],
        "forecast": {"weeks": 24.0, "monthly_growth": 0.15, "rows": 2000, "one_shard_must_hold_rows": 1980,
                     "one_shard_must_hold_bytes": 2**30},
        "tables": [{"table": "app.orders", "rows": 1010, "tenants": 2, "median_rows": 505.0, "max_rows": 1000,
                    "tenantless_rows": 0, "missing_parents": 0, "method": "exact"}],
    },
    "runway": {"summary": "full in 20 weeks", "advice": "reads on replicas first", "calendar_weeks": 24.0,
               "weeks": {"triggers": 20.1, "none": None}},
    "sizing": {"max_acu": {"low": 16, "likely": 64, "high": 128}, "routers": 2, "shards": 4, "compute_redundancy": 1,
               "hottest_shard_acu": 12.5, "assumptions": ["2 ACU for each core"]},
    "evidence": {"server_version": "18.1", "tables": 2, "notes": ["not shown"],
                 "problems": ["pg_stat_statements is missing"]},
}  # fmt: skip

REHEARSAL: dict[str, Any] = {
    "ok": False,
    "plan": "demo",
    "started_at": "2026-01-02 10:00 UTC",
    "machine": "2 cores",
    "seconds": 60.0,
    "problems": ["2 rows differed"],
    "left_out": ["Limitless was not killed"],
    "acknowledged_writes": 1500,
    "lost_writes": 0,
    "missed_own_writes": None,
    "divergent_rows": 2,
    "reads": 3000,
    "timings": {"rollback_s": 0.2, "rollback_processes": 2, "rollback_confirmed": 2, "backfill_rows_per_s": 12345},
    "phases": [{"phase": "cutover", "began_s": 5.0, "ended_s": 40.0, "detail": "wave 2"}],
    "events": [
        {"title": "Limitless crashes", "detail": "5 tenants", "at_s": 10.0, "ended_s": 15.0},
        {"title": "Classic stops", "detail": "no error", "at_s": 50.0},
    ],
    "proof": [{"claim": "Nothing is lost", "seen": "1500 writes", "ok": True}],
    "failures": [{"what": "reads refused", "count": 2, "errors": ["ReadStale", "OSError"], "expected": False}],
    "demo": {
        "rows": 1010,
        "median": 505,
        "sizes": [
            {"tenant_id": "acme", "rows": 1000, "wave": 2, "hot": True},
            {"tenant_id": "b", "rows": 10, "wave": 1, "hot": False},
        ],
    },
    "series": {
        "reads": {"t": [1.0, 2.0], "classic": [5.0, 5.0], "limitless": [0.0, 5.0]},
        "state": {"t": [1.0, 2.0], "mirrored": [None, 2], "limitless": [0, 2], "lag_s": [None, 0.02]},
        "latency": {"t": [1.0, 2.0], "classic": [3.0, 3.0], "limitless": [None, 4.0], "write": [9.0, 9.0]},
    },
}  # fmt: skip
