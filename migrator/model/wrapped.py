"""Recovers the error of a shard that a router passes on as one of its own.

A router may answer with a SQLSTATE and words of its own and put the shard's words into the details (AWS: Aurora
Limitless, query tracing); which SQLSTATE it then has is not documented. So the cluster is asked once: errors whose
cause is known are provoked, and what came back becomes rules. Texts are compared without names and numbers, in whatever
language the server speaks; the words of documented English messages are known without asking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrator.model.sqlstate import is_wrapper

WRAPPER = "failed to execute remote query"
_DEADLOCK = "aborting transaction participating in a distributed deadlock"
_NAMES = re.compile(r'"[^"]*"|«[^»]*»|„[^“]*“|\d+')


@dataclass(frozen=True, slots=True)
class Rule:
    """An error that came with SQLSTATE *seen* and these words was *true* on the shard."""

    seen: str
    message: str
    detail: str
    true: str


def shape(text: str | None) -> str:
    """Return the first line of *text* without names and numbers."""
    lines = (text or "").strip().splitlines()
    return _NAMES.sub("…", lines[0]) if lines else ""


def learn(provoked: Iterable[tuple[str, str, str | None, str | None]]) -> tuple[Rule, ...]:
    """Return the rules that (true SQLSTATE, seen SQLSTATE, message, detail) of provoked errors teach.

    An answer that two causes share teaches nothing: they cannot be told apart.
    """
    rules: dict[tuple[str, str, str], set[str]] = {}
    for true, seen, message, detail in provoked:
        rules.setdefault((seen, shape(message), shape(detail)), set()).add(true)
    return tuple(
        Rule(*answer, true=min(causes))
        for answer, causes in rules.items()
        if len(causes) == 1 and causes != {answer[0]}
    )


def true_state(sqlstate: str | None, message: str | None, detail: str | None, rules: Sequence[Rule] = ()) -> str | None:
    """Return the SQLSTATE of what happened; *sqlstate* itself when nothing says that it is another."""
    if not sqlstate:
        return sqlstate
    seen = (sqlstate, shape(message), shape(detail))
    for rule in rules:
        if (rule.seen, rule.message, rule.detail) == seen:
            return rule.true
    if is_wrapper(sqlstate):
        if seen[1] == _DEADLOCK:
            return "40P01"
        if seen[1] == WRAPPER:
            return _ENGLISH.get(seen[2], sqlstate)
    return sqlstate


# PostgreSQL's own messages, as src/backend writes them.
_ENGLISH = {
    shape(text): state
    for state, text in (
        ("23505", 'duplicate key value violates unique constraint "k"'),
        ("23503", 'insert or update on table "t" violates foreign key constraint "k"'),
        ("23503", 'update or delete on table "t" violates foreign key constraint "k" on table "u"'),
        ("23502", 'null value in column "c" of relation "t" violates not-null constraint'),
        ("23514", 'new row for relation "t" violates check constraint "k"'),
        ("22001", "value too long for type character varying(1)"),
        ("22001", "value too long for type character(1)"),
        ("22003", "numeric field overflow"),
        ("22003", "integer out of range"),
        ("22003", "bigint out of range"),
        ("22012", "division by zero"),
        ("40P01", "deadlock detected"),
        ("40001", "could not serialize access due to concurrent update"),
        ("40001", "could not serialize access due to concurrent delete"),
        ("55P03", 'could not obtain lock on relation "t"'),
        ("55P03", "canceling statement due to lock timeout"),
        ("57014", "canceling statement due to statement timeout"),
    )
}
