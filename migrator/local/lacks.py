"""Makes a stand-in lack capabilities on request, so that the tool is tested on a Limitless that can do less.

No document says which of these Limitless supports (`migrator provision --probe` asks a cluster). A
session whose connection string says `options=-c rds_aurora.standin_lacks=binary_copy,returning` meets a router that
refuses them, or hides them. By default nothing is lacking.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from migrator.local import refusals
from migrator.model.refusing import strings

SETTING = "rds_aurora.standin_lacks"
_GIVEN = re.compile(SETTING.encode() + rb"=([\w,]+)")

# Refused in a statement. Other names hide a catalog (below) or change answers (answers.py).
LACKS = frozenset(
    [
        *("binary_copy", "text_copy", "upsert", "conflict_without_target", "returning", "row_locks", "advisory_locks"),
        *("deferred_keys", "index_concurrently", "sequence_restart"),
        *("index_catalog", "sequence_limits", "sequence_chunks", "sqlstate"),
    ]
)

_HIDDEN = {
    "limitless_distributed_sequence": "sequence_limits",
    "limitless_sequence_metadata": "sequence_chunks",
}


def given(options: bytes) -> frozenset[str]:
    """Return what the *options* of a startup packet say that the stand-in lacks; unknown names are ignored."""
    match = _GIVEN.search(options)
    return frozenset(match[1].decode().split(",")) & LACKS if match else frozenset()


def refusal(tree: Any, lacks: frozenset[str]) -> str | None:
    """Return the answer to a statement that needs something of *lacks*, None when it needs nothing of it."""
    for kind, node in refusals.nodes(tree):
        lacking = _needs(kind, node) & lacks
        if lacking:
            return f"{min(lacking).replace('_', ' ').upper()} is not supported"
    return None


def _needs(kind: str, node: dict[str, Any]) -> frozenset[str]:
    """Return the capability that one node of a statement needs."""
    return frozenset(_each(kind, node))


def _each(kind: str, node: dict[str, Any]) -> Iterator[str]:
    match kind:
        case "CopyStmt":
            options = {o["defname"]: strings([o.get("arg")]) for k, o in refusals.nodes(node.get("options"))
                       if k == "DefElem"}  # fmt: skip
            yield "binary_copy" if options.get("format") == ["binary"] else "text_copy"
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt" if "returningList" in node or "returningClause" in node:
            yield "returning"
        case "OnConflictClause":
            yield "upsert" if "infer" in node else "conflict_without_target"
        case "SelectStmt" if "lockingClause" in node:
            yield "row_locks"
        case "FuncCall" if re.match("pg_(try_)?advisory_(xact_)?lock", strings(node["funcname"])[-1]):
            yield "advisory_locks"
        case "Constraint" if node.get("deferrable"):
            yield "deferred_keys"
        case "IndexStmt" if node.get("concurrent"):
            yield "index_concurrently"
        case "AlterSeqStmt":
            yield "sequence_restart"


def hidden(relation: str, lacks: frozenset[str]) -> bytes | None:
    """Return what replaces a catalog relation that differs on a cluster; None when it does not differ."""
    if _HIDDEN.get(relation) in lacks:
        return b"rds_aurora.not_there"
    if relation == "pg_index" and "index_catalog" in lacks:
        return b"rds_aurora.router_pg_index"
    return None
