"""Finds the statements that stand in an application's source code, for applications that keep no file of them.

Literals of Go that begin like a statement, joined by `+` where they are; and the files that sqlx keeps of queries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from migrator.audit.catalog import Source
from migrator.audit.evidence.rows import RawStatement

_GO = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|`(?P<raw>[^`]*)`|"(?P<text>(?:\\.|[^"\\\n])*)"|(?P<plus>\+)|(?P<space>\s+)"""
    r"|(?P<rune>'(?:\\.|[^'\\])+')|(?P<other>.)",
    re.DOTALL | re.VERBOSE,
)
_BEGINS = re.compile(r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*\(?\s*(?:select|insert\s+into|update|delete\s+from|with)\s")


def statements(path: Path) -> list[RawStatement]:
    """Return the statements below *path*: a Go file, a file of sqlx, or a folder of them."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        if file.suffix == ".go" and not file.name.endswith("_test.go"):
            found += list(_of_go(file))
        elif file.suffix == ".json":
            query = json.loads(file.read_text()).get("query")
            if isinstance(query, str):
                found.append(RawStatement(query, Source(file.name, 1)))
    return found


def _of_go(file: Path) -> Iterator[RawStatement]:
    text = file.read_text()
    parts: list[str] = []
    begun = plus = 0
    for match in _GO.finditer(text):
        kind, whole = match.lastgroup, match[0]
        if kind in ("raw", "text"):
            if parts and not plus:
                yield from _made(parts, text, begun, file)
                parts = []
            begun = begun if parts else match.start()
            parts.append(match["raw"] if kind == "raw" else json.loads(f'"{_as_json(match["text"])}"'))
            plus = 0
        elif kind == "plus":
            plus = 1
        elif kind in ("space", "comment"):
            continue
        elif parts:
            if not plus:  # a literal that goes on with a variable is no statement that anybody could read
                yield from _made(parts, text, begun, file)
            parts, plus = [], 0
        else:
            plus = int(bool(whole) and kind == "other" and whole not in "([{,;:=")
    yield from _made(parts, text, begun, file)


def _as_json(text: str) -> str:
    text = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)
    text = re.sub(r"\\([0-7]{3})", lambda m: f"\\u{int(m[1], 8):04x}", text)
    text = re.sub(r"\\U([0-9a-fA-F]{8})", lambda m: chr(int(m[1], 16)), text)
    return text.replace("\\a", "").replace("\\v", "").replace("\\'", "'").replace("\t", " ")


def _made(parts: list[str], text: str, begun: int, file: Path) -> Iterator[RawStatement]:
    made = "".join(parts)
    if _BEGINS.match(made):
        yield RawStatement(made, Source(file.name, text.count("\n", 0, begun) + 1))
