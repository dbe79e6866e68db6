"""Which statements are in one message of a log: several in a text, one that its session has prepared by name. Pure.

None of them vanishes: each becomes a call, or the reason why it is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import psycopg

from migrator.grammar.parse import Body, Parsed, Unparsable, constant, names, parse
from migrator.model.trace import Call

TRANSACTION = "transaction control (BEGIN, COMMIT, …): each statement is repeated in a transaction of its own"
SESSION = "commands about a session (SET, SHOW, DISCARD, …)"
PREPARED = "PREPARE: what it prepares is repeated where it is executed"
NOT_PREPARED = "EXECUTE of what the log does not show being prepared"
NO_CONSTANT = "EXECUTE with an argument that is no constant"
EMPTY = "a text without a statement"

_WORDS = {
    TRANSACTION: "begin|start|commit|end|rollback|abort|savepoint|release",
    SESSION: "set|reset|show|discard|deallocate|close",
}
_FIRST = {
    why: re.compile(rf"(?:{words})(?![\w$])(?!\s*[.(])", re.IGNORECASE) for why, words in _WORDS.items()
}  # not set_config(…) of a text that is no statement by itself
_TAGS = {
    "TransactionStmt": TRANSACTION,
    "VariableSetStmt": SESSION,
    "VariableShowStmt": SESSION,
    "DiscardStmt": SESSION,
    "DeallocateStmt": SESSION,
    "ClosePortalStmt": SESSION,
}
_LOOK = re.compile(r";\s*\S|^\s*(?:--|/\*|;|prepare\b|execute\b|$)", re.IGNORECASE)
"""Texts that may be other than one statement: only these are parsed for it."""

_LABEL = re.compile(r"[^:$]{0,40}: ?(?=prepare\b)", re.IGNORECASE)
"""Before the PREPARE that the server tells with an EXECUTE, in the server's language: `prepare: PREPARE p AS …`."""

_AS = re.compile(
    r"""prepare\s+(?:"(?:[^"]|"")*"|[^\s("]+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*(?<![\w$])as(?![\w$])\s*""",
    re.IGNORECASE,
)
_MOST_PREPARED = 100_000
"""Prepared statements that are remembered; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    sql: str
    types: tuple[int, ...]


@dataclass
class Messages:
    """Reads the messages of one log in their order; remembers what sessions have prepared."""

    _prepared: dict[tuple[str, str], _Prepared] = field(default_factory=dict)

    def statements(self, call: Call, detail: str = "") -> Iterator[Call | str]:
        """Yield each statement of a message as a call, or why it is none. At least one comes of every message.

        Args:
            call: its whole text, with the parameters that were logged for it.
            detail: what the server told besides, as the PREPARE of an EXECUTE.
        """
        if _LOOK.search(call.sql) is None:
            yield next((why for why, first in _FIRST.items() if first.match(call.sql)), call)
            return
        try:
            found = parse(call.sql)
        except Unparsable:
            yield call  # the sample counts what the grammar refuses
            return
        if not found:
            yield EMPTY
        for one in found:
            yield self._statement(one, call, detail, alone=len(found) == 1)

    def _statement(self, one: Parsed, call: Call, detail: str, *, alone: bool) -> Call | str:
        if one.tag in _TAGS:
            return _TAGS[one.tag]
        if one.tag == "PrepareStmt":
            self._remember(call.session, one)
            return PREPARED
        if one.tag == "ExecuteStmt":
            return self._executed(one.body, call, detail if alone else "", alone=alone)
        return call if alone else replace(call, sql=one.text, values=(), ms=None)

    def _remember(self, session: str, one: Parsed) -> None:
        if (prepared := _read(one)) is None:
            self._prepared.pop((session, one.body["name"]), None)
            return
        self._prepared.pop((session, one.body["name"]), None)  # so that the newest are the last
        self._prepared[session, one.body["name"]] = prepared
        if len(self._prepared) > _MOST_PREPARED:
            del self._prepared[next(iter(self._prepared))]

    def _executed(self, body: Body, call: Call, detail: str, *, alone: bool) -> Call | str:
        prepared = _told(detail) or (self._prepared.get((call.session, body["name"])) if call.session else None)
        if prepared is None:
            return NOT_PREPARED
        values = []
        for argument in body.get("params", ()):
            if (node := _constant(argument)) is None:
                return NO_CONSTANT
            values.append(constant(node))
        types = prepared.types if len(prepared.types) == len(values) else ()
        return replace(
            call, sql=prepared.sql, values=tuple(values), types=types, ms=call.ms if alone else None
        )  # fmt: skip


def _told(detail: str) -> _Prepared | None:
    """Return what was prepared, as the server tells it with its execution."""
    label = _LABEL.match(detail)
    if label is None:
        return None
    try:
        found = parse(detail[label.end() :])
    except Unparsable:
        return None
    return next((_read(one) for one in found if one.tag == "PrepareStmt"), None)


def _read(one: Parsed) -> _Prepared | None:
    """Return what a PREPARE prepares; None where its text is written in a way that is not read."""
    begin = _AS.match(one.text)
    if begin is None:
        return None
    sql = one.text[begin.end() :].strip().rstrip(";")
    try:
        inner = [found.tag for found in parse(sql)]
    except Unparsable:
        return None
    if inner != list(one.body.get("query", {})):
        return None
    return _Prepared(sql, tuple(_type(kind.get("TypeName", {})) for kind in one.body.get("argtypes", ())))


def _type(kind: Body) -> int:
    """Return the object id of a type of PostgreSQL's own; 0, by which the server chooses, of any other."""
    written = names(kind.get("names"))
    info = psycopg.adapters.types.get(written[-1]) if written[:-1] in ([], ["pg_catalog"]) and written else None
    if info is None:
        return 0
    return info.array_oid if kind.get("arrayBounds") else info.oid


def _constant(argument: Body) -> Body | None:
    """Return the constant that an argument is, also with the type of a quoted one written beside it."""
    cast = argument.get("TypeCast")
    if cast is not None:
        inner = cast.get("arg", {}).get("A_Const")
        return inner if inner is not None and ("sval" in inner or inner.get("isnull")) else None
    found: Body | None = argument.get("A_Const")
    return found
