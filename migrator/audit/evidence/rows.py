"""Turns rows of evidence (see collect.sql) into a catalog, statements and figures.

Pure. A row of an unknown kind, or one that lacks a field, is reported and never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from migrator.audit.catalog import (
    SYSTEM_SCHEMAS,
    TOOL_SCHEMA,
    Attribute,
    Catalog,
    Check,
    ForeignKey,
    Function,
    Index,
    Policy,
    Relation,
    RelationKind,
    Sequence,
    Source,
    Thing,
    Trigger,
)
from migrator.audit.evidence.enough import Input

Row = dict[str, Any]  # the server's row, as JSON

KINDS = {
    "r": RelationKind.TABLE,
    "p": RelationKind.PARTITIONED,
    "v": RelationKind.VIEW,
    "m": RelationKind.MATVIEW,
    "f": RelationKind.FOREIGN,
}


@dataclass(slots=True)
class RawStatement:
    """A statement as it was found, before it is parsed."""

    sql: str
    source: Source
    name: str | None = None
    calls: float = 1
    total_ms: float | None = None
    rows: float | None = None
    function: str | None = None  # signature of the function whose body holds it


@dataclass(slots=True)
class Load:
    """The writer's activity, from its statistics."""

    commits: int = 0
    seconds: float = 0.0
    row_writes: int = 0
    wal_bytes: int = 0
    sessions: int = 0
    database_bytes: int = 0

    @property
    def transactions_per_s(self) -> float | None:
        return self.commits / self.seconds if self.seconds > 0 else None

    @property
    def row_writes_per_s(self) -> float | None:
        return self.row_writes / self.seconds if self.seconds > 0 else None


@dataclass(slots=True)
class Evidence:
    """Everything that an audit judges, from every kind of input."""

    catalog: Catalog = field(default_factory=Catalog)
    statements: list[RawStatement] = field(default_factory=list)
    load: Load | None = None
    activity: Row = field(default_factory=dict)  # sessions, ages and connections, as collect.sql says; empty offline
    tenant_rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_replica: bool = False
    hidden_statements: int = 0
    rejected: int = 0  # pieces of input that could not be read; each has its line in problems
    inputs: dict[str, Input] = field(default_factory=dict)  # per file or folder: what it held, what became of it
    notes: list[str] = field(default_factory=list)  # what was left out on purpose
    doubts: list[tuple[str, str]] = field(
        default_factory=list
    )  # (object, why): an input that was not read, or by a guess
    outside: list[tuple[str, str, Source]] = field(default_factory=list)  # (object, what) it leads to, not given


def absorb(rows: Iterable[Row], evidence: Evidence, origin: str) -> None:
    """Add *rows* to *evidence*; *origin* names where they come from."""
    source = Source(origin)
    for number, row in enumerate(rows, 1):
        handler = _HANDLERS.get(str(row.get("kind")))
        if handler is None:
            evidence.rejected += 1
            evidence.problems.append(f"{origin}: row {number} has the unknown kind {row.get('kind')!r}")
            continue
        try:
            handler(row, evidence, source)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            evidence.rejected += 1
            evidence.problems.append(f"{origin}: row {number} ({row.get('kind')}) cannot be read: {error!r}")


def _server(row: Row, evidence: Evidence, source: Source) -> None:
    catalog = evidence.catalog
    catalog.live = True
    catalog.server_version = int(row["version_num"])
    catalog.database = row["database"]
    catalog.settings.update({k: str(v) for k, v in (row.get("settings") or {}).items()})
    path = [p for p in row.get("search_path") or () if p not in SYSTEM_SCHEMAS]
    catalog.search_path = tuple(dict.fromkeys((*path, *catalog.search_path)))
    evidence.is_replica = bool(row.get("is_replica"))
    evidence.load = evidence.load or Load()
    evidence.load.database_bytes = int(row.get("database_bytes") or 0)


def _relation(row: Row, evidence: Evidence, source: Source) -> None:
    relation = Relation(
        schema=row["schema"],
        name=row["name"],
        kind=KINDS[row["relkind"]],
        row_security=bool(row.get("row_security")),
        force_row_security=bool(row.get("force_row_security")),
        unlogged=row.get("persistence") == "u",
        partition_of=row.get("partition_of"),
        inherits=tuple(row.get("inherits") or ()),
        options=tuple(row.get("options") or ()),
        tablespace=row.get("tablespace"),
        view_sql=row.get("view"),
        owner=row.get("owner") or "",
        commented=bool(row.get("commented")),
        public_all=bool(row.get("public_all")),
        rows=None if row.get("rows") is None else max(0, int(row["rows"])),
        bytes=None if row.get("bytes") is None else int(row["bytes"]),
        inserts=int(row.get("inserts") or 0),
        updates=int(row.get("updates") or 0),
        deletes=int(row.get("deletes") or 0),
        reads=int(row.get("reads") or 0),
        source=source,
    )
    evidence.catalog.relations[relation.qualified] = relation


def _column(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is None:  # a temporary or extension relation
        return
    relation.columns[row["name"]] = Attribute(
        name=row["name"],
        type=row["type"],
        type_kind=row.get("type_kind") or "b",
        not_null=bool(row.get("not_null")),
        default=row.get("default"),
        identity=row.get("identity") or "",
        generated=row.get("generated") or "",
        sequence=row.get("sequence"),
        settings=row.get("settings") or "",
    )


def _index(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is None or row.get("exclusion"):
        return
    if not row.get("valid", True):  # scripts of before did not say
        evidence.notes.append(
            f"index {row['name']} of {row['relation']} is not valid, so it enforces nothing: left out"
        )
        return
    columns = list(row.get("columns") or ())
    keys = int(row.get("key_columns") or len(columns))
    relation.indexes.append(
        Index(
            name=row["name"],
            columns=tuple(columns[:keys]),
            include=tuple(c for c in columns[keys:] if c),
            unique=bool(row.get("unique")),
            primary=bool(row.get("primary")),
            constraint=bool(row.get("constraint")),
            predicate=row.get("predicate"),
            custom_opclass=bool(row.get("custom_opclass")),
            method=row.get("method") or "btree",
            nulls_not_distinct=bool(row.get("nulls_not_distinct")),
            definition=row.get("definition") or "",
            source=source,
        )
    )


def _constraint(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is None:
        return
    if row["type"] == "x":
        relation.exclusions.append(row["name"])
    elif row["type"] == "c":
        relation.checks.append(Check(row["name"], row["definition"], source))
    else:
        relation.foreign_keys.append(
            ForeignKey(
                name=row["name"],
                columns=tuple(row["columns"]),
                parent=row["parent"],
                parent_columns=tuple(row["parent_columns"]),
                on_delete=row["on_delete"],
                on_update=row["on_update"],
                match=row["match"],
                deferrable=bool(row["deferrable"]),
                validated=bool(row["validated"]),
                source=source,
            )
        )


def _trigger(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is not None:
        relation.triggers.append(Trigger(row["name"], row["definition"], row.get("function") or "", source))


def _rule(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is not None:
        relation.rules.append(Trigger(row["name"], row["definition"], "", source))


def _policy(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is not None:
        relation.policies.append(
            Policy(
                row["name"],
                row["permissive"],
                row["command"],
                row["everybody"],
                row.get("using"),
                row.get("check"),
                source,
            )
        )


def _function(row: Row, evidence: Evidence, source: Source) -> None:
    types = tuple(row.get("types") or ())
    modes = row.get("modes")
    names = list(row.get("arguments") or ())
    if modes:
        names = [n for n, m in zip(names, modes, strict=False) if m in ("i", "b", "v")]
    names = [n or "" for n in names[: len(types)]] + [""] * (len(types) - len(names))
    evidence.catalog.functions.append(
        Function(
            schema=row["schema"],
            name=row["name"],
            argument_names=tuple(names),
            argument_types=types,
            language=row["language"],
            body=row.get("body") or "",
            definition=row.get("definition") or "",
            volatility=row.get("volatility") or "v",
            security_definer=bool(row.get("security_definer")),
            returns=row.get("returns") or "",
            kind=row.get("prokind") or "f",
            calls=row.get("calls"),
            total_ms=row.get("total_ms"),
            source=source,
        )
    )


def _volatility(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.catalog.extension_volatility[row["name"]] = row["volatility"]


def _sequence(row: Row, evidence: Evidence, source: Source) -> None:
    sequence = Sequence(
        schema=row["schema"],
        name=row["name"],
        type=row.get("type") or "bigint",
        cycle=bool(row.get("cycle")),
        cache=int(row.get("cache") or 1),
        increment=int(row.get("increment") or 1),
        minimum=int(row["minimum"]) if row.get("minimum") is not None else 1,
        maximum=int(row["maximum"]) if row.get("maximum") is not None else 2**63 - 1,
        last_value=row.get("last_value"),
        owned_by=row.get("owned_by"),
        unlogged=bool(row.get("unlogged")),
        source=source,
    )
    evidence.catalog.sequences[sequence.qualified] = sequence


def _type(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.catalog.types[f"{row['schema']}.{row['name']}"] = row["type_kind"]


def _thing(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.catalog.things.append(Thing(row["sort"], str(row["name"]), row.get("detail") or "", source))


def _distinct(row: Row, evidence: Evidence, source: Source) -> None:
    relation = evidence.catalog.relations.get(row["relation"])
    if relation is not None and row["column"] in relation.columns:
        relation.columns[row["column"]].distinct = row["n_distinct"]


def _load(row: Row, evidence: Evidence, source: Source) -> None:
    from datetime import datetime

    load = evidence.load = evidence.load or Load()
    load.commits = int(row["commits"])
    since, now = datetime.fromisoformat(row["since"]), datetime.fromisoformat(row["now"])
    load.seconds = max(0.0, (now - since).total_seconds())
    load.row_writes = int(row["inserted"]) + int(row["updated"]) + int(row["deleted"])
    load.wal_bytes = int(float(row.get("wal_bytes") or 0))
    load.sessions = int(row.get("sessions") or 0)


def _statement(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.statements.append(
        RawStatement(
            sql=row["sql"] or "",
            source=Source("pg_stat_statements" if source.file == "catalog" else source.file),
            calls=float(row.get("calls") or 0),
            total_ms=None if row.get("total_ms") is None else float(row["total_ms"]),
            rows=None if row.get("rows") is None else float(row["rows"]),
        )
    )


def _activity(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.activity = evidence.activity or row


def _hidden(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.hidden_statements += int(row["count"])


def _tenant_rows(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.tenant_rows.append(row)


def _problem(row: Row, evidence: Evidence, source: Source) -> None:
    evidence.problems.append(str(row["text"]))


_HANDLERS = {
    "server": _server,
    "relation": _relation,
    "column": _column,
    "index": _index,
    "constraint": _constraint,
    "trigger": _trigger,
    "rule": _rule,
    "policy": _policy,
    "function": _function,
    "volatility": _volatility,
    "sequence": _sequence,
    "type": _type,
    "thing": _thing,
    "distinct": _distinct,
    "load": _load,
    "statement": _statement,
    "hidden": _hidden,
    "activity": _activity,
    "tenant_rows": _tenant_rows,
    "problem": _problem,
}


def belongs_to_tool(relation: str) -> bool:
    """Return whether *relation* belongs to this tool."""
    return relation.startswith(f"{TOOL_SCHEMA}.")
