"""Answers from a dossier where classic is gone: which one, whether it may be believed, and how that is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.render import note
from migrator.errors import ClusterUnavailable, MigratorError, UsageError

if TYPE_CHECKING:
    from migrator.dossier.place import Place
    from migrator.dossier.read import Dossier
    from migrator.plan.schema import Plan

DossierOption = Annotated[
    str | None,
    typer.Option("--dossier", help="Answer from this dossier, a path or s3://bucket/name, in the place of classic."),
]


@contextmanager
def from_dossier(name: str, plan: Path | None) -> Iterator[Dossier]:
    """Open the dossier that was named.

    Raises:
        NoGo: it was altered, or is signed by another key than this place knows.
    """
    from migrator.dossier.places import place
    from migrator.dossier.read import opened

    with opened(place(name), fingerprints=trusted_keys(plan)) as dossier:
        yield dossier


@contextmanager
def instead_of_classic(plan: Path | None, error: Exception) -> Iterator[Dossier]:
    """Open the final dossier of the plan's migration, since classic did not answer with *error*.

    Raises:
        Exception: *error*, where no final dossier is known here: then classic is an outage, and not gone.
    """
    from migrator.dossier.read import opened

    for where in _finals(plan):
        try:
            with opened(where, fingerprints=trusted_keys(plan)) as dossier:
                if dossier.contents.final:
                    yield dossier
                    return
        except (UsageError, ClusterUnavailable):
            continue  # there is none, or it cannot be read from here
    raise error


def gone(error: Exception) -> bool:
    """Return whether *error* says that classic does not answer, or that it is not even known where it is."""
    import psycopg

    return isinstance(error, ClusterUnavailable | UsageError | psycopg.OperationalError)


def said(dossier: Dossier) -> str:
    """Return where an answer comes from, in one line."""
    contents = dossier.contents
    at = f"{contents.created_at:%Y-%m-%d %H:%M} UTC"
    if contents.final:
        return f"From the dossier of {at}, {dossier.name}; classic is retired."
    return f"From the interim dossier of {at}, {dossier.name}; the migration may have gone on since."


def doubts(dossier: Dossier) -> list[str]:
    """Return why a dossier should not simply be believed."""
    contents, found = dossier.contents, dossier.examined
    lines = []
    if contents.key is None:
        lines.append("This dossier is NOT SIGNED: nothing proves who wrote it.")
    elif not found.trusted:
        lines.append(f"Signed by {contents.key.fingerprint}, and nothing here says whose key that is: compare it.")
    lines += [f"The decision log was broken when this was written: {fault.line}" for fault in found.faults[:1]]
    return lines


def announced(dossier: Dossier) -> None:
    """Say on stderr what is doubtful about a dossier that is answered from."""
    note(*doubts(dossier))


def as_json(dossier: Dossier) -> dict[str, Any]:
    """Return where an answer comes from, for --json."""
    contents = dossier.contents
    return {
        "place": dossier.name,
        "created_at": contents.created_at,
        "kind": contents.kind,
        "digest": dossier.examined.digest,
        "signed": contents.key is not None,
        "trusted": dossier.examined.trusted,
    }


def trusted_keys(plan: Path | None) -> dict[str, str]:
    """Return the keys that this place trusts to sign, and why: the plan's, else those that signed here before."""
    from migrator import settings
    from migrator.dossier import known

    found = _plan(plan)
    if found is not None and found.decommission.dossier_fingerprint:
        return {found.decommission.dossier_fingerprint: "the plan names"}
    return known.fingerprints(settings.home())


def _plan(option: Path | None) -> Plan | None:
    """Return the plan of --plan or MIGRATOR_PLAN; never the one on classic, which does not answer."""
    from migrator import settings
    from migrator.plan.load import load

    path = option or settings.plan_path()
    try:
        return load(path) if path is not None else None
    except (MigratorError, OSError):
        return None


def _finals(option: Path | None) -> Iterator[Place]:
    """Yield where a final dossier may lie, the likeliest first."""
    from migrator import settings
    from migrator.dossier import known
    from migrator.dossier.places import place

    plan, home = _plan(option), settings.home()
    if plan is None and (option or settings.plan_path()):
        return  # a plan was named, and cannot be read: none stands in for it
    written = [one for one in known.dossiers(home) if one.kind == "final"]
    names = {one.plan for one in written}
    if plan is None and len(names) > 1:
        return  # of which migration is not said
    seen: set[str] = set()
    for one in written:
        if (plan is None or one.plan == plan.name) and one.place not in seen:
            seen.add(one.place)
            yield place(one.place)
    if plan is not None:
        base = place(plan.decommission.dossier or f"{home}/dossiers/", plan=plan.name)
        if base.name not in seen:
            yield base
