"""What does PostgreSQL's own grammar say about a text?

Trees are libpg_query's JSON. A node is a dict with one key, its type: {"ColumnRef": {…}}; some fields hold the body
without that key. Fields that are 0, false or empty are left out. `location` counts bytes from the beginning of the
text that was parsed.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import pgparse

from migrator.grammar.written import first_token

Body = dict[str, Any]  # JSON of libpg_query
Node = dict[str, Any]
Nodes = list[tuple[str, Body]]
"""Typed nodes of a tree: type and body."""
Kinds = dict[str, list[Body]]
"""The same by type, each in the order of the tree."""

_Found = TypeVar("_Found")

LONGEST_BYTES = 2_000_000
"""A longer statement is reported and not analysed: its tree would take gigabytes."""

_SHALLOW_CHARACTERS = 20_000
"""A shorter text cannot be nested so deep that libpg_query, which recurses unguarded, leaves an ordinary stack."""

_DEEP_STACK_BYTES = 2**30  # address space; pages are taken as they are needed
_deep_stack = threading.Lock()


class _Json:
    """How pgparse reads the trees that libpg_query gives it: in half the time of the standard library's reader."""

    loads = staticmethod(msgspec.json.Decoder().decode)


pgparse.json = _Json


class Unparsable(Exception):
    """A text that PostgreSQL's grammar refuses; `position` counts characters from 0, -1 when unknown."""

    def __init__(self, why: str, position: int = -1) -> None:
        super().__init__(why)
        self.why = why
        self.position = position


@dataclass(slots=True)
class Parsed:
    """One statement: its type, its body, its own text, and where that begins in the whole (characters)."""

    tag: str
    body: Body
    text: str
    offset: int
    _lowered: str | None = dataclasses.field(default=None, repr=False, compare=False)
    _nodes: Nodes | None = dataclasses.field(default=None, repr=False, compare=False)
    _kinds: Kinds | None = dataclasses.field(default=None, repr=False, compare=False)

    def take_nodes(self, other: Parsed) -> None:
        """Take the nodes of *other*, which has the same types of them, and tables."""
        self._kinds = other.kinds

    @property
    def lowered(self) -> str:
        """Its text in lower case; made once."""
        if self._lowered is None:
            self._lowered = self.text.lower()
        return self._lowered

    def may_name(self, *names: str) -> bool:
        """Return whether one of *names*, in lower case, may stand in it as an identifier; False is certain."""
        text = self.lowered
        for name in names:  # a loop, since this is asked of every statement
            if name in text:
                return True
        return '"' in text and ('""' in text or "u&" in text)  # a quote in a name is written twice, a letter as a code

    @property
    def nodes(self) -> Nodes:
        """Every typed node of the statement but the commonest (`UNNAMED`), itself first, parents before children; made
        once."""
        if self._nodes is None:
            self._nodes = walk({self.tag: self.body}, UNNAMED)
        return self._nodes

    @property
    def kinds(self) -> Kinds:
        """The same by type; made once."""
        if self._kinds is None:
            self._kinds = by_kind(self.nodes)
        return self._kinds


def parse(text: str) -> list[Parsed]:
    """Return the statements of *text*, in order.

    Raises:
        Unparsable: with the message and the position of PostgreSQL.
    """
    statements = trees(text)
    if len(statements) == 1 and "stmt_len" not in statements[0] and text[:1].isalpha():
        [(tag, body)] = statements[0]["stmt"].items()
        return [Parsed(tag, body, text, 0)]
    data = text.encode()
    found = []
    for item in statements:
        begin, size = item.get("stmt_location", 0), item.get("stmt_len", 0)
        first = first_token(data, begin)
        part = data[first : begin + size if size else None].decode()
        [(tag, body)] = item["stmt"].items()
        found.append(Parsed(tag, body, part, len(data[:first].decode())))
    return found


def trees(text: str) -> list[Node]:
    """Return the statements of *text* as libpg_query gives them, with places in bytes.

    Raises:
        Unparsable: see `parse`.
    """
    return _ask(pgparse.parse, text)


def parse_plpgsql(definition: str) -> Any:
    """Return the tree of a PL/pgSQL function, given as its whole CREATE FUNCTION.

    Raises:
        Unparsable: without a position.
    """
    return _ask(pgparse.parse_pgsql, definition)


def normalize(text: str) -> str:
    """Return *text* with a parameter for every constant: what statements that differ in constants have in common.

    Raises:
        Unparsable: see `parse`.
    """
    found: str = _ask(pgparse.normalize, text)
    return found


def _ask(function: Callable[[str], _Found], text: str) -> _Found:
    """Call one of the parser's functions; say what it refuses in one way."""
    if len(text) > LONGEST_BYTES:
        raise Unparsable(
            f"{len(text) / 1e6:.1f} MB long, and statements above {LONGEST_BYTES / 1e6:.0f} MB are not read"
        )
    if "\x00" in text:
        raise Unparsable("it contains a NUL byte, so it is not SQL text", text.index("\x00"))
    try:
        return function(text) if len(text) < _SHALLOW_CHARACTERS else _on_deep_stack(function, text)
    except pgparse.PGQueryError as error:
        raise Unparsable(str(error.message), error.position - 1 if error.position > 0 else -1) from None
    except RecursionError:
        raise Unparsable("it is nested too deeply to be read") from None
    except UnicodeEncodeError as error:
        raise Unparsable(f"it is not valid text: {error.reason}", error.start) from None


def _on_deep_stack(function: Callable[[str], _Found], text: str) -> _Found:
    """Call *function* in a thread whose stack holds what the longest text can be nested."""
    answer: list[_Found] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            answer.append(function(text))
        except BaseException as error:
            failure.append(error)

    with _deep_stack:
        before = threading.stack_size(_DEEP_STACK_BYTES)
        try:
            thread = threading.Thread(target=call, name="parse a long statement")
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def expression(text: str) -> Node | None:
    """Return the tree of a scalar expression, None if it cannot be read."""
    try:
        [found] = parse(f"SELECT {text}")
        node: Node = found.body["targetList"][0]["ResTarget"]["val"]
    except (Unparsable, ValueError, KeyError, IndexError):
        return None
    return node


LEAVES = frozenset(("ColumnRef", "A_Const", "ParamRef", "String", "Integer", "A_Star"))
"""Types of nodes that hold no other but names."""

NAMES = frozenset(("name", "names", "funcname", "operName", "fields"))
"""Fields that hold the parts of a name, where they hold a list."""


UNNAMED = frozenset(("A_Const", "A_Star", "BoolExpr", "Integer", "List", "ParamRef", "ResTarget", "SortBy", "String"))
"""Types of nodes that stand in every statement, and that no question about a whole statement is about."""


def walk(node: Any, unnamed: frozenset[str] = frozenset()) -> Nodes:
    """Return (type, body) of every typed node under *node*, itself included, parents before children; names are passed
    over, and so are the nodes, but not what they hold, whose types are *unnamed*."""
    # The busiest loop of the audit: exact types instead of isinstance, since JSON has no subclasses.
    found: Nodes = []
    stack = [node]
    pop, push, extend, add = stack.pop, stack.append, stack.extend, found.append
    while stack:
        current = pop()
        if type(current) is dict:
            for key, value in current.items():
                below = type(value)
                if below is dict:
                    if key < "[":  # a capital first: types are named so, fields are not
                        if key not in unnamed:
                            add((key, value))
                        if key in LEAVES:
                            continue
                    push(value)
                elif below is list and key not in NAMES:
                    extend(value)
        elif type(current) is list:
            extend(current)
    return found


def by_kind(nodes: Nodes) -> Kinds:
    """Return the bodies of *nodes* by type, in their order."""
    found: Kinds = {}
    for tag, body in nodes:
        if tag in found:
            found[tag].append(body)
        else:
            found[tag] = [body]
    return found


def names(items: list[Node] | None) -> list[str]:
    """Return the texts of a list of String nodes; `*` for A_Star."""
    if not items:
        return []
    try:
        return [item["String"].get("sval", "") for item in items]
    except KeyError:
        pass
    found = []
    for item in items:
        if "String" in item:
            found.append(item["String"].get("sval", ""))
        elif "A_Star" in item:
            found.append("*")
    return found


def operator(body: Body) -> str:
    """Return the operator of an A_Expr, without its schema."""
    parts = body.get("name")
    text: str = parts[-1].get("String", body).get("sval", "") if parts else ""
    return text


def function_name(body: Body) -> tuple[str | None, str]:
    """Return (schema, name) of a FuncCall; pg_catalog counts as no schema."""
    parts = names(body.get("funcname"))
    if not parts:
        return None, ""
    schema = parts[-2] if len(parts) > 1 else None
    return (None if schema == "pg_catalog" else schema), parts[-1]


def constant(body: Body) -> str | None:
    """Return the text of an A_Const, None for NULL."""
    if body.get("isnull"):
        return None
    for kind, field, default in (
        ("sval", "sval", ""),
        ("ival", "ival", 0),
        ("fval", "fval", ""),
        ("boolval", "boolval", False),
        ("bsval", "bsval", ""),
    ):
        if kind in body:
            return (
                str(body[kind].get(field, default)).lower()
                if kind == "boolval"
                else str(body[kind].get(field, default))
            )
    return None
