"""Compares two texts of an expression by meaning. Pure.

Servers print what they parsed: every operation in parentheses of its own, every literal as it is. Versions differ in
blanks, in which names they quote, and in parentheses around the whole or a single term. Nothing else is ignored.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""[Ee]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | [\w$]+ | [()] | [^\s\w()'"$]+""", re.VERBOSE
)
_PLAIN_NAME = re.compile(r'"([a-z_][a-z0-9_$]*)"')
_WORDS_BEFORE_A_TERM = frozenset({"and", "or", "not", "when", "then", "else", "case", "where", "is", "like", "ilike"})

Term = str | tuple["Term", ...]


def same_expression(one: str | None, other: str | None) -> bool:
    """Return whether both are the same expression, or both are none."""
    return canonical(one) == canonical(other)


def canonical(text: str | None) -> Term:
    """Return *text* as nested terms, without parentheses that group nothing."""
    stack: list[list[Term]] = [[]]
    for token in _TOKEN.findall(text or ""):
        if token == "(":
            stack.append([])
        elif token == ")" and len(stack) > 1:
            _close(stack)
        else:
            plain = _PLAIN_NAME.fullmatch(token)
            stack[-1].append(plain[1] if plain else token)
    while len(stack) > 1:
        _close(stack)
    return _unwrapped(stack[0])


def _close(stack: list[list[Term]]) -> None:
    group, around = _unwrapped(stack.pop()), stack[-1]
    before = around[-1] if around else None
    called = isinstance(before, str) and before[-1].isalnum() and before.lower() not in _WORDS_BEFORE_A_TERM
    # (x) is x, but f(x) is not f x
    around.append(group[0] if len(group) == 1 and not called else group)


def _unwrapped(terms: list[Term]) -> tuple[Term, ...]:
    while len(terms) == 1 and isinstance(terms[0], tuple):
        terms = list(terms[0])
    return tuple(terms)
