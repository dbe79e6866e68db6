"""What of a project's settings would not work, or otherwise than expected. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.django.findings import Finding, Severity
from migrator.django.options import ENGINE, options_of

MIDDLEWARE = "migrator.django.middleware.TenantMiddleware"
DJANGOS = ("django.db.backends.postgresql", "django.contrib.gis.db.backends.postgis")

E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741 - the letters of their ids


@dataclass(frozen=True, slots=True)
class Project:
    """Settings, as far as they matter here. of_request: why the tenant's function cannot be used; "" when it can."""

    databases: Mapping[str, Mapping[str, Any]]
    middleware: Sequence[str] = ()
    of_request: str = ""
    session_engine: str = ""
    caches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def settings_findings(project: Project) -> list[Finding]:
    """Return everything found, by database and then of the project."""
    ours = {alias: db for alias, db in project.databases.items() if db.get("ENGINE") == ENGINE}
    found: list[Finding] = []
    for alias, database in ours.items():
        found += _of_database(alias, database, project.databases)
    if ours:
        found += _past_the_shim(ours, project.databases)
        found += _of_project(project)
    return found


def _of_database(alias: str, db: Mapping[str, Any], databases: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    name = f"DATABASES[{alias!r}]"
    options, problems = options_of(db)
    for problem in problems:
        yield Finding("migrator.E001", E, name, problem, "See docs/django.md, Settings.")
    given = db.get("OPTIONS") or {}
    if given.get("pool"):
        yield Finding(
            "migrator.E002", E, name, "OPTIONS['pool'] makes a pool beside the shim's, which is not used",
            "Remove it; MIGRATOR['pool_size'] says how many connections a process may have per side.",
        )  # fmt: skip
    if "isolation_level" in given:
        yield Finding(
            "migrator.E003", E, name, "OPTIONS['isolation_level'] cannot be set for sessions of the shim",
            "Remove it; Limitless has no SERIALIZABLE. Say SET TRANSACTION as the first statement where it is needed.",
        )  # fmt: skip
    if given.get("prepare_threshold") is not None:
        yield Finding("migrator.W004", W, name, "OPTIONS['prepare_threshold'] has no effect: nothing is prepared", "")
    if db.get("AUTOCOMMIT") is False:
        yield Finding(
            "migrator.W001", W, name, "AUTOCOMMIT is False: each connection is one writing transaction until commit()",
            "Set it to True and use transaction.atomic().",
        )  # fmt: skip
    if db.get("ATOMIC_REQUESTS") and options.reads_of is None:
        yield Finding(
            "migrator.W002", W, name,
            "ATOMIC_REQUESTS makes each request a writing transaction, whose reads all come from the writer",
            "Decorate views that only read with migrator.django.reads, which takes them out of it.",
        )  # fmt: skip
    if db.get("CONN_MAX_AGE") or db.get("CONN_HEALTH_CHECKS"):
        yield Finding(
            "migrator.I001", I, name, "CONN_MAX_AGE and CONN_HEALTH_CHECKS have no effect: the shim keeps connections",
        )  # fmt: skip
    if options.reads_of is not None:
        yield from _of_reads(alias, options.reads_of, db, databases)


def _of_reads(
    alias: str, writer: str, db: Mapping[str, Any], databases: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    name = f"DATABASES[{alias!r}]"
    other = databases.get(writer)
    why = ""
    if other is None:
        why = f"there is no database {writer!r}; there are {', '.join(sorted(databases))}"
    elif writer == alias or options_of(other)[0].reads_of is not None:
        why = f"{writer!r} is for reads itself"
    elif other.get("ENGINE") != ENGINE:
        why = f"{writer!r} has the backend {other.get('ENGINE')}"
    if why:
        yield Finding("migrator.E004", E, name, f"MIGRATOR['reads_of']: {why}", "Name the alias that writes.")
    elif (db.get("TEST") or {}).get("MIRROR") != writer:
        yield Finding(
            "migrator.W003", W, name, "the test runner would make a database of its own for it",
            f'Say "TEST": {{"MIRROR": {writer!r}}}.',
        )  # fmt: skip


def _past_the_shim(
    ours: Mapping[str, Mapping[str, Any]], databases: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    def place(db: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(db.get(key) or "") for key in ("HOST", "PORT", "NAME"))

    places = {place(db): alias for alias, db in ours.items() if options_of(db)[0].reads_of is None}
    for alias, db in databases.items():
        if db.get("ENGINE") in DJANGOS and place(db) in places:
            yield Finding(
                "migrator.I002", I, f"DATABASES[{alias!r}]",
                f"it is the database of {places[place(db)]!r}, reached past the shim: its writes are not acknowledged",
                "Use it for `migrate --fake` and tools; writes of the application belong to the other alias.",
            )  # fmt: skip


def _of_project(project: Project) -> Iterator[Finding]:
    if MIDDLEWARE not in project.middleware:
        yield Finding(
            "migrator.W005", W, "MIDDLEWARE", "TenantMiddleware is missing: no request has a tenant",
            "Add it behind what finds the tenant, or bind tenants by migrator.django.tenant.",
        )  # fmt: skip
    elif project.of_request:
        yield Finding(
            "migrator.E005", E, "MIGRATOR_TENANT_OF_REQUEST", project.of_request,
            'Name a function: "module.function", which returns the tenant of a request, or None.',
        )  # fmt: skip
    if project.session_engine in ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db"):
        yield Finding(
            "migrator.W006", W, "SESSION_ENGINE",
            "sessions are rows without a tenant, written by requests; a reference table is written on every shard",
            "Keep sessions in the cache or in signed cookies, or leave their table in a database of its own.",
        )  # fmt: skip
    for alias, cache in project.caches.items():
        if str(cache.get("BACKEND", "")).endswith("db.DatabaseCache"):
            yield Finding(
                "migrator.W007", W, f"CACHES[{alias!r}]", "a cache in a table is written without a tenant all the time",
                "Use another cache, or a database of its own for it.",
            )  # fmt: skip
