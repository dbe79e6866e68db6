"""Is a statement this tool's own? Told by what it names, however it is written.

In statistics and logs of a database that is being moved, or was, the tool's statements stand among the application's.
What it makes has one schema, or a name that begins with its own; what its sessions run on the application's tables
carries its mark, since nothing else tells it from a statement of the application.
"""

from __future__ import annotations

import re
from typing import Any

from migrator.audit.catalog import TOOL_SCHEMA
from migrator.grammar.parse import Body, Node, constant, function_name, names

MARK = re.compile(r"/\* migrator\b[^*]*\*/")
"""The comment in statements of the tool."""

_PREFIX = f"{TOOL_SCHEMA}_"
_TRIGGER_STEPS = ("AT_EnableTrig", "AT_DisableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig")
_DROPPED = frozenset(("OBJECT_TRIGGER", "OBJECT_EVENT_TRIGGER", "OBJECT_PUBLICATION"))
_PREPARED = ("ExecuteStmt", "PrepareStmt", "DeallocateStmt")


def is_marked(text: str) -> bool:
    """Return whether *text* carries the mark of this tool's sessions."""
    return "/* migrator" in text and MARK.search(text) is not None


_CONTINUED = re.compile(r"'[ \t\f\v]*(?:--[^\r\n]*)?[\r\n]\s*(?:--[^\r\n]*[\r\n]\s*)*'")


def may_be_own(text: str) -> bool:
    """Return whether a statement with *text* can be one that `is_own` knows: the tool's name is in it, or something
    that can spell it otherwise (an escape, a literal that goes on behind a line's end)."""
    lowered = text.lower()
    if TOOL_SCHEMA in lowered or "\\" in text or "u&" in lowered:
        return True
    return ("\n" in text or "\r" in text) and _CONTINUED.search(text) is not None


def is_own(tag: str, body: Body) -> bool:
    """Return whether a statement names something that only this tool makes."""
    stack: list[tuple[str, Any]] = [(tag, body)]
    while stack:
        kind, node = stack.pop()
        if isinstance(node, list):
            if kind not in ("fields", "colnames", "aliascolnames") and _qualified(node):
                return True
            stack += [(kind, item) for item in node]
        elif isinstance(node, dict):
            if _names_own(kind, node):
                return True
            stack += [(key, value) for key, value in node.items() if isinstance(value, (dict, list))]
    return False


def _qualified(parts: list[Any]) -> bool:
    """Return whether a list is a name in the tool's schema."""
    found = names(parts) if parts and isinstance(parts[0], dict) and "String" in parts[0] else []
    return len(found) > 1 and len(found) == len(parts) and TOOL_SCHEMA in found[:-1]


def _names_own(kind: str, node: Body) -> bool:
    if node.get("schemaname") == TOOL_SCHEMA:
        return True
    if kind == "FuncCall":
        return _notifies(node)
    if kind == "RangeFunction":
        return str((node.get("alias") or {}).get("aliasname", "")).startswith(_PREFIX)
    if "OBJECT_SCHEMA" in (node.get("removeType"), node.get("objtype")):
        return any(_last(item) == TOOL_SCHEMA for item in node.get("objects", ()))
    if kind == "DropStmt" and node.get("removeType") in _DROPPED:
        return any(_last(item).startswith(_PREFIX) for item in node.get("objects", ()))
    if kind == "AlterTableCmd":
        return node.get("subtype") in _TRIGGER_STEPS and str(node.get("name", "")).startswith(_PREFIX)
    if kind == "VariableSetStmt":
        return str(node.get("name", "")).startswith(f"{TOOL_SCHEMA}.")
    if kind in ("ListenStmt", "UnlistenStmt", "NotifyStmt"):
        channel = str(node.get("conditionname", ""))
        return channel == TOOL_SCHEMA or channel.startswith(_PREFIX)
    if kind in ("CreateTrigStmt", "CreateEventTrigStmt", "AlterEventTrigStmt"):
        return str(node.get("trigname", "")).startswith(_PREFIX)
    if kind in ("FetchStmt", "ClosePortalStmt", "DeclareCursorStmt"):
        return str(node.get("portalname", "")).startswith(_PREFIX)
    if kind in _PREPARED:
        return str(node.get("name", "")).startswith(_PREFIX)
    if kind in ("CreatePublicationStmt", "AlterPublicationStmt"):
        return str(node.get("pubname", "")).startswith(_PREFIX)
    temporary = node.get("relpersistence") == "t" or node.get("schemaname") == "pg_temp"
    return temporary and str(node.get("relname", "")).startswith(_PREFIX)


def _notifies(node: Body) -> bool:
    """A call that sends on one of the tool's channels, or sets one of its settings."""
    _, name = function_name(node)
    first: Node = next(iter(node.get("args", ())), {})
    text = (constant(first["A_Const"]) or "") if "A_Const" in first else ""
    if name == "pg_notify":
        return text == TOOL_SCHEMA or text.startswith(_PREFIX)
    return name in ("set_config", "current_setting") and text.startswith(f"{TOOL_SCHEMA}.")


def _last(item: Any) -> str:
    if "String" in item:
        return str(item["String"].get("sval", ""))
    found = names(item.get("List", {}).get("items"))
    return found[-1] if found else ""
