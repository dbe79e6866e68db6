"""Builds the steps that give Limitless the rights of classic. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.catalog.values import Catalog
from migrator.model.action import Action
from migrator.model.table import Table
from migrator.provision.ddl_sql import Record, Step, drop
from migrator.rights.catalog import Name, Rights, Thing
from migrator.rights.compare import unless_ajar
from migrator.rights.grant_sql import Change, grant_changes, role_changes
from migrator.rights.owner_sql import definer_changes


def role_steps(classic: Rights, limitless: Rights) -> list[Step]:
    """Return the steps that make roles; they come first, so that undoing everything ends with them."""
    return [_step(change) for change in role_changes(classic, limitless)]


def grant_steps(classic: Rights, limitless: Rights, wanted: Catalog, tables: Sequence[Table]) -> list[Step]:
    """Return the steps that grant rights on what *wanted* has."""
    things = _things(wanted, classic)
    changes = grant_changes(unless_ajar(classic, limitless), limitless, things, added_columns(tables))
    return [_step(change) for change in changes + definer_changes(classic, limitless, things)]


def added_columns(tables: Sequence[Table]) -> dict[Name, str]:
    """Return the tenant columns that Limitless alone has, by table: rights on single columns extend to them."""
    return {(t.schema, t.name): t.tenant_column for t in tables if t.derived and t.tenant_column}


def notes(classic: Rights, limitless: Rights) -> list[str]:
    """Return what is left out or changed on purpose."""
    notes = list(classic.notes)
    owners = {o for t, o in classic.owners.items() if t.kind == "table" and o in classic.roles and o != limitless.tool}
    for owner in sorted(owners):
        count = sum(o == owner and t.kind == "table" for t, o in classic.owners.items())
        notes.append(
            f"role {owner} owns {count} tables and views on classic; on Limitless they belong to {limitless.tool},"
            f" which has to change them until the end, and {owner} gets every right on them with grant option"
        )
    return notes


def _things(wanted: Catalog, classic: Rights) -> frozenset[Thing]:
    """Return the objects that Limitless will have, of those that classic can grant rights on."""
    tables = {(t.schema, t.name) for t in wanted.tables.values()}
    kept = {r.identity for r in wanted.routines if r.kind != "VIEW"}
    views = {r.identity.replace('"', "") for r in wanted.routines if r.kind == "VIEW"}  # quoted where it must be
    sequences = {s.qualified for s in wanted.sequences}
    types = {(t.schema, t.name) for t in wanted.types}

    def there(thing: Thing) -> bool:
        match thing.kind:
            case "table":
                return (thing.schema, thing.name) in tables or thing.words.replace('"', "") in views
            case "sequence":
                return (thing.schema, thing.name) in sequences
            case "type":
                return (thing.schema, thing.name) in types
            case "function" | "procedure":
                return thing.name in kept
        return thing.name in wanted.schemas or thing.name == "public"

    return frozenset(filter(there, classic.things))


def _step(change: Change) -> Step:
    record = Record(change.kind, "", change.name, change.detail)
    action = Action(
        id=f"provision/{change.kind}/{change.name}",
        summary=change.summary,
        undo=drop(record).as_string(None),
        sql="\n".join(s.as_string(None) + ";" for s in change.statements),
    )
    return Step(action, record, change.summary, change.statements, best_effort=True)
