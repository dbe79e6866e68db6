"""What a session looks like, by its application_name. Pure. Anybody may call himself anything: it is a hint."""

from __future__ import annotations

import re
from enum import StrEnum

from migrator.model.own_session import SHIM

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


class UserKind(StrEnum):
    """What uses classic, by its name."""

    SHIM = "shim"  # moves with its tenants
    BI = "bi"
    JOB = "job"  # reports, exports, batches, pipelines
    MONITORING = "monitoring"
    BACKUP = "backup"
    PERSON = "person"
    POOLER = "pooler"  # who is behind it, its name does not say
    PROGRAM = "program"  # anything else


_KINDS: tuple[tuple[UserKind, str], ...] = (
    (UserKind.BI, r"tableau|metabase|looker|power ?bi|mashup ?engine|quicksight|superset|redash|qlik|retool|hex(-|$)|"
     r"sigma|thoughtspot|mode\b|.*\bbi\b|dashboards?\b"),
    (UserKind.MONITORING, r"grafana|datadog|postgres_exporter|pg_exporter|pganalyze|zabbix|nagios|newrelic|pgwatch|"
     r".*\bmonitor(ing)?\b"),
    (UserKind.BACKUP, r"pg_dump|pg_dumpall|pg_basebackup|pg_restore|barman|wal-g|pgbackrest"),
    (UserKind.PERSON, r"psql$|dbeaver|pgadmin|datagrip|jetbrains|intellij|tableplus|postico|azure ?data ?studio|pgcli"),
    (UserKind.POOLER, r"pgbouncer|odyssey|pgcat|rds ?proxy"),
    (UserKind.JOB, r"fivetran|airbyte|stitch|debezium|aws ?dms|awsdms|replication-task|dbt\b|.*airflow|.*celery|"
     r".*sidekiq|.*(\b|_)(report(s|ing)?|job(s)?|cron|batch|etl|export(er|s)?|import(er|s)?|nightly|worker(s)?|sync)"
     r"(\b|_)"),
)  # fmt: skip
_KIND_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS)


def kind_of(application: str, role: str) -> UserKind:
    """Return what a session is by its application_name, else by its role's name. A hint, as names are anybody's."""
    if application.startswith(SHIM):
        return UserKind.SHIM
    for name in (application.strip(), role.strip()):
        for kind, pattern in _KIND_PATTERNS:
            if pattern.match(name):
                return kind
    return UserKind.PROGRAM


def looks_like(application: str) -> str:
    """Return what a session of *application* looks like, ' (looks like Tableau)'; '' where nothing is known."""
    name = next((name for pattern, name in _PATTERNS if pattern.match(application.strip())), "")
    return f" (looks like {name})" if name else ""
