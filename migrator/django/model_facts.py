"""What is known of a project's models, as values: read from Django's registry, judged in model_findings.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column. type: as the database has it. auto: Django numbers it (AutoField and its kin)."""

    name: str
    type: str
    null: bool = False
    auto: bool = False
    generated: bool = False
    by_side: bool = False  # of a type whose number differs between servers: hstore, citext


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique key besides the primary one. plain: columns alone, without a condition or an expression."""

    name: str
    columns: tuple[str, ...]
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key. keeps: what Django does to this row's column when the other row is deleted, if it changes it."""

    column: str
    to: str  # label of the model
    to_column: str
    null: bool = False
    unique: bool = False
    constrained: bool = True
    changes: str = ""  # SET_NULL, SET_DEFAULT or SET


@dataclass(frozen=True, slots=True)
class Model:
    """One table. ordering: columns by which rows are ordered by default. made_by: of a table between two, its field."""

    label: str
    table: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    uniques: tuple[Unique, ...] = ()
    references: tuple[Reference, ...] = ()
    exclusions: tuple[str, ...] = ()
    ordering: tuple[str, ...] = ()
    made_by: str = ""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def models_of(apps: Any, connection: Any, allows: Any = lambda model: True) -> list[Model]:
    """Return the models with a table that *allows*, those between many-to-many relations included, by label."""
    found = (m for m in apps.get_models(include_auto_created=True) if not (m._meta.proxy or m._meta.swapped))
    return sorted((_facts(model, connection) for model in found if allows(model)), key=lambda m: m.label)


def _facts(model: Any, connection: Any) -> Model:
    meta = model._meta
    fields = [field for field in meta.local_concrete_fields if field.column is not None]
    constraints = list(meta.constraints)
    return Model(
        label=meta.label,
        table=meta.db_table,
        key=_key(meta),
        columns=tuple(_column(field, connection) for field in fields),
        uniques=tuple(_uniques(meta, fields, constraints)),
        references=tuple(_references(fields)),
        exclusions=tuple(c.name for c in constraints if type(c).__name__ == "ExclusionConstraint"),
        ordering=tuple(_ordering(meta)),
        made_by=meta.auto_created._meta.label if meta.auto_created else "",
    )


def _key(meta: Any) -> tuple[str, ...]:
    parts = getattr(meta, "pk_fields", None) or [meta.pk]  # several: CompositePrimaryKey of Django 5.2
    return tuple(field.column for field in parts)


def _column(field: Any, connection: Any) -> Column:
    kind = field.get_internal_type()
    return Column(
        field.column,
        str(field.db_type(connection) or ""),
        null=field.null,
        auto=kind.endswith("AutoField"),
        generated=bool(getattr(field, "generated", False)),
        by_side=kind.startswith(("HStore", "CI")),
    )


def _uniques(meta: Any, fields: list[Any], constraints: list[Any]) -> Iterator[Unique]:
    def columns(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(meta.get_field(name).column for name in names)

    for field in fields:
        if field.unique and not field.primary_key:
            yield Unique(field.name, (field.column,))
    for together in meta.unique_together:
        yield Unique(", ".join(together), columns(together))
    for constraint in constraints:
        if type(constraint).__name__ == "UniqueConstraint":
            plain = not constraint.expressions and constraint.condition is None
            yield Unique(constraint.name, columns(constraint.fields), plain)


def _references(fields: list[Any]) -> Iterator[Reference]:
    for field in fields:
        if not field.is_relation or field.related_model is None:
            continue
        deletes = getattr(field.remote_field.on_delete, "__name__", "")
        yield Reference(
            field.column,
            field.related_model._meta.label,
            field.target_field.column,
            null=field.null,
            unique=field.unique,
            constrained=getattr(field, "db_constraint", True),
            changes=deletes.upper() if deletes.upper().startswith("SET") else "",
        )


def _ordering(meta: Any) -> Iterator[str]:
    latest = meta.get_latest_by or ()
    for name in (*meta.ordering, *((latest,) if isinstance(latest, str) else latest)):
        plain = name.lstrip("-") if isinstance(name, str) else ""
        if plain == "pk":
            yield from _key(meta)
        elif plain and "__" not in plain:
            try:
                yield meta.get_field(plain).column
            except Exception:
                continue
