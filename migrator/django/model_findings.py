"""What of a project's models would not work on Limitless, or otherwise than on classic. Pure.

The audit judges the database itself (docs/audit.md); this names models and fields, before any server is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from migrator.django.findings import Finding, Severity
from migrator.django.model_facts import Model, Reference

E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741 - the letters of their ids

Path = tuple[tuple[Model, Reference], ...]


def model_findings(models: Sequence[Model], tenant_column: str, reference: Collection[str]) -> list[Finding]:
    """Return everything found, by model.

    Args:
        tenant_column: the column that says whose a row is.
        reference: app labels and models whose tables are copied to every shard, or stay on one.
    """
    by_label = {model.label: model for model in models}
    found = [*_unknown(reference, models)]
    shared = {m.label for m in models if _is_declared(m, reference)}
    owners = _owners(models, tenant_column, shared)
    own = {m.label for m in models if m.label not in shared and (m.column(tenant_column) or m.label in owners)}
    if not own:
        found.append(
            Finding(
                "migrator.M000", E, "models", f"no model has the column {tenant_column}",
                "Say which one has the tenant: --tenant-column, or MIGRATOR['tenant_column'].",
            )
        )  # fmt: skip
        return found
    usual = Counter(c.type for m in models if m.label in own and (c := m.column(tenant_column))).most_common(1)
    for model in models:
        if model.label in shared:
            found += _of_shared(model, own, by_label)
            continue
        path = () if model.label in own else _path(model, own, by_label)
        found += _of_sharded(model, tenant_column, path, owners, usual[0][0] if usual else "")
        if path is not None:
            found += _of_any_sharded(model, owners.get(model.label, tenant_column), path)
    found += _numbers(models)
    return found


def _is_declared(model: Model, reference: Collection[str]) -> bool:
    names = {name.lower() for name in reference}
    return bool({model.label.lower(), model.label.split(".")[0].lower(), model.made_by.lower()} & names)


def _unknown(reference: Collection[str], models: Sequence[Model]) -> Iterator[Finding]:
    known = {m.label.lower() for m in models} | {m.label.split(".")[0].lower() for m in models}
    for name in sorted(reference):
        if name.lower() not in known:
            yield Finding(
                "migrator.M001", E, name, "there is no such app or model with a table",
                "Correct MIGRATOR['reference'], or --reference.",
            )  # fmt: skip


def _owners(models: Sequence[Model], tenant_column: str, shared: Collection[str]) -> dict[str, str]:
    """Return the models whose rows are the tenants, with their key: what tenant columns refer to."""
    found = {
        reference.to: reference.to_column
        for model in models
        if model.label not in shared
        for reference in model.references
        if reference.column == tenant_column and reference.to not in shared
    }
    return {label: column for label, column in found.items() if label in {m.label for m in models}}


def _path(model: Model, own: Collection[str], by_label: Mapping[str, Model]) -> Path | None:
    """Return the shortest way to a model that has the tenant, through foreign keys that are never NULL."""
    ways: list[tuple[Model, Path]] = [(model, ())]
    seen = {model.label}
    while ways:
        at, path = ways.pop(0)
        for reference in at.references:
            other = by_label.get(reference.to)
            if reference.null or not reference.constrained or other is None or other.label in seen:
                continue
            if other.label in own:
                return (*path, (at, reference))
            seen.add(other.label)
            ways.append((other, (*path, (at, reference))))
    return None


def _of_sharded(
    model: Model, tenant_column: str, path: Path | None, owners: Mapping[str, str], usual: str
) -> Iterator[Finding]:
    if path is None:
        yield Finding(
            "migrator.M002", E, model.label,
            f"it has no {tenant_column}, and no foreign key that is never NULL leads to one",
            "Give it the tenant's column; or name it in MIGRATOR['reference'], and its `kind` in the plan.",
        )  # fmt: skip
    elif path:
        via = " -> ".join((*(f"{m.label}.{r.column}" for m, r in path), path[-1][1].to))
        made = " It is the table between both sides of a many-to-many field." if model.made_by else ""
        yield Finding(
            "migrator.M003", W, model.label,
            f"its tenant is that of {via}; on Limitless its table has {tenant_column} NOT NULL, which INSERT has to "
            f"name once the migration is over.{made}",
            "Give the model the column before the decommission"
            + ("; name a model of your own with `through`." if model.made_by else "."),
        )  # fmt: skip
    column = model.column(tenant_column)
    if column is not None and column.null:
        yield Finding(
            "migrator.M004", W, model.label, f"{tenant_column} may be NULL: such rows belong to no tenant",
            "Give every row its tenant, then set null=False.",
        )  # fmt: skip
    if column is not None and usual and _plain(column.type) != _plain(usual):
        yield Finding(
            "migrator.M005", E, model.label, f"{tenant_column} is {column.type}, in other tables it is {usual}",
            "Give it the same type everywhere.",
        )  # fmt: skip
    for reference in model.references:
        if reference.column == tenant_column and reference.changes:
            yield Finding(
                "migrator.M006", E, model.label,
                f"on_delete={reference.changes} changes {tenant_column}, which Limitless never updates",
                "Use CASCADE, PROTECT or RESTRICT.",
            )  # fmt: skip


def _plain(kind: str) -> str:
    return {"serial": "integer", "bigserial": "bigint"}.get(kind, kind)


def _of_any_sharded(model: Model, tenant_column: str, path: Path) -> Iterator[Finding]:
    first = path[0][1].column if path else ""
    for unique in model.uniques:
        columns = set(unique.columns)
        decides = tenant_column in columns or columns >= set(model.key) or (first and first in columns)
        if not unique.plain:
            yield Finding(
                "migrator.M007", W, model.label,
                f"unique key {unique.name} has a condition or an expression; there it needs {tenant_column} as well",
                "Try it on Limitless; it must hold the plain tenant column.",
            )  # fmt: skip
        elif not decides:
            yield Finding(
                "migrator.M008", E, model.label,
                f"unique key {unique.name} lacks the tenant: it is unique per tenant there",
                f"Add {tenant_column} to it; or accept that, and name it in the plan's gates.acknowledged.",
            )  # fmt: skip
    for name in model.exclusions:
        yield Finding(
            "migrator.M009", E, model.label, f"exclusion constraint {name}: there are none on Limitless",
            "Check it in the application, or lock a row.",
        )  # fmt: skip
    for column in model.columns:
        if column.by_side:
            yield Finding(
                "migrator.M010", E, model.label,
                f"{column.name} is of type {column.type}, whose number differs by side",
                "Use jsonb for hstore, and a collation or UPPER() for citext.",
            )  # fmt: skip
        if column.generated:
            yield Finding(
                "migrator.M011", W, model.label, f"{column.name} is generated, which is not documented for Limitless",
                "Compute it in the application, or try it there.",
            )  # fmt: skip


def _of_shared(model: Model, own: Collection[str], by_label: Mapping[str, Model]) -> Iterator[Finding]:
    for reference in model.references:
        if reference.constrained and reference.to in own:
            yield Finding(
                "migrator.M012", E, model.label,
                f"a reference table cannot refer to {reference.to}, whose rows are spread by tenant",
                "Set db_constraint=False on its field, or give this model the tenant's column.",
            )  # fmt: skip


def _numbers(models: Sequence[Model]) -> Iterator[Finding]:
    numbered = [m for m in models if any(c.auto for c in m.columns)]
    if numbered:
        yield Finding(
            "migrator.I003", I, f"{len(numbered)} models",
            "number their rows: identity columns become sequences on Limitless, whose numbers are unique, but neither "
            "in order nor without gaps",
            "Nothing to do for keys; do not page or sort by them across sessions.",
        )  # fmt: skip
    for model in numbered:
        narrow = [c.name for c in model.columns if c.auto and c.type.split()[0] in ("integer", "serial", "smallint")]
        if narrow:
            yield Finding(
                "migrator.M013", W, model.label,
                f"{narrow[0]} is no bigint: on Limitless each router takes 500000 numbers of its sequence at once",
                "Use BigAutoField.",
            )  # fmt: skip
        ordered = [c.name for c in model.columns if c.auto and c.name in model.ordering]
        if ordered:
            yield Finding(
                "migrator.M014", W, model.label,
                f"Meta orders rows by {ordered[0]}, which does not follow the time of their making on Limitless",
                "Order by a timestamp, then by the key.",
            )  # fmt: skip
