"""The command that tries a client in any language: which promises of the contract in SQL it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import JsonOption
from migrator.contract.promise import Promise

if TYPE_CHECKING:
    from migrator.contract.promise import Finding


class Rights(StrEnum):
    """What the client's role on classic may do."""

    CLIENT = "client"
    APPLICATION = "application"


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: migrator conformance --command "node client.js"')(conformance)


def conformance(
    command: Annotated[
        str, typer.Option("--command", metavar="COMMAND", help="Starts the client, which speaks JSON lines.")
    ],
    promise: Annotated[
        list[Promise] | None,
        typer.Option("--promise", metavar="NAME", help="Only this promise; may be given again."),
    ] = None,
    classic: Annotated[
        str | None, typer.Option("--classic", metavar="REF", help="An empty database in classic's place: env:NAME, …")
    ] = None,
    limitless: Annotated[
        str | None, typer.Option("--limitless", metavar="REF", help="An empty database in Limitless's place.")
    ] = None,
    rights: Annotated[
        Rights, typer.Option("--for", help="The rights of its role: the contract's functions, or all that shims need.")
    ] = Rights.CLIENT,
    as_json: JsonOption = False,
) -> None:
    """Try a client of the contract in SQL: which promises it keeps while routes change and servers freeze.

    On scratch servers that it starts and removes, or in two empty databases that you name. The client is a program that
    answers one JSON object a line; docs/contract.md says which. Exit code 0 only if every promise was kept.
    """
    from migrator import settings
    from migrator.cli.exits import ExitCode
    from migrator.cli.progress import progress
    from migrator.cli.render import emit_json
    from migrator.contract.client import words
    from migrator.contract.promise import all_kept, to_json
    from migrator.contract.run import conformance as run
    from migrator.errors import UsageError
    from migrator.model.counted import counted

    if (classic is None) != (limitless is None):
        raise UsageError(
            "only one of --classic and --limitless was given",
            hint="Give both, or neither: then scratch servers are started.",
        )
    words(command)
    wanted = list(dict.fromkeys(promise or Promise))
    given = None if classic is None or limitless is None else (settings.resolve(classic), settings.resolve(limitless))
    what = f"Trying {counted(len(wanted), 'promise')}"
    with _servers(given) as dsns, progress(what, silent=as_json):
        found = run(command, *dsns, wanted, application=rights is Rights.APPLICATION)
    if as_json:
        emit_json(to_json(found))
    else:
        _show(found)
    if not all_kept(found):
        raise typer.Exit(ExitCode.NO_GO)


@contextmanager
def _servers(given: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
    """Give the connection strings of two empty databases."""
    if given is not None:
        yield given
        return
    from migrator import settings
    from migrator.local import stack

    home = settings.home() / "conformance"
    stack.destroy(home)  # of a run that was killed
    try:
        made = stack.up(home, temporal=False)
        yield made.classic_dsn, made.limitless_dsn
    finally:
        stack.destroy(home)


def _show(found: list[Finding]) -> None:
    from migrator.cli.render import duration, out
    from migrator.contract.promise import TEXT, all_kept
    from migrator.model.counted import counted

    for finding in found:
        out(f"{finding.promise.value}: {finding.word}, after {duration(finding.seconds)}", f"  {TEXT[finding.promise]}")
        out(*(f"  - {line}" for line in finding.evidence))
    count = sum(finding.kept is True for finding in found)
    whole = counted(len(found), "promise")
    out(f"All kept: {whole}." if all_kept(found) else f"Not all kept: {count} of {whole}.")
