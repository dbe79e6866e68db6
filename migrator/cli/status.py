"""The command that shows the migration's state, what is blocked and what to do next."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.from_dossier import DossierOption, announced, from_dossier, gone, instead_of_classic, said
from migrator.cli.from_dossier import as_json as dossier_as_json
from migrator.cli.options import EveryOption, JsonOption, PlanOption
from migrator.cli.render import emit_json, note, out
from migrator.errors import UsageError

if TYPE_CHECKING:
    from migrator.dossier.read import Dossier
    from migrator.model.status import Status


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator status --watch")(status)


def status(
    plan: PlanOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep it on the screen; in a pipe, a line per change.")
    ] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two reads with --watch.")] = 1.0,
    everything: EveryOption = False,
    dossier: DossierOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show phase, wave, tenants, lag, validation, breaker, what is blocked and what to do next.

    Reads classic alone: it works when Temporal or Limitless is unreachable. Once classic is retired, the final dossier
    answers: that of --dossier, or the one that the plan or this machine's home knows.
    """
    from migrator.cli.context import classic
    from migrator.cli.status_view import print_once
    from migrator.control.status import collect

    if dossier is not None:
        if watch:
            raise UsageError("a dossier does not change, so there is nothing to watch", hint="Leave out --watch.")
        with from_dossier(dossier, plan) as kept:
            _from(kept, everything=everything, as_json=as_json)
        return
    if watch:
        if sys.stdout.isatty() and not as_json:
            _redraw(plan, every_s)
        else:
            _follow(plan, every_s, as_json=as_json)
        return
    try:
        with classic(plan, statement_timeout_s=10, any_version=True) as conn:
            found = collect(conn)
    except Exception as error:
        if not gone(error):
            raise
        with instead_of_classic(plan, error) as kept:
            _from(kept, everything=everything, as_json=as_json)
        return
    if as_json:
        emit_json(found)
    else:
        print_once(found, everything=everything)


def _from(dossier: Dossier, *, everything: bool, as_json: bool) -> None:
    """Show the status as a dossier has it."""
    from migrator.cli.status_view import print_once
    from migrator.model.shown import plain

    announced(dossier)
    found = dossier.facts.status
    if as_json:
        emit_json({**plain(found), "dossier": dossier_as_json(dossier)})
    else:
        out(said(dossier))
        print_once(found, everything=everything)


@contextlib.contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C was pressed, which raises KeyboardInterrupt as well: one that falls into a destructor is
    printed by Python and gone."""
    pressed: list[int] = []

    def press(number: int, _: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _looks(plan: Path | None, every_s: float, ended: Callable[[], bool]) -> Iterator[Status | Exception]:
    """Yield the status again and again until *ended*; where classic does not answer, why not."""
    import psycopg

    from migrator.cli.context import classic
    from migrator.control.status import collect
    from migrator.errors import ClusterUnavailable

    while not ended():
        try:
            with classic(plan, statement_timeout_s=10, any_version=True) as conn:
                while not ended():
                    yield collect(conn)
                    time.sleep(every_s)
        except (ClusterUnavailable, psycopg.Error) as error:
            yield error
            time.sleep(every_s)


def _redraw(plan: Path | None, every_s: float) -> None:
    """Redraw until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    from migrator.cli.status_view import render, unreachable

    screen = Console(highlight=False)
    last = None
    try:
        with _until_interrupted() as ended, Live(console=screen, screen=screen.is_terminal, auto_refresh=False) as live:
            for found in _looks(plan, every_s, ended):
                if isinstance(found, Exception):
                    live.update(unreachable(last, found), refresh=True)
                else:
                    last = found
                    live.update(render(found, screen), refresh=True)
    except KeyboardInterrupt:
        note("The migration goes on; only this view ended.")


def _follow(plan: Path | None, every_s: float, *, as_json: bool) -> None:
    """Print a line for each change until Ctrl-C, or until its reader has gone."""
    from migrator.cli.status_view import why
    from migrator.cli.watching import Printer

    printer = Printer(as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt), _until_interrupted() as ended:
        for found in _looks(plan, every_s, ended):
            if isinstance(found, Exception):
                printer.unreachable(why(found))
            else:
                printer.seen(found)
