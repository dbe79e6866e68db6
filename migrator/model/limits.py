"""The limits of Limitless, stated once, for the audit, provisioning and the stand-in alike.

Source: Aurora User Guide, limitless requirements and DDL limitations, and the release notes to September 2026.
"""

from __future__ import annotations

from collections.abc import Iterable

from migrator.model.table import TableKind

Engine = tuple[int, int, int]
"""A Limitless engine version: 16.11.102 is (16, 11, 102)."""

MAX_SHARDED_NAME = 54
"""Longest name of a sharded table, in bytes: its slices' names are longer, and PostgreSQL cuts names by bytes."""

SEQUENCE_CHUNK = 250_000
"""Values a router takes at once; CACHE must stay below."""

FOREIGN_KEYS = frozenset(
    [
        (TableKind.SHARDED, TableKind.SHARDED),  # collocated, and the key holds the shard key
        (TableKind.SHARDED, TableKind.REFERENCE),
        (TableKind.REFERENCE, TableKind.REFERENCE),
        (TableKind.STANDARD, TableKind.STANDARD),
    ]
)
"""Kinds of a table and of the table that its foreign key may refer to."""

_ALWAYS: Engine = (16, 4, 0)

EXTENSIONS: dict[str, Engine] = {
    "plpgsql": _ALWAYS,
    "aws_s3": _ALWAYS,
    "aws_commons": _ALWAYS,
    "citext": _ALWAYS,
    "ip4r": _ALWAYS,
    "pg_trgm": _ALWAYS,
    "pgcrypto": _ALWAYS,
    "unaccent": _ALWAYS,
    "pg_stat_statements": _ALWAYS,
    "vector": _ALWAYS,
    "postgis": _ALWAYS,
    "uuid-ossp": _ALWAYS,
    "pg_buffercache": _ALWAYS,
    "pgstattuple": _ALWAYS,
    "btree_gin": (16, 6, 0),
    "btree_gist": (16, 8, 0),
    "ltree": (16, 8, 0),
    "hstore": (16, 9, 0),
    "auto_explain": (16, 9, 0),
    "pg_prewarm": (16, 11, 0),
}
"""Extension → engine version that has it."""


def parse_engine(text: str) -> Engine:
    """Return the version in *text*, for example "16.13-limitless". Without a patch number the newest is meant.

    Raises:
        ValueError: if *text* holds no version.
    """
    numbers = text.strip().partition("-")[0].split(".")
    if len(numbers) < 2 or not all(n.isdigit() for n in numbers[:3]):
        raise ValueError(f"not an engine version: {text!r} (for example 16.13-limitless)")
    return int(numbers[0]), int(numbers[1]), int(numbers[2]) if len(numbers) > 2 else 999


def supported_extensions(names: Iterable[str], engine: Engine) -> frozenset[str]:
    """Return those of *names* that Limitless has from *engine* on or before."""
    return frozenset(name for name in names if EXTENSIONS.get(name, (engine[0] + 1, 0, 0)) <= engine)


def name_fits(name: str) -> bool:
    """Whether a sharded table may have this name."""
    return len(name.encode()) <= MAX_SHARDED_NAME


def sequence_needs(routers: int, increment: int) -> int:
    """Return how far a sequence has to reach: every router takes two chunks when it is created."""
    return 2 * SEQUENCE_CHUNK * routers * abs(increment)


def sequence_refused(*, cycle: bool, minimum: int, maximum: int, increment: int, routers: int) -> str:
    """Return why Limitless refuses to create such a sequence, "" when it takes it."""
    if cycle:
        return "Limitless has no CYCLE"
    needed = sequence_needs(routers, increment)
    if maximum - minimum < needed:
        return f"its {maximum - minimum:,} values are too few: {routers} routers take {needed:,} when it is created"
    return ""


def refused_actions(child: TableKind, parent: TableKind) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a foreign key from *child* to *parent* may not do ON DELETE, and what not ON UPDATE."""
    deleting, updating = {"SET DEFAULT"}, {"SET DEFAULT"}
    if child is TableKind.SHARDED:
        deleting.add("SET NULL")
        updating.add("SET NULL")
    if (child, parent) != (TableKind.STANDARD, TableKind.STANDARD):
        updating.add("CASCADE")
    return frozenset(deleting), frozenset(updating)
