"""How would a cross-shard statement read if it named its tenant?

Adds the missing equality to the text, then judges the new text: a proposal that is not on one shard is not made.
"""

from __future__ import annotations

import re

from migrator.audit.shardkey.parameters import Placed
from migrator.audit.shardkey.scope import Instance
from migrator.audit.shardkey.verdict import Judged, StatementVerdict, judge
from migrator.audit.shardkey.walk import Context
from migrator.grammar.parse import Parsed, Unparsable, parse

LONGEST = 8_000
_NUMBERED = re.compile(r"\$(\d+)")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_PART = re.compile(
    r"""
      '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    | (?P<sign>[();])
    | \b(?P<word>where|group|having|window|order|limit|offset|fetch|for|union|intersect|except|returning)\b
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""What ends the WHERE of a query level or holds another level; literals and comments are passed over."""


def propose(judged: Judged, statement: Parsed, placed: Placed, context: Context) -> str | None:
    """Return the rewritten statement, None when there is no simple one."""
    text = statement.text
    if not text.isascii() or len(text) > LONGEST or statement.offset or not judged.unbound:
        return None
    if any(i.place < 0 or i.why for i in judged.unbound):
        return None
    bound = [i for i in judged.instances if i not in judged.unbound and not i.proposed]
    number = max([placed.count, *(int(n) for n in _NUMBERED.findall(text))], default=0) + 1
    parameter = f"${number}"
    for instance in sorted(judged.unbound, key=lambda i: -i.place):
        peer = next((b for b in bound if b.level is instance.level), None)
        value = f"{_quoted(peer.alias)}.{_quoted(peer.key)}" if peer is not None else parameter
        changed = _insert(text, instance, f"{_quoted(instance.alias)}.{_quoted(instance.key)} = {value}")
        if changed is None:
            return None
        text = changed
    try:
        [again] = parse(text)
    except (Unparsable, ValueError):
        return None
    if judge(context, again.tag, again.body).verdict is not StatementVerdict.SINGLE_SHARD:
        return None
    return _restore(text, placed, number)


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _insert(text: str, instance: Instance, condition: str) -> str | None:
    """Add *condition* to the WHERE of the query level in whose FROM the instance's name stands."""
    depth, where, end = 0, None, len(text)
    for part in _PART.finditer(text, instance.place):
        sign, word = part["sign"], part["word"]
        if sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and (sign == ";" or (word and word.lower() != "where"))):
            end = part.start()
            break
        if depth == 0 and word and where is None:
            where = part.end()
    if where is None:
        return (
            f"{text[:end].rstrip()} WHERE {condition}{' ' if end < len(text) and text[end] != ')' else ''}{text[end:]}"
        )
    old = text[where:end].strip()
    inner = f"({old})" if re.search(r"(?i)\bor\b", old) else old
    tail = text[end:]
    return f"{text[:where]} {condition} AND {inner}{' ' if tail and tail[0] not in ');' else ''}{tail}"


def _restore(text: str, placed: Placed, number: int) -> str:
    """Write the parameters the way the application does."""
    if placed.style == "$":
        return text
    names = {v: k for k, v in placed.names.items()}
    names[number] = "tenant_id"
    forms = {":name": ":{}", "@name": "@{}", "%(name)s": "%({})s", "sqlc": "sqlc.arg({})"}
    form = forms.get(placed.style)

    def one(match: re.Match[str]) -> str:
        name = names.get(int(match[1]))
        if form and name:
            return form.format(name)
        return "?" if placed.style == "?" else "%s"

    return _NUMBERED.sub(one, text)
