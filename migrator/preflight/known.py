"""What a session looks like, by its application_name. Pure. Anybody may call himself anything: it is a hint."""

from __future__ import annotations

import re

_KNOWN: tuple[tuple[str, str], ...] = (
    (r"tableau", "Tableau"),
    (r"metabase", "Metabase"),
    (r"looker", "Looker"),
    (r"power ?bi|mashup ?engine", "Power BI"),
    (r"quicksight", "Amazon QuickSight"),
    (r"superset", "Apache Superset"),
    (r"redash", "Redash"),
    (r"qlik", "Qlik"),
    (r"grafana", "Grafana"),
    (r"retool", "Retool"),
    (r"hex(-|$)", "Hex"),
    (r"fivetran", "Fivetran"),
    (r"airbyte", "Airbyte"),
    (r"stitch", "Stitch"),
    (r"debezium", "Debezium"),
    (r"aws ?dms|awsdms|replication-task", "AWS DMS"),
    (r"dbt\b", "dbt"),
    (r"airflow", "Apache Airflow"),
    (r"postgres_fdw|.*_fdw$", "a foreign server of another PostgreSQL (postgres_fdw)"),
    (r"psql$", "psql, a person or a script"),
    (r"dbeaver", "DBeaver, a person"),
    (r"pgadmin", "pgAdmin, a person"),
    (r"datagrip|jetbrains|intellij", "DataGrip, a person"),
    (r"tableplus", "TablePlus, a person"),
    (r"postico", "Postico, a person"),
    (r"azure ?data ?studio", "Azure Data Studio, a person"),
    (r"pg_dump|pg_dumpall", "pg_dump, a backup"),
    (r"pg_basebackup", "pg_basebackup, a backup"),
    (r"pg_restore", "pg_restore"),
    (r"pgbouncer", "PgBouncer"),
    (r"datadog", "the Datadog agent"),
    (r"postgres_exporter|pg_exporter", "a Prometheus exporter"),
    (r"pganalyze", "pganalyze"),
    (r"walreceiver", "a physical replica"),
    (r"postgresql jdbc driver", "a program with the JDBC driver"),
    (r"npgsql", "a program with Npgsql"),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _KNOWN)


def looks_like(application: str) -> str:
    """Return what a session of *application* looks like, ' (looks like Tableau)'; '' where nothing is known."""
    name = next((name for pattern, name in _PATTERNS if pattern.match(application.strip())), "")
    return f" (looks like {name})" if name else ""
