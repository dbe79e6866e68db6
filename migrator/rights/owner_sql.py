"""Builds the statements that give objects on Limitless to the roles that own them on classic. Pure.

Until the hand-over the tool owns what it has to change there. Routines and views that work with their owner's rights
on what others own are the exception: they go to their owner at once, since with the tool's rights they would open more.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from migrator.rights.catalog import Right, Rights, Thing
from migrator.rights.grant_sql import Change
from migrator.rights.lines import definer_line

_WORDS = {"schema": "SCHEMA", "sequence": "SEQUENCE", "function": "FUNCTION", "procedure": "PROCEDURE", "type": "TYPE"}


def definer_changes(classic: Rights, limitless: Rights, things: frozenset[Thing]) -> list[Change]:
    """Return what gives those of *things* to their owners that work with their owner's rights."""
    return _changes(classic, limitless, [t for t in sorted(classic.definers) if t in things])


def owner_changes(classic: Rights, limitless: Rights) -> list[Change]:
    """Return what gives everything to its owner; schemas last. Sequences of columns go with their tables: ask again."""
    order = ("table", "sequence", "type", "function", "procedure", "schema")
    found = [t for t in classic.owners if t in limitless.things and t.kind in order]
    return _changes(classic, limitless, sorted(found, key=lambda t: (order.index(t.kind), t)))


def _changes(classic: Rights, limitless: Rights, things: list[Thing]) -> list[Change]:
    wanted = [
        (thing, owner)
        for thing in things
        if (owner := classic.owners[thing]) in classic.roles
        and owner != limitless.tool
        and limitless.owners.get(thing, limitless.tool) != owner
    ]
    owners = sorted({owner for _, owner in wanted})
    joined = [
        _join(owner, limitless.tool)
        for owner in owners
        if owner not in limitless.roles or not limitless.roles[owner].of_tool
    ]
    return joined + [_give(classic, limitless, thing, owner) for thing, owner in wanted]


def _join(owner: str, tool: str) -> Change:
    """Let the tool's role act as *owner*: only then it may give it something, and goes on looking after that."""
    names = (sql.Identifier(owner), sql.Identifier(tool))
    back = sql.SQL("REVOKE {} FROM {}").format(*names).as_string(None)
    statement = sql.SQL("GRANT {} TO {}").format(*names)
    return Change("grant", tool, back, f"Make the tool's role {tool} a member of {owner}", (statement,))


def _give(classic: Rights, limitless: Rights, thing: Thing, owner: str) -> Change:
    what, name, who = _kind(thing), _name(thing), sql.Identifier(owner)
    give = sql.SQL("ALTER {} {} OWNER TO {}").format(what, name, who)
    statements = [*_allowed(classic, thing, owner, give)]
    table = (thing.schema, thing.name)
    if thing.kind == "table" and table in classic.guarded and table not in classic.unforced:
        statements.append(sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(name))
    former = sql.Identifier(limitless.owners.get(thing, limitless.tool))
    back = sql.SQL("ALTER {} {} OWNER TO {}").format(what, name, former).as_string(None)
    lines = (definer_line(thing, owner),)
    return Change("grant", owner, back, f"Give {thing.words} to its owner {owner}", tuple(statements), lines)


def _allowed(classic: Rights, thing: Thing, owner: str, give: sql.Composed) -> Iterator[sql.Composed]:
    """Yield *give*, and before and after it what an owner must have at that moment only: CREATE on the schema."""
    schema = next((s for s in classic.things if s.kind == "schema" and _inside(thing, s)), None)
    if schema is None or any(Right(owner, schema, "CREATE", option) in classic.granted for option in (False, True)):
        yield give
        return
    names = (sql.Identifier(schema.name), sql.Identifier(owner))
    yield sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(*names)
    yield give
    yield sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(*names)


def _inside(thing: Thing, schema: Thing) -> bool:
    if thing.kind in ("function", "procedure"):  # the server's own text, quoted where it must be
        quoted = sql.Identifier(schema.name).as_string(None)
        return thing.name.startswith((f"{schema.name}.", f"{quoted}."))
    return thing.schema == schema.name


def _kind(thing: Thing) -> sql.SQL:
    return sql.SQL(_WORDS.get(thing.kind, "TABLE"))  # ALTER TABLE takes views too


def _name(thing: Thing) -> sql.Composable:
    if thing.kind in ("function", "procedure"):
        return sql.SQL(thing.name)  # its identity
    return sql.Identifier(thing.name) if thing.kind == "schema" else sql.Identifier(thing.schema, thing.name)
