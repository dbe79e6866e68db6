"""Names a read by its statements, so that what is found out about it has a name that stays. Pure.

The text is kept without values: literals, parameters and the length of lists do not make another statement, and no
value of a row reaches the tool's tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

SHOWN = 500
"""Characters of a statement's text that are kept."""

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$.*?(?:\$(?(tag)(?P=tag))\$|\Z))
  | (?P<escaped>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
  | (?P<string>(?:(?<![\w$])(?:[bBxXnN]|[uU]&))?'(?:[^']|'')*(?:'|\Z))
  | (?P<identifier>"(?:[^"]|"")*(?:"|\Z))
  | (?P<parameter>%s|%b|%t|%\([^)]*\)[sbt]|\$\d+)
  | (?P<number>(?<![\w$.])(?:0[xXoObB][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)(?![\w$]))
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
  | (?P<space>\s+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_ROWS = re.compile(r"(\(\?\))(?:\s*,\s*\(\?\))+")

_WAVERS = frozenset(
    {
        "clock_timestamp", "currval", "gen_random_bytes", "gen_random_uuid", "inet_server_addr", "inet_server_port",
        "lastval", "nextval", "pg_backend_pid", "pg_current_snapshot", "pg_current_xact_id", "pg_postmaster_start_time",
        "random", "random_normal", "setseed", "tablesample", "timeofday", "txid_current", "txid_current_snapshot",
        "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4", "uuidv4", "uuidv7", "version",
    }
)  # fmt: skip
"""Words of statements whose answer differs from one run, or one server, to the next, whatever the rows are."""


def plain(statement: str) -> str:
    """Return *statement* without values, comments and superfluous space."""
    parts: list[str] = []
    for match in _TOKEN.finditer(statement):
        match match.lastgroup:
            case "comment" | "space":
                parts.append(" ")
            case "dollar" | "tag" | "escaped" | "string" | "parameter" | "number":
                parts.append("?")
            case _:
                parts.append(match[0])
    text = " ".join("".join(parts).split()).rstrip("; ")
    return _ROWS.sub(r"\1", _LIST.sub("(?)", text))


def wavers(statement: str) -> bool:
    """Return whether *statement* names something whose answer is another one each time."""
    return any(match.lastgroup == "word" and match[0].lower() in _WAVERS for match in _TOKEN.finditer(statement))


def literals(statement: str) -> frozenset[str]:
    """Return the values that *statement* holds itself: its strings without quotes, its numbers."""
    found = set()
    for match in _TOKEN.finditer(statement):
        if match.lastgroup == "number":
            found.add(match[0])
        elif match.lastgroup == "string":
            found.add(match[0][match[0].index("'") + 1 :].removesuffix("'").replace("''", "'"))
    return frozenset(found)


def fingerprint(statements: Iterable[str]) -> tuple[str, str]:
    """Return the name of a read that ran *statements*, in their order, and its text without values.

    Statements that follow each other and differ in values only count once: a loop over three rows is the same read as
    one over four.
    """
    texts: list[str] = []
    for statement in statements:
        text = plain(statement)
        if text and (not texts or texts[-1] != text):
            texts.append(text)
    whole = "; ".join(texts)
    return hashlib.blake2b(whole.lower().encode("utf-8", "surrogatepass"), digest_size=6).hexdigest(), shown(whole)


def shown(text: str) -> str:
    """Return *text*, cut where it is long."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
