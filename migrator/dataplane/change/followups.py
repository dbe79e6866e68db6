"""Leaves out what is refused only because a statement before it is: one names it, and says how many need it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from migrator.dataplane.change.refusal import Refusal
from migrator.grammar.parse import Unparsable, parse
from migrator.grammar.tree import Tree

Made = tuple[str, ...]
"""Names that all stand in a statement which uses what is made: of a column its table's and its own."""

_WORD = re.compile(r"\w+")
_NAMED = {
    "CreateStmt": "relation", "ViewStmt": "view", "CreateSeqStmt": "sequence", "CompositeTypeStmt": "typevar",
}  # fmt: skip
_LISTED = {
    "CreateEnumStmt": "typeName", "CreateRangeStmt": "typeName", "CreateDomainStmt": "domainname",
    "CreateFunctionStmt": "funcname", "DefineStmt": "defnames",
}  # fmt: skip


def without_followups(text: str, refusals: Sequence[Refusal]) -> list[Refusal]:
    """Return *refusals* of the statements in *text* without those that follow from another statement's."""
    try:
        statements = dict(enumerate(parse(text), 1))
    except Unparsable:
        return list(refusals)
    made: list[tuple[Made, int]] = []  # by which refused statement, or by the one that it needs
    left: list[Refusal] = []
    needing: dict[int, list[int]] = {}
    for number in sorted({r.place.number for r in refusals}):
        own = [r for r in refusals if r.place.number == number]
        statement = statements.get(number)
        if statement is None:
            left += own
            continue
        new = list(makes(Tree(statement.tag, statement.body)))
        roots = [_root(statement.text, r, made) for r in own]
        kept = [r for r, root in zip(own, roots, strict=True) if root is None]
        root = number if kept else next(r for r in roots if r is not None)
        if not kept:
            needing.setdefault(root, []).append(number)
        # Behind the first, what misses something that the statement itself would make follows from that.
        itself = [(names, number) for names in new]
        left += kept[:1] + [r for r in kept[1:] if _root(statement.text, r, itself) is None]
        made += [(names, root) for names in new]
    return [_with_needing(r, needing.get(r.place.number, []), left) for r in left]


def _root(statement: str, refusal: Refusal, made: Sequence[tuple[Made, int]]) -> int | None:
    """Return the refused statement that *refusal* follows from."""
    if not refusal.missing:
        return None
    return next(
        (m for names, m in made if _says(refusal.bare, names[-1]) and all(_says(statement, n) for n in names)), None
    )


def _says(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _with_needing(refusal: Refusal, numbers: Sequence[int], left: Sequence[Refusal]) -> Refusal:
    """Say behind the last refusal of a statement which others need it."""
    if not numbers or refusal is not [r for r in left if r.place == refusal.place][-1]:
        return refusal
    many = "s" if len(numbers) > 1 else ""
    text = f"{refusal.bare}. Not checked without it: statement{many} {', '.join(map(str, numbers))}"
    return Refusal(text, refusal.place, missing=refusal.missing)


def makes(node: Tree) -> Iterator[Made]:
    """Yield the names of what a statement would make."""
    match node.tag:
        case tag if tag in _NAMED:
            yield (getattr(node, _NAMED[tag]).relname,)
        case tag if tag in _LISTED:
            yield (getattr(node, _LISTED[tag])[-1].sval,)
        case "CreateTableAsStmt":
            yield (node.into.rel.relname,)
        case "IndexStmt" if node.idxname:
            yield (node.idxname,)
        case "CreateSchemaStmt" if node.schemaname:
            yield (node.schemaname,)
        case "CreateExtensionStmt":
            yield (node.extname,)
        case "RenameStmt" if node.relation is not None and node.renameType in ("OBJECT_COLUMN", "OBJECT_TABCONSTRAINT"):
            yield (node.relation.relname, node.newname)
        case "RenameStmt":
            yield (node.newname,)
        case "AlterEnumStmt":
            yield (node.newVal,)
        case "AlterTableStmt":
            for command in node.cmds or ():
                if command.subtype in ("AT_AddColumn", "AT_AddConstraint"):
                    name = command.def_.colname or command.def_.conname
                    if name:
                        yield (node.relation.relname, name)
        case "DoStmt":
            for option in node.args or ():
                if option.defname == "as":
                    yield from ((word,) for word in sorted(set(_WORD.findall(option.arg.text or ""))))
