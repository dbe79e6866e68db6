"""Commands of the decision log: newest entries, verification, the head of its chain, a loss that is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.from_dossier import (
    DossierOption,
    announced,
    from_dossier,
    gone,
    instead_of_classic,
    said,
)
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, ReasonOption, WhoOption, YesOption, who
from migrator.cli.progress import progress
from migrator.cli.render import announce, causes, confirm, emit_json, note, out, print_table
from migrator.model.action import Action
from migrator.model.counted import counted

if TYPE_CHECKING:
    from pathlib import Path

    from migrator.control.chain import Anchor, Entry, Verified
    from migrator.dossier.read import Dossier

group = typer.Typer(invoke_without_command=True, help="Show the decision log, verify that it was not altered.")

AnchorOption = Annotated[
    str | None, typer.Option("--anchor", metavar="HASH", help="A head that was written down: it must be in the chain.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="log")


@group.callback(epilog="Example: migrator log --verify --anchor 3f9ab2…")
def log(
    context: typer.Context,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute the chain; exit code 3 if altered.")] = False,
    anchor: AnchorOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show, the newest last.")] = 20,
    plan: PlanOption = None,
    dossier: DossierOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest entries of the decision log, with the role that was logged in; or verify all of it.

    Once classic is retired, the final dossier answers: that of --dossier, or the one that the plan or this machine's
    home knows.
    """
    if context.invoked_subcommand is not None:
        return
    if verify or anchor:
        _verify(plan, anchor, dossier, as_json=as_json)
        return
    from migrator.cli.context import classic, require_installed
    from migrator.control.sealing import newest

    if dossier is not None:
        with from_dossier(dossier, plan) as kept:
            _show(_kept(kept, limit, as_json=as_json), as_json=as_json)
        return
    try:
        with classic(plan) as conn:
            require_installed(conn)
            lines = newest(conn, limit)
    except Exception as error:
        if not gone(error):
            raise
        with instead_of_classic(plan, error) as kept:
            lines = _kept(kept, limit, as_json=as_json)
    _show(lines, as_json=as_json)


def _kept(dossier: Dossier, limit: int, *, as_json: bool) -> list[tuple[Entry, int | None, str | None]]:
    """Return the newest entries as a dossier has them, after saying so."""
    announced(dossier)
    if not as_json:
        out(said(dossier))
    return dossier.newest(limit)


def _show(lines: list[tuple[Entry, int | None, str | None]], *, as_json: bool) -> None:
    if as_json:
        emit_json([{"entry": e, "seal": n, "hash": h} for e, n, h in lines])
        return
    rows = [
        (
            str(n) if n is not None else "-",
            e.at[:19].replace("T", " "),
            e.who,
            e.login or "-",
            e.kind,
            e.subject,
            e.reason,
        )
        for e, n, _ in lines
    ]
    print_table(["seal", "at", "by", "login", "what", "of", "why"], rows)


def _verify(option: Path | None, anchor: str | None, dossier: str | None, *, as_json: bool) -> None:
    from migrator.cli.context import classic, require_installed
    from migrator.control.sealing import verify_log

    held_to, unknown = _anchors(option)
    if anchor is not None:
        held_to = (*held_to, _anchor(anchor))
    if dossier is not None:
        with from_dossier(dossier, option) as kept:
            found = _verified(kept, held_to, as_json=as_json)
    else:
        try:
            with classic(option, statement_timeout_s=None) as conn:
                require_installed(conn)
                with progress("Verifying the decision log", silent=as_json):
                    found = verify_log(conn, held_to)
        except Exception as error:
            if not gone(error):
                raise
            with instead_of_classic(option, error) as kept:
                found = _verified(kept, held_to, as_json=as_json)
    if as_json:
        emit_json({**_described(found), "anchors": len(held_to), "anchors_unknown": unknown})
    else:
        _tell(found, len(held_to), unknown)
    if not found.intact:
        raise typer.Exit(ExitCode.NO_GO)


def _verified(dossier: Dossier, held_to: tuple[Anchor, ...], *, as_json: bool) -> Verified:
    """Recompute the chain of a dossier's log; it ends where the dossier was written, so later anchors are not its."""
    announced(dossier)
    if not as_json:
        out(said(dossier))
    return dossier.verify_log(held_to)


def _anchors(option: Path | None) -> tuple[tuple[Anchor, ...], str]:
    """Return the anchors that Limitless holds, and why they are not known; '' where they are."""
    import psycopg

    from migrator.cli.context import find_plan, limitless
    from migrator.control.sealing import anchors
    from migrator.errors import MigratorError

    try:
        with limitless(find_plan(option)) as conn:
            return tuple(anchors(conn)), ""
    except (MigratorError, psycopg.Error) as error:
        return (), str(error)


def _anchor(text: str) -> Anchor:
    import re

    from migrator.control.chain import Anchor
    from migrator.errors import UsageError

    if not re.fullmatch(r"[0-9a-f]{64}", text.strip().lower()):
        raise UsageError(
            "an anchor is the hash of a seal: 64 hexadecimal digits", hint="migrator log head prints the newest one."
        )
    return Anchor(0, text.strip().lower())


def _described(found: Verified) -> dict[str, object]:
    return {
        "intact": found.intact,
        "sealed": found.sealed,
        "unsealed": found.unsealed,
        "head": found.head,
        "thinned": found.thinned,
        "sealed_at_upgrade": found.at_upgrade,
        "faults": found.faults,
        "fault_count": found.fault_count,
        "accepted": found.accepted,
    }


def _tell(found: Verified, held_to: int, unknown: str) -> None:
    if found.intact:
        sealed = counted(found.sealed, "entry is", "entries are")
        out(f"The decision log is as it was written: {sealed} sealed, head {found.head or '-'}.")
    else:
        out(f"The decision log was altered: {counted(found.fault_count, 'fault')}.")
        out(*causes([f"seal {fault.seq}: {fault.text}" for fault in found.faults], everything=True))
    if unknown:
        note(f"Anchors on Limitless are not known, so its end is not held to any: {unknown}")
    elif not held_to:
        note("No anchor was written down yet: an end that was cut off would not show.")
    if found.thinned:
        note(f"{counted(found.thinned, 'repeated entry', 'repeated entries')} thinned out by age, as the chain says.")
    if found.at_upgrade:
        note(f"{counted(found.at_upgrade, 'entry', 'entries')} sealed at upgrade: as they were then.")
    if found.unsealed:
        note(f"{counted(found.unsealed, 'entry', 'entries')} not sealed yet.")
    for anchor in found.accepted:
        note(f"The loss of anchor {anchor.hash[:16]}… (seal {anchor.seq}) was accepted: see log.restored in the log.")


@group.command(epilog="Example: migrator log head")
def head(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Seal what is committed, and print the head of the chain: the anchor to write down elsewhere."""
    from migrator.cli.context import classic, require_installed
    from migrator.control import sealing

    with classic(plan) as conn:
        require_installed(conn)
        sealing.seal_all(conn)
        found = sealing.head(conn)
    if as_json:
        emit_json({"seal": found.seq, "hash": found.hash})
    else:
        out(f"{found.seq} {found.hash}" if found.seq else "Nothing is sealed yet.")


@group.command(epilog='Example: migrator log accept 3f9ab2… --reason "restored to Sunday 02:00" --as Ada')
def accept(
    anchor: Annotated[str, typer.Argument(metavar="HASH", help="The anchor on Limitless that the log lost.")],
    reason: ReasonOption,
    plan: PlanOption = None,
    name: WhoOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Accept that classic was restored, and the log lost what an anchor on Limitless names. Recorded for good."""
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.control.log import decide
    from migrator.control.sealing import anchors, verify_log
    from migrator.errors import UsageError

    wanted = _anchor(anchor)
    with limitless(find_plan(plan)) as other:
        known = {one.hash: one for one in anchors(other)}
    if wanted.hash not in known:
        raise UsageError(
            "no anchor on Limitless has this hash", hint="Take it from what migrator log --verify --json says."
        )
    lost = known[wanted.hash]
    if dry_run:
        text = f"Accept that the log no longer holds anchor {lost.hash[:16]}… (seal {lost.seq})"
        announce([Action("log/accept", text, None)], as_json=as_json)
        return
    with classic(plan, statement_timeout_s=None) as conn:
        require_installed(conn)
        if verify_log(conn, (lost,)).intact:
            out("The log holds this anchor, or its loss was accepted: nothing to do.")
            return
        confirm(f"Accept that what seal {lost.seq} stood for is lost?", yes=yes)
        after = {"anchor": lost.hash, "seal": lost.seq}
        decide(conn, who(name), "log.restored", "decision log", reason, after=after)
    if as_json:
        emit_json({"accepted": lost.hash, "seal": lost.seq})
    else:
        out(f"Accepted: the log is held to anchors without {lost.hash[:16]}… from now on.")
