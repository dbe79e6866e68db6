"""Reads either side as provisioning needs it: its catalog, and of Limitless what the cluster offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.catalog import read as catalog
from migrator.catalog.values import Catalog
from migrator.control.answers import answers
from migrator.model.capability import Capability
from migrator.model.limits import parse_engine, supported_extensions


def read(conn: psycopg.Connection[Any], schemas: Sequence[str]) -> Catalog:
    """Return what *conn*'s side holds in *schemas*, in one snapshot; owns its transaction."""
    declared = catalog.is_limitless(conn) and answers(conn).works(Capability.SEQUENCE_LIMITS)
    return catalog.read(conn, schemas, declared_sequences=declared)


def available_extensions(conn: psycopg.Connection[Any], engine_version: str = "") -> frozenset[str]:
    """Return the extensions that Limitless has and *conn*'s server can create.

    Args:
        engine_version: of the plan; without it, every version counts.
    """
    there = (str(name) for (name,) in conn.execute("SELECT name::text FROM pg_available_extensions"))
    return supported_extensions(there, parse_engine(engine_version or "16.99"))


def routers(conn: psycopg.Connection[Any]) -> int:
    """Return how many routers Limitless has now."""
    row = conn.execute(
        "SELECT count(*) FROM rds_aurora.limitless_subclusters WHERE subcluster_type = 'router'"
    ).fetchone()
    return int(row[0]) if row else 1
