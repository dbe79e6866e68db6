"""The command that lists who still uses classic: by role, application and address, with its kind and its share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, out, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrator.control.sighting import Watched
    from migrator.preflight.readers import Reader


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator readers --left")(readers)


def readers(
    only_left: Annotated[
        bool,
        typer.Option("--left", help="Only those that the decommission waits for: no shims, seen within quiet_days."),
    ] = False,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who uses classic beside this tool: shims, BI, reports, jobs, people, other programs. Changes nothing.

    Workers look at the sessions of classic's writer and readers and keep whom they saw. The decommission waits until
    each that goes past the shim was quiet for preflight.quiet_days. See docs/reports-and-bi.md.
    """
    from migrator.cli.context import classic
    from migrator.control import sighting
    from migrator.control.install import active_plan
    from migrator.model.counted import counted
    from migrator.plan.load import from_earlier
    from migrator.preflight.look import servers
    from migrator.preflight.readers import left
    from migrator.preflight.readers import readers as listed

    with classic(plan) as conn:
        stored = from_earlier(active_plan(conn))
        quiet = stored.preflight.quiet_days
        found = listed(sighting.seen(conn), sighting.process_names(conn), quiet)
        watched = sighting.watched(conn, quiet * 86_400)
    unwatched = sorted(set(servers(stored)) - {line.server for line in watched})
    number = left(found)
    shown = tuple(one for one in found if one.left or not only_left)
    if as_json:
        emit_json(
            {
                "left": number,
                "quiet_days": quiet,
                "watched": [{"server": line.server, "since": line.since, "last_s": line.last_s} for line in watched],
                "unwatched": unwatched,
                "readers": shown,
            }
        )
        return
    if shown:
        heads = ["kind", "role", "application", "database", "server", "addresses", "last seen", "share", "left"]
        print_table(heads, [_row(one) for one in shown])
    if not watched:
        out("No worker has looked yet: keep one running (migrator worker).")
    elif unwatched:
        out(f"Not watched so far: {', '.join(unwatched)}. What is used there is not known.")
    elif number:
        who = counted(number, "user of classic goes", "users of classic go")
        out(f"{who} past the shims: the decommission waits until each was quiet for {quiet:g} days.")
    else:
        out(f"No one was seen in {quiet:g} days beside shims and this tool.")
    out(*_gaps(watched, quiet * 86_400))


def _gaps(watched: Sequence[Watched], quiet_s: float) -> Iterator[str]:
    """Yield what the looks do not cover: nothing seen is not nothing there."""
    from migrator.model.shown import duration
    from migrator.preflight.judge import FRESH_S

    for line in watched:
        if line.last_s > FRESH_S:
            ago = duration(line.last_s)
            yield f"The last look at the {line.server} was {ago} ago: who came since is not known (migrator worker)."
        if line.for_s < quiet_s:
            yield f"The {line.server} is watched only since {line.since:%Y-%m-%d %H:%M}: who came before is not known."


def _row(one: Reader) -> tuple[str, ...]:
    addresses = ", ".join(address or "a local socket" for address in one.addresses)
    more = f" and {one.clients - len(one.addresses):,} more" if one.clients > len(one.addresses) else ""
    return (
        one.kind.value, one.role or "(none)", one.application or "(unnamed)", one.database, one.server,
        f"{addresses}{more}", f"{one.last_at:%Y-%m-%d %H:%M}", "" if one.share is None else f"{one.share:.1%}",
        "yes" if one.left else "",
    )  # fmt: skip
