"""Rules on objects, extensions, settings and versions. (OBJ, SEC, EXT, VER rules)"""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrator.audit.catalog import Catalog
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import RECOMMENDED, Severity
from migrator.audit.shardkey.shape import Shapes
from migrator.model.limits import EXTENSIONS

ADVICE = {
    "postgis": "no long transactions, no table management functions, spatial_ref_sys is read-only",
    "pg_buffercache": "router-local: use rds_aurora.limitless_pg_buffercache",
    "pgstattuple": "use rds_aurora.limitless_pgstattuple and its kin",
}

REPLACEMENTS = {
    "pg_cron": "a scheduler outside (EventBridge, a Temporal Schedule)",
    "pg_partman": "partitioning does not exist there: a job that deletes in batches",
    "postgres_fdw": "join in the application",
    "dblink": "a connection of the application",
    "pglogical": "classic feeds consumers; Limitless is not a replication source",
    "pgaudit": "log_statement and CloudWatch",
    "pg_hint_plan": "check the plan and drop the hints",
    "uuid-ossp": "gen_random_uuid()",
}

OBJECT_RULES = {
    "event trigger": "LIM-OBJ-02",
    "publication": "LIM-OBJ-05",
    "subscription": "LIM-OBJ-05",
    "replication slot": "LIM-OBJ-05",
    "foreign server": "LIM-OBJ-06",
    "text search configuration": "LIM-OBJ-07",
    "language": "LIM-OBJ-07",
    "transform": "LIM-OBJ-07",
    "large objects": "LIM-COL-06",
    "comments": "LIM-OBJ-08",
    "default privileges": "LIM-OBJ-09",
    "prepared transaction": "LIM-TXN-02",
}


def check_objects(catalog: Catalog, shapes: Shapes, out: Collector) -> None:
    """Report triggers, rules, policies and every object that belongs to no table."""
    for relation in catalog.relations.values():
        if relation.partition_of is not None:
            continue
        for trigger in relation.triggers:
            out.add(
                "LIM-OBJ-01",
                f"{relation.qualified}.{trigger.name}",
                _does(catalog, trigger.definition, trigger.function),
                source=trigger.source,
            )
        for rule in relation.rules:
            out.add("LIM-OBJ-03", f"{relation.qualified}.{rule.name}", rule.definition, source=rule.source)
        if relation.policies or relation.row_security:
            names = ", ".join(p.name for p in relation.policies) or "row security on, no policy"
            out.add("LIM-SEC-01", relation.qualified, f"policies: {names}", source=relation.source)
    for thing in catalog.things:
        rule_id = OBJECT_RULES.get(thing.sort)
        if thing.sort == "extended statistics":
            # Dropping statistics costs nothing but a plan, so this one has a mechanical fix.
            out.add("LIM-OBJ-07", f"statistics {thing.name}", f"on {thing.detail}", fix="drop it", source=thing.source)
        elif thing.sort == "comments":
            out.add(
                "LIM-OBJ-08",
                "comments",
                f"{thing.name} comments on tables and columns",
                source=thing.source,
                severity=Severity.INFO,
                fix="nothing to do: this tool does not create them; else pg_dump --no-comments",
            )
        elif thing.sort == "subscription":
            out.add("AUD-TRG-01", f"subscription {thing.name}", "tables fed by it fire no statement triggers")
            out.add("LIM-OBJ-05", f"subscription {thing.name}", "it feeds this database", source=thing.source)
        elif rule_id:
            out.add(
                rule_id, f"{thing.sort} {thing.name}", thing.detail or f"{thing.sort} {thing.name}", source=thing.source
            )


def _does(catalog: Catalog, definition: str, function: str) -> str:
    """Return what a trigger does, as far as its function's body tells."""
    schema, _, name = function.rpartition(".")
    body = next((f.body for f in catalog.functions_named(name, schema or None)), "")
    writes = sorted(
        set(re.findall(r"(?i)\b(?:insert\s+into|update|delete\s+from)\s+([a-z_][\w.]*)", body)) - {"of", "set"}
    )
    assigns = sorted(set(re.findall(r"(?i)\bnew\.(\w+)\s*:?=", body)))
    said = []
    if assigns:
        said.append(f"sets {', '.join(assigns)}")
    if writes:
        said.append(f"writes {', '.join(writes)}")
    if re.search(r"(?i)\braise\s+exception", body):
        said.append("refuses some writes")
    if re.search(r"(?i)\b(pg_)?notify\b", body):
        said.append("sends a notification")
    does = "; ".join(said) or ("its body is not known" if not body else "what it does must be read by hand")
    return f"{definition.strip().rstrip(';')} — {function or 'its function'} {does}"


def check_extensions(catalog: Catalog, out: Collector) -> None:
    for thing in catalog.things:
        if thing.sort != "extension":
            continue
        since = EXTENSIONS.get(thing.name)
        if since is None:
            out.add(
                "LIM-EXT-01",
                f"extension {thing.name}",
                f"{thing.name} {thing.detail} is not on the list of Limitless",
                fix=REPLACEMENTS.get(thing.name),
                source=thing.source,
            )
        elif out.engine < since:
            version = f"{since[0]}.{since[1]}"
            out.add(
                "LIM-EXT-01",
                f"extension {thing.name}",
                f"{thing.name} exists from engine {version} on",
                fix=f"engine {version} or later",
                source=thing.source,
            )


def check_settings(catalog: Catalog, out: Collector) -> None:
    """Report server, database and role settings that mean something else on Limitless."""
    settings = [(name, value, "server") for name, value in catalog.settings.items()]
    for thing in catalog.things:
        if thing.sort.endswith(" setting"):
            name, _, value = thing.name.partition("=")
            settings.append((name, value, f"{thing.sort} {thing.detail}".strip()))
            if thing.sort == "database setting":
                out.add(
                    "LIM-OBJ-09",
                    f"database setting {name}",
                    f"{name} = {value}",
                    fix="ALTER ROLE … SET, or the parameter group",
                )
    for name, value, where in settings:
        if name == "default_transaction_isolation" and value == "serializable":
            out.add("LIM-TXN-01", f"{where} default_transaction_isolation", "the default is serializable")
        if name == "plan_cache_mode" and value == "force_generic_plan":
            out.add("LIM-QRY-05", f"{where} plan_cache_mode", "force_generic_plan")
        if name == "server_encoding" and value not in ("UTF8", ""):
            _encoding(value, out)


def _encoding(value: str, out: Collector) -> None:
    """Report the encoding by what becomes of texts: what no encoding says cannot be converted."""
    if value in UNCONVERTIBLE:
        out.add(
            "LIM-VER-03",
            "server_encoding",
            f"the database is encoded in {value}: the server never looked at its texts, so some may be no UTF8, and "
            "the copy of such a row fails with SQLSTATE 22021",
            severity=Severity.BLOCKER,
            fix="find what is no UTF8 (convert_from(text::bytea, 'UTF8') fails on it) and repair it; then dump and "
            "restore the database with ENCODING UTF8 before the migration",
        )
    else:
        out.add(
            "LIM-VER-03",
            "server_encoding",
            f"the database is encoded in {value}; Limitless uses UTF8, and the copy converts every text",
        )


UNCONVERTIBLE = frozenset(("SQL_ASCII", "MULE_INTERNAL"))
"""Encodings of which the server converts no text to UTF8."""


# Differences for a database that moves from an older major version to 16 (release notes of each).
VERSION_CHANGES: tuple[tuple[int, str, str, str], ...] = (
    (140000, "operators", r"\bfactorial\b|!!", "the factorial operators were removed (14)"),
    (140000, "containment", r"(?<![<>=@~-])[@~]\s", "the old geometric and array operators @ and ~ were removed (14)"),
    (
        150000,
        "public schema",
        "",
        "the public schema no longer lets everybody create objects (15): GRANT CREATE where needed",
    ),
    (
        160000,
        "cursors",
        r"(?i)\bcursor\b",
        "a bound cursor variable no longer carries its own name as portal name (16)",
    ),
    (160000, "nulls not distinct", "", "a primary key index may not be NULLS NOT DISTINCT (16)"),
    (
        160000,
        "settings",
        r"vacuum_defer_cleanup_age|force_parallel_mode|promote_trigger_file|lc_collate|lc_ctype",
        "vacuum_defer_cleanup_age, promote_trigger_file, lc_collate and lc_ctype were removed as settings, "
        "force_parallel_mode became debug_parallel_query (16)",
    ),
    (160000, "createrole", "", "CREATEROLE no longer manages every role: grant ADMIN OPTION (16)"),
)


def check_versions(catalog: Catalog, engine_text: str, out: Collector) -> None:
    """Report the target's engine version, and what changes on the way to PostgreSQL 16."""
    if out.engine < RECOMMENDED:
        out.add("LIM-VER-01", "engine version", f"{engine_text}: known defects are fixed in later versions")
    source = catalog.server_version
    if source is None:
        return
    if source >= 170000:
        out.add(
            "LIM-VER-02",
            f"PostgreSQL {source // 10000}",
            "classic is newer than Limitless, which is PostgreSQL 16",
            fix="do not use what 17 or later added (MERGE … RETURNING, JSON_TABLE, uuidv7 and others)",
        )
    bodies = [(f.signature, f.body) for f in catalog.functions if f.language in ("sql", "plpgsql")]
    for version, name, pattern, text in VERSION_CHANGES:
        if source >= version:
            continue
        if name == "nulls not distinct":
            hit = [i.name for r in catalog.relations.values() for i in r.indexes if i.primary and i.nulls_not_distinct]
        elif not pattern:
            out.add("LIM-VER-02", name, text, fix="check grants and roles")
            continue
        else:
            hit = [signature for signature, body in bodies if re.search(pattern, body)]
        if hit:
            out.add("LIM-VER-02", name, f"{text}: {', '.join(hit[:10])}", fix="read the functions named")


SERVICES: dict[str, str] = {
    "rds-proxy": "PgBouncer of your own, or the AWS driver with its Limitless plugin",
    "data-api": "a connection of the application",
    "custom-endpoint": "the cluster endpoint and the list of routers",
    "read-replica": "read from the routers: Limitless has no replicas",
    "global-database": "a second cluster that you feed yourself",
    "blue-green": "minor upgrades in place; rehearse on a restored snapshot",
    "clone": "restore a snapshot",
    "aws-backup": "cluster snapshots and point-in-time recovery",
    "zero-etl": "export from classic while it lives, then COPY or aws_s3",
    "lambda": "call the function from the application",
    "aws-ml": "call the model from the application",
    "babelfish": "none: Limitless speaks PostgreSQL only",
    "kerberos": "password or IAM authentication",
    "activity-streams": "PostgreSQL logs in CloudWatch",
    "devops-guru": "CloudWatch and Performance Insights",
    "managed-master-password": "a secret of your own",
}
"""Services that do not work with Limitless, with what to use (requirements page)."""


def check_application(out: Collector) -> None:
    """Name what no catalog and no statement shows, so that the application's code is checked."""
    unseen = "no evidence can show it: check the application"
    out.add("LIM-TXN-04", "application", unseen)
    out.add("LIM-SES-02", "application", unseen, severity=Severity.INFO)


def check_services(uses: Sequence[str], out: Collector) -> None:
    """Report services planned around Limitless that do not work with it."""
    for service in uses:
        name = service.strip().lower().replace("_", "-")
        if name == "rds-proxy":
            out.add("LIM-SES-01", "service rds-proxy", "RDS Proxy is planned in front of Limitless")
        elif name in SERVICES:
            out.add("LIM-SES-03", f"service {name}", f"{name} is planned with Limitless", fix=SERVICES[name])
        else:
            out.add("AUD-EVD-01", f"service {name}", f"the audit does not know {name}; it knows {', '.join(SERVICES)}")
