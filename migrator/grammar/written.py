"""Which part of a text is a node of its tree? Parts are cut out as they were written; nothing is printed anew.

A tree says where a node begins at best. Where it ends follows from the words and brackets around it, which is sound
because the text has been parsed: quotes end and brackets match. Positions are bytes, as in trees.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

_TOKEN = re.compile(
    rb"""
    (?:
      (?P<skip> \s+ | --[^\n\r]* )
    | (?P<comment> /\* )
    | (?P<quote> [eE]'(?:\\.|''|[^'\\])*' | (?:[bBxXnN]|[uU]&)?'(?:''|[^'])*'
               | (?:[uU]&)?"(?:""|[^"])*"
               | (?P<tag>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$).*?(?P=tag) )
    | (?P<word> [A-Za-z_\x80-\xff][\w$\x80-\xff]* )
    | (?P<number> \$?\d[\w.]* )
    | (?P<sign> ::|. )
    ) \s*+
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(rb"/\*|\*/")
_HARD = re.compile(rb"--|/\*|\\|\$(?!\d)")
"""What `stops` leaves to `tokens`: comments, escapes and bodies."""
_OPENING, _CLOSING = frozenset("(["), frozenset(")]")


Edit = tuple[int, int, str]
"""A part of a text (begin, end), and what stands there instead."""


class Token(NamedTuple):
    """`word` is a bare word in upper case or a sign; empty for literals, quoted names and numbers.

    Attributes:
        depth: brackets around it; a bracket itself counts as outside.
    """

    begin: int
    end: int
    word: str
    depth: int


def tokens(data: bytes, at: int = 0) -> Iterator[Token]:
    """Yield the tokens of *data* from *at* on, where one begins; depths count from there."""
    depth = 0
    while (match := _TOKEN.match(data, at)) is not None:
        sort, begin, at = match.lastgroup, at, match.end()
        if sort == "word":
            yield Token(begin, match.end(sort), match[sort].decode().upper(), depth)
        elif sort == "sign":
            word = match[sort].decode()
            depth -= word in _CLOSING
            yield Token(begin, match.end(sort), word, depth)
            depth += word in _OPENING
        elif sort == "comment":
            at = _comment_end(data, begin)
        elif sort in ("quote", "number"):
            yield Token(begin, match.end(sort), "", depth)


def stop_words(*words: str) -> re.Pattern[bytes]:
    """Return what `stops` looks for *words* with: plain tokens up to one of them, to a bracket or to the end."""
    found = "|".join(words).encode()
    return re.compile(
        # Possessive are repetitions of single characters only: those of groups match wrongly before Python 3.11.5
        # (gh-106052). Behind the loops is what is optional, or what fails when a loop gives something back. The outer
        # one has an end, since each turn takes memory until the match is made.
        rb"(?i:(?:[^\w'\"$()\[\];]++|'[^']*+(?:''[^']*+)*'(?!')|\"[^\"]*+(?:\"\"[^\"]*+)*\"(?!\")|\$?\d[\w.]*+"
        rb"|(?!(?:" + found + rb")(?![\w$]))[a-z_][\w$]*+){0,1000}((?:" + found + rb")(?![\w$])|[()\[\];])?)"
    )


def stops(data: bytes, at: int, words: re.Pattern[bytes]) -> Iterator[Token]:
    """Yield those of `tokens` that are brackets, semicolons or certain words, in a quarter of the time.

    Args:
        words: which, from `stop_words`.
    """
    depth = 0
    if data.isascii() and not _HARD.search(data, at):
        while (match := words.match(data, at)) is not None and match.end() > at:
            at, found = match.end(), match[1]
            if found is None:
                continue
            word = found.decode().upper()
            depth -= word in _CLOSING
            yield Token(match.start(1), at, word, depth)
            depth += word in _OPENING
        return
    for token in tokens(data, at):
        if token.word:
            yield token


def first_token(data: bytes, at: int) -> int:
    """Return where the first token behind *at* begins, past white space and comments."""
    while (match := _TOKEN.match(data, at)) is not None and (match["skip"] or match["comment"]):
        at = _comment_end(data, at) if match["comment"] else match.end()
    return at


def _comment_end(data: bytes, start: int) -> int:
    depth = 0
    for match in _COMMENT.finditer(data, start):
        depth += 1 if match[0] == b"/*" else -1
        if depth == 0:
            return match.end()
    return len(data)


class Written:
    """A text that has been parsed, with its tokens."""

    def __init__(self, text: str) -> None:
        self.whole = text
        self.data = text.encode()

    @cached_property
    def tokens(self) -> list[Token]:
        return list(tokens(self.data))

    def last_end(self, first: int, stop: int) -> int:
        """Return where the last token before *stop* ends; a token begins at *first*, before it."""
        part = self.data[first:stop]
        if b"--" not in part and b"/*" not in part:
            return first + len(part.rstrip())
        return next((t.end for t in reversed([*tokens(self.data[:stop], first)])), first)

    def text(self, begin: int, end: int) -> str:
        return self.data[begin:end].decode().strip()

    def at(self, position: int) -> int:
        """Return the number of the first token that begins at *position* or behind it."""
        return bisect_left(self.tokens, position, key=lambda t: t.begin)

    def before(self, position: int, *words: str) -> int:
        """Return the number of the last token before *position* that is one of *words*.

        Raises:
            LookupError: there is none.
        """
        for number in range(self.at(position) - 1, -1, -1):
            if self.tokens[number].word in words:
                return number
        raise LookupError(words[0])

    def after(self, position: int, *words: str) -> int:
        """Return the number of the first token from *position* on, at its depth, that is one of *words*.

        Raises:
            LookupError: there is none.
        """
        first = self.at(position)
        depth = self.tokens[first].depth
        for number, token in enumerate(self.tokens[first:], first):
            if token.depth < depth:
                break
            if token.depth == depth and token.word in words:
                return number
        raise LookupError(words[0])

    def end_of_item(self, first: int, stops: Iterable[int] = ()) -> int:
        """Return where the item of a list ends whose first token is number *first*: at a comma, a closing bracket, a
        semicolon, the end of the text, or one of the positions *stops*."""
        depth = self.tokens[first].depth
        stop = min((s for s in stops if s > self.tokens[first].begin), default=len(self.data))
        end = self.tokens[first].begin
        for token in self.tokens[first:]:
            if token.begin >= stop or token.depth < depth or (token.depth == depth and token.word in (",", ";")):
                break
            end = token.end
        return end

    def bracketed(self, number: int) -> str:
        """Return what stands in the round brackets that open at token *number* or behind it."""
        while self.tokens[number].word != "(":
            number += 1
        opening = self.tokens[number]
        for token in self.tokens[number + 1 :]:
            if token.depth == opening.depth and token.word == ")":
                return self.text(opening.end, token.begin)
        raise LookupError("a closing bracket")

    def expression(self, node: Any, opener: str, stops: Iterable[int] = ()) -> str:
        """Return the expression *node*, which follows the word *opener*."""
        number = self.before(leftmost(node) + 1, opener) + 1
        return self.text(self.tokens[number].begin, self.end_of_item(number, stops))

    def in_brackets(self, node: Any, opener: str) -> str:
        """Return the expression *node* without the brackets that it stands in behind the word *opener*."""
        return self.bracketed(self.before(leftmost(node) + 1, opener))

    def with_comma(self, begin: int, end: int, *, before: bool) -> tuple[int, int]:
        """Return a part that is an item of a list together with the comma *before* it, or else the one behind it."""
        comma = self.tokens[self.at(begin) - 1 if before else self.at(end)]
        if comma.word != ",":
            return begin, end
        return (comma.begin, end) if before else (begin, comma.end)

    def name_end(self, position: int) -> int:
        """Return the number of the token behind the name, qualified or not, that begins at *position*."""
        number = self.at(position) + 1
        while number < len(self.tokens) and self.tokens[number].word == ".":
            number += 2
        return number


def leftmost(node: Any) -> int:
    """Return where the first part of *node* that has a location begins."""
    found = []
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, list):
            stack.extend(current)
        elif isinstance(current, dict):
            if current.get("location", -1) >= 0:
                found.append(current["location"])
            stack.extend(current.values())
    return min(found, default=0)


def edited(data: bytes, edits: Iterable[Edit], first: int = 0, last: int | None = None) -> str:
    """Return the part from *first* to *last* of *data* with *edits* made."""
    at, parts = first, []
    for begin, end, text in sorted(edits):
        parts += [data[at:begin], text.encode()]
        at = end
    return b"".join((*parts, data[at:last])).decode().strip()


def quoted(name: str) -> str:
    """Return an identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'
