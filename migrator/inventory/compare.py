"""Finds everything in the migrated schemas that is not captured, not planned, or not on Limitless. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.inventory.facts import ClassicFacts, Difference, LimitlessFacts, Relation, Thing
from migrator.model.table import split_qualified

_APPLY = "then: migrator plan apply PLAN --reason WHY --as NAME"
_EXCLUDE = 'exclude it in the plan (tables.table."{name}" = {{ kind = "excluded" }}; ' + f"{_APPLY})"
_ACCEPT = 'accept it by adding "{subject}" to gates.acknowledged ' + f"({_APPLY})"
_MAKE = "Create it on Limitless: migrator schema adopt; or "


def compare(classic: ClassicFacts, limitless: LimitlessFacts | None) -> tuple[Difference, ...]:
    """Return every difference that is not excluded or acknowledged in the plan, those that lose rows first.

    Args:
        limitless: None when it is not known what Limitless holds; then only classic's own side is judged.
    """
    differences = [*_tables(classic), *_schemas(classic)]
    if limitless is not None:
        differences += [*_tables_there(classic, limitless), *_things(classic, limitless)]
    accepted = classic.scope.acknowledged
    return tuple(
        sorted((d for d in differences if d.subject not in accepted), key=lambda d: (not d.loses_rows, d.subject))
    )


def _tables(classic: ClassicFacts) -> Iterator[Difference]:
    here = {r.qualified for r in classic.relations}
    for relation in classic.relations:
        if relation.qualified in classic.captured or relation.root in classic.captured | here:
            continue  # a partition goes with its root
        if relation.sort != "table":
            if relation.subject not in classic.set_aside:
                yield Difference(
                    "left-behind",
                    relation.subject,
                    f"{relation.subject} was created after dual write began, and Limitless has no {relation.sort}s",
                    "Drop it, or " + _ACCEPT.format(subject=relation.subject),
                )
        elif _excluded(classic, relation):
            continue
        elif relation.detached:
            yield Difference(
                "left-behind",
                relation.subject,
                f"{relation.subject} was a partition and was detached: its rows are on classic only",
                "Drop it when it is archived; or "
                + _ACCEPT.format(subject=relation.subject)
                + "; or move it to a schema"
                " that is not migrated; or say in the plan or its comment what it becomes: migrator schema adopt",
            )
        else:
            yield Difference(
                "table-not-captured",
                relation.subject,
                f"{relation.subject} is not captured: its rows would never reach Limitless",
                f"Take it along with its rows: migrator schema adopt; or {_EXCLUDE.format(name=relation.qualified)}",
                loses_rows=True,
            )
    for name in sorted(classic.captured):
        if name not in here:
            yield Difference(
                "captured-table-gone",
                f"table {name}",
                f"table {name} is captured, and classic has no table of this name any more",
                "Restore its name and schema, or start dual write again: migrator undo dual-write",
                loses_rows=True,
            )
        elif classic.scope.planned and (
            name in classic.scope.excluded or split_qualified(name)[0] not in classic.scope.schemas
        ):
            yield Difference(
                "plan-differs",
                f"table {name}",
                f"table {name} is captured, and the stored plan does not migrate it",
                f"Correct the plan, {_APPLY}",
                loses_rows=True,
            )


def _excluded(classic: ClassicFacts, relation: Relation) -> bool:
    """Whether a table stays behind on purpose; without a stored plan, what capture left alone does."""
    if classic.scope.planned:
        return relation.qualified in classic.scope.excluded or relation.root in classic.scope.excluded
    return relation.subject in classic.set_aside


def _schemas(classic: ClassicFacts) -> Iterator[Difference]:
    for name in sorted(classic.schemas - classic.scope.schemas):
        subject = f"schema {name}"
        if subject not in classic.set_aside:
            yield Difference(
                "schema-not-planned",
                subject,
                f"{subject} was created after dual write began and holds tables, and the plan does not list it:"
                " they stay behind on classic",
                "Drop it, or " + _ACCEPT.format(subject=subject),
            )


def _tables_there(classic: ClassicFacts, limitless: LimitlessFacts) -> Iterator[Difference]:
    for name in sorted(classic.captured - limitless.tables):
        yield Difference(
            "table-missing",
            f"table {name}",
            f"table {name} is captured and does not exist on Limitless",
            "Make it there again, with its rows: migrator schema adopt",
            loses_rows=True,
        )
    for name in sorted(limitless.tables - classic.captured - {r.qualified for r in classic.relations}):
        subject = f"table {name}"
        yield Difference(
            "only-on-limitless",
            subject,
            f"{subject} exists on Limitless only",
            "Drop it there, or " + _ACCEPT.format(subject=subject),
        )


def _things(classic: ClassicFacts, limitless: LimitlessFacts) -> Iterator[Difference]:
    behind = {r.qualified for r in classic.relations} - classic.captured
    for thing in classic.things:
        there = limitless.things.get(thing.subject)
        if there is None:
            # A sequence goes with the table that owns it: excluded on purpose, or named already.
            if thing.subject not in classic.set_aside and thing.owner not in behind:
                yield _missing(thing)
        elif there != thing.detail:
            yield _differs(thing, there)
    known = {t.subject for t in classic.things}
    for subject in sorted(limitless.things.keys() - known):
        if not subject.startswith("extension "):
            yield Difference(
                "only-on-limitless",
                subject,
                f"{subject} exists on Limitless only",
                "Drop it there, or " + _ACCEPT.format(subject=subject),
            )


def _missing(thing: Thing) -> Difference:
    is_sequence = thing.sort == "sequence"
    return Difference(
        "missing",
        thing.subject,
        f"{thing.subject} does not exist on Limitless"
        + (": its numbers would start again there" if is_sequence else ""),
        _MAKE + _ACCEPT.format(subject=thing.subject),
        loses_rows=is_sequence,
    )


def _differs(thing: Thing, there: str) -> Difference:
    if thing.sort in ("function", "procedure"):
        how = "has another body on Limitless"
    else:
        how = f"is {there or 'empty'} on Limitless, {thing.detail or 'empty'} on classic"
    return Difference(
        "differs",
        thing.subject,
        f"{thing.subject} {how}",
        "Change it there as on classic (migrator schema adopt does where it can), or "
        + _ACCEPT.format(subject=thing.subject),
        # Limitless refuses rows with a value that its type lacks; a sequence would hand out other numbers.
        loses_rows=thing.sort in ("type", "sequence"),
    )
