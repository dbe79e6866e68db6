"""Decides whether the evidence is enough for a verdict: nothing seen is not nothing wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from migrator.audit.catalog import Source

_EXAMPLE = 120


@dataclass(slots=True)
class LeftOut:
    """What was understood and is of no interest to the audit: how often, and the first of each sort."""

    sorts: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # sort → times, first text, file and line

    def add(self, sort: str, text: str, source: Source) -> None:
        times, first, where = self.sorts.get(sort, (0, "", ""))
        if not times:
            first, where = " ".join(text.split())[:_EXAMPLE], str(source)
        self.sorts[sort] = (times + 1, first, where)

    def to_json(self) -> list[dict[str, object]]:
        """Return the sorts, most frequent first."""
        return [
            {"sort": sort, "count": times, "first": first, "source": where}
            for sort, (times, first, where) in sorted(self.sorts.items(), key=lambda item: (-item[1][0], item[0]))
        ]


@dataclass(slots=True)
class Input:
    """One input as it was given: how many pieces it holds (`unit`), and what became of them.

    Attributes:
        read: pieces found; `rejected` of them could not be understood.
        wanted: pieces that the audit looks for, statements in a log for instance.
        why: why it was not read at all, where that is known.
    """

    unit: str
    read: int = 0
    rejected: int = 0
    wanted: int = 0
    why: str | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    others: dict[str, int] = field(default_factory=dict)  # further counts for the report

    def to_json(self) -> dict[str, int]:
        return {self.unit: self.read, "rejected": self.rejected, **self.others}


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit saw in all.

    Attributes:
        statements: of the application, told apart by their text, by where they were found.
        unparsable: how many of them the grammar refuses.
        idle: how many of them touch no table of the schema: BEGIN and SELECT 1 alone, or what another application asks,
            show nothing.
        hidden: statements whose text the audit's role may not read.
        tables: tables of the audited schemas; `keyed` of them have a shard key, or get one.
    """

    statements: Mapping[str, int]
    unparsable: Mapping[str, int]
    idle: Mapping[str, int]
    hidden: int
    tables: int
    keyed: int
    tenant_key: str


def shortfalls(inputs: Mapping[str, Input], seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield why the evidence is not enough for a verdict: (object, what is missing and what to do)."""
    for name, found in inputs.items():
        unread = _unread(name, found)
        if unread:
            yield name, unread
    for origin, count in seen.statements.items():
        bad = seen.unparsable.get(origin, 0)
        if 2 * bad > count:
            yield origin, f"{bad:,} of {count:,} statements from {origin} cannot be parsed: is it PostgreSQL's SQL?"
    total = sum(seen.statements.values())
    if not any(n - (seen.idle.get(origin, 0) if seen.tables else 0) for origin, n in seen.statements.items()):
        idle = f": none of the {total:,} read touches a table of the schema" if total else ""
        yield (
            "statements",
            f"no statement of the application was seen, so none can be wrong{idle}; give --statements or --log, or "
            "create pg_stat_statements on classic, or acknowledge this finding",
        )
    if seen.hidden > total:
        yield (
            "hidden statements",
            f"the texts of {seen.hidden:,} statements are hidden and {total:,} were read: GRANT pg_read_all_stats to "
            "the role of the audit",
        )
    if not seen.tables:
        yield "tables", "the schema holds no table, so no statement can be proved to stay on one shard"
    elif not seen.keyed:
        yield (
            "tenant key",
            f"no table has a column {seen.tenant_key}, and none of the {seen.tables:,} is sharded by another: is it "
            "the tenant key?",
        )


def _unread(name: str, found: Input) -> str | None:
    if found.why:
        return found.why
    if not found.read:
        return f"{name} holds no {found.unit.removesuffix('s')}"
    if 2 * found.rejected > found.read:
        understood = found.read - found.rejected
        return f"{name}: {understood:,} of {found.read:,} {found.unit} were understood, fewer than half"
    if not found.wanted:
        first = next(iter(found.left_out.to_json()), None)
        shown = f", for example {first['source']}: {first['first']}" if first else ""
        return f"{name}: {found.read:,} {found.unit} were read and none holds what the audit looks for{shown}"
    return None
