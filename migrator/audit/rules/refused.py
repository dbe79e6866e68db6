"""Rules on statements that Limitless refuses for a form or a function in them, with any schema.

Judged by the table that the stand-in answers from too (migrator.model.refused); here is only what is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from migrator.audit.rules.rule import Hit
from migrator.grammar.parse import Body
from migrator.model.refused import FORMS, Refused
from migrator.model.refusing import alter_table_command, command, forms


def hits(kind: str, body: Body, *, inside: bool = False) -> Iterator[Hit]:
    """Yield what one node of a statement meets; *inside*: it stands in another, whose verdict does not say so."""
    whole = command(kind, body)
    if whole is not None:
        if inside:
            yield Hit(whole.rule, f"{whole.name} inside")
        elif kind in _NAMED:
            yield Hit(whole.rule, _NAMED[kind] or whole.name)
        return
    if kind == "AlterTableStmt":
        for item in body.get("cmds", ()):
            step = item["AlterTableCmd"]
            for name in alter_table_command(step, body.get("objtype", "")):
                yield Hit(FORMS[name].rule, _step(FORMS[name], step))
    for entry in forms(kind, body):
        if kind != "AlterTableStmt" or entry.name == "ALTER TABLE ONLY":
            yield Hit(entry.rule, _seen(entry, kind, body))


# Whose finding names the command; that of others gives the reason.
_NAMED = {
    "DropStmt": "",
    "DefineStmt": "",
    "CreateTableAsStmt": "",
    "TransactionStmt": "PREPARE TRANSACTION, COMMIT PREPARED or ROLLBACK PREPARED",
}


def _step(entry: Refused, step: Body) -> str:
    if entry.name == "USING in ALTER COLUMN TYPE":
        return f"ALTER COLUMN {step.get('name', '')} TYPE … USING"
    return _told(step["subtype"].removeprefix("AT_"), entry)


def _seen(entry: Refused, kind: str, body: Body) -> str:
    tell = _TELLING.get(entry.name)
    return _told(tell(kind, body) if tell else entry.name, entry)


def _told(evidence: str, entry: Refused) -> str:
    return f"{evidence} (not documented: {entry.inferred})" if entry.inferred else evidence


def _temporary(kind: str, body: Body) -> str:
    if kind == "SelectStmt":
        return "SELECT INTO"
    if kind == "CreateStmt":
        return f"CREATE TEMPORARY TABLE {body['relation'].get('relname')}"
    return f"CREATE TEMPORARY TABLE {body['into']['rel'].get('relname')} AS"


def _serializable(kind: str, body: Body) -> str:
    name = (body.get("setstmt") or body).get("name", "")
    return f"SET {name} = serializable" if name.endswith("isolation") else "ISOLATION LEVEL SERIALIZABLE"


def _copy(kind: str, body: Body) -> str:
    return "COPY with a program" if body.get("is_program") else f"COPY with the file {body['filename']}"


def _sequence(kind: str, body: Body) -> str:
    return "CREATE SEQUENCE" if kind == "CreateSeqStmt" else "ALTER SEQUENCE … CYCLE"


_TELLING: Mapping[str, Callable[[str, Body], str]] = {
    "TEMPORARY TABLE": _temporary,
    "STORAGE PARAMETER": lambda kind, body: "WITH (…)",
    "CREATE UNIQUE INDEX CONCURRENTLY": lambda kind, body: (
        f"CREATE UNIQUE INDEX CONCURRENTLY {body.get('idxname', '')}"
    ),
    "CREATE INDEX IF NOT EXISTS": lambda kind, body: f"CREATE INDEX IF NOT EXISTS {body.get('idxname', '')}",
    "ALTER TABLE ONLY": lambda kind, body: f"ALTER TABLE ONLY {body['relation'].get('relname', '')}",
    "ALTER TABLE RENAME CONSTRAINT": lambda kind, body: "RENAME CONSTRAINT",
    "CREATE SCHEMA with schema elements": lambda kind, body: (
        f"CREATE SCHEMA {body.get('schemaname', '')} with elements"
    ),
    "CREATE DATABASE with TEMPLATE": lambda kind, body: "CREATE DATABASE",
    "CREATE DATABASE with TABLESPACE": lambda kind, body: "CREATE DATABASE",
    "CYCLE": _sequence,
    "TEMPORARY or UNLOGGED SEQUENCE": _sequence,
    "COPY from or to a file or program of the server": _copy,
    "ISOLATION LEVEL SERIALIZABLE": _serializable,
}
