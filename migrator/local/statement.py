"""Rewrites a statement as a router passes it to the server.

* What Limitless refuses becomes a statement that fails with its text. The server keeps the state of the protocol and
  of the transaction that way, whatever the client does next.
* What differs by node of a cluster is answered for one node: sizes of the router's own disk, kinds of relations as a
  router has them, and its own object identifiers where they are made text or a number.

A text that cannot be parsed, or is nested too deeply to be followed, goes to the server as it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migrator.grammar.parse import Unparsable, trees
from migrator.local import lacks as lacking
from migrator.local import refusals
from migrator.model.refusing import strings

# No statement that needs a change is without one of these; most statements of an application are.
_WORTH_A_LOOK = re.compile(
    rb"listen|notify|merge|serializable|constraints|current|conflict|reindex|reassign|owned|alter|create|drop|comment"
    rb"|security|prepare|copy|\bdo\b|pg_|oid|explain|import|refresh|\btemp|setval|\blo_",
    re.IGNORECASE,
)

LOCAL_SIZES = frozenset(
    ("pg_database_size", "pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size")
)
_READS = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "ExplainStmt", "PrepareStmt", "DeclareCursorStmt")

# Columns of catalogs that hold identifiers of a user's objects.
_IDENTIFIERS = frozenset(
    [
        *("oid", "tableoid", "relfilenode", "reltype", "relnamespace", "attrelid", "atttypid", "attcollation"),
        *("conrelid", "confrelid", "conindid", "indexrelid", "indrelid", "inhrelid", "inhparent", "objid", "refobjid"),
        *("seqrelid", "tgrelid", "tgfoid", "typrelid", "typelem", "relid", "local_oid"),
    ]
)
_TEXT_MAKERS = frozenset(("concat", "concat_ws", "format", "md5", "sha256", "string_agg", "hashtext", "to_jsonb"))
_NUMBERS_AND_TEXT = frozenset(("text", "varchar", "int8", "int4", "numeric", "name", "bytea"))

_NAME = re.compile(rb'\s*(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[^\W\d][\w$]*))*')
_TOKEN = re.compile(
    rb"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|[()]""", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One text, which may hold several statements, as a router passes it on."""

    text: bytes  # as the server gets it
    explains: bool = False  # the answer is a plan, as text


def read(text: bytes, lacks: frozenset[str] = frozenset()) -> Reading:
    """Return *text* as a router passes it on that *lacks* something (migrator.local.lacks)."""
    if not lacks and not _WORTH_A_LOOK.search(text):
        return Reading(text)
    return _remembered(text, lacks) if len(text) < 20_000 else _read(text, lacks)


def _read(text: bytes, lacks: frozenset[str]) -> Reading:
    try:
        return _rewritten(text, trees(text.decode()), lacks)
    except (Unparsable, UnicodeDecodeError, RecursionError):
        return Reading(text)


def _rewritten(text: bytes, parsed: list[Any], lacks: frozenset[str]) -> Reading:
    explains, edits = False, []
    for statement in parsed:
        begin = statement.get("stmt_location", 0)
        end = begin + statement["stmt_len"] if "stmt_len" in statement else len(text)
        tree = statement["stmt"]
        explains = explains or _explains_as_text(tree)
        answer = refusals.refusal(tree, text[begin:end].decode(errors="replace")) or lacking.refusal(tree, lacks)
        if answer:
            edits.append((begin, end, _failing(answer, tree)))
        else:
            edits += _edits(text, tree, lacks)
    return Reading(_edited(text, edits), explains)


def _explains_as_text(tree: dict[str, Any]) -> bool:
    if "ExplainStmt" not in tree:
        return False
    options = [option for kind, option in refusals.nodes(tree["ExplainStmt"].get("options")) if kind == "DefElem"]
    return all(o["defname"] != "format" or strings([o["arg"]]) == ["text"] for o in options)


_remembered = functools.lru_cache(maxsize=4096)(_read)


def _failing(answer: str, tree: Any) -> bytes:
    """A statement that fails with *answer*, and takes as many parameters as the one it stands for."""
    last = max((node["number"] for kind, node in refusals.nodes(tree) if kind == "ParamRef"), default=0)
    parameters = "".join(f" OR ${n}::pg_catalog.text IS NULL" for n in range(1, last + 1))
    literal = answer.replace("'", "''")
    return f" SELECT rds_aurora.standin_refuse('{literal}') WHERE true{parameters}".encode()


def _edited(text: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for begin, end, instead in sorted(edits, reverse=True):
        text = text[:begin] + instead + text[end:]
    return text


def _edits(text: bytes, tree: dict[str, Any], lacks: frozenset[str]) -> Iterator[tuple[int, int, bytes]]:
    for begin, name in refusals.calls(tree):
        end = _end_of_call(text, begin)
        literal = name.replace("'", "''")
        yield begin, begin, f"(CASE WHEN rds_aurora.standin_pushdown_safe('{literal}') THEN ".encode()
        yield end, end, b" END)"
    if not any(kind in tree for kind in _READS):
        return
    catalogs = False
    for kind, node in refusals.nodes(tree):
        if kind == "FuncCall" and (name := strings(node["funcname"])[-1]) in LOCAL_SIZES:
            yield node["location"], _end_of_name(text, node["location"]), b"rds_aurora.router_" + name.encode()
        elif kind == "RangeVar" and node.get("schemaname", "pg_catalog") in ("pg_catalog", "rds_aurora"):
            catalogs = catalogs or node["relname"].startswith(("pg_", "limitless_"))
            if instead := lacking.hidden(node["relname"], lacks):
                alias = b"" if "alias" in node else b" AS " + node["relname"].encode()
                yield node["location"], _end_of_name(text, node["location"]), instead + alias
            if node["relname"] == "pg_class" and node.get("schemaname") != "rds_aurora":
                alias = b"" if "alias" in node else b" AS pg_class"
                yield node["location"], _end_of_name(text, node["location"]), b"rds_aurora.router_pg_class" + alias
    if catalogs:
        for begin in sorted(set(_spelled_out(tree, False))):
            end = _end_of_name(text, begin)
            yield begin, end, b"rds_aurora.standin_oid(" + text[begin:end] + b")"


def _spelled_out(tree: Any, inside: bool) -> Iterator[int]:
    """Where a column that holds an identifier is made part of a text or a number, or hashed."""
    if isinstance(tree, list):
        for item in tree:
            yield from _spelled_out(item, inside)
    if not isinstance(tree, dict):
        return
    for kind, node in tree.items():
        if kind == "ColumnRef":
            if inside and strings(node["fields"])[-1:] and strings(node["fields"])[-1] in _IDENTIFIERS:
                yield node["location"]
        elif kind == "FuncCall":
            name = strings(node["funcname"])[-1]
            yield from _spelled_out(node.get("args"), name in _TEXT_MAKERS)
        elif kind == "A_Expr":
            joins = strings(node["name"])[-1:] == ["||"]
            yield from _spelled_out([node.get("lexpr"), node.get("rexpr")], joins)
        elif kind == "TypeCast":
            name = strings(node["typeName"]["names"])[-1]
            spells = name in _NUMBERS_AND_TEXT and not node["typeName"].get("arrayBounds")
            yield from _spelled_out(node["arg"], spells or (inside and name == "oid"))
        elif kind in ("SelectStmt", "SubLink", "CaseExpr"):
            yield from _spelled_out(node, False)
        else:
            yield from _spelled_out(node, inside)


def _end_of_name(text: bytes, begin: int) -> int:
    found = _NAME.match(text, begin)
    return found.end() if found else begin


def _end_of_call(text: bytes, begin: int) -> int:
    """Where the call that begins at *begin* ends: after the parenthesis that closes its arguments."""
    depth = 0
    for token in _TOKEN.finditer(text, _end_of_name(text, begin)):
        depth += {b"(": 1, b")": -1}.get(token.group(), 0)
        if depth == 0 and token.group() == b")":
            return token.end()
    return len(text)
