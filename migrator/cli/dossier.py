"""Commands of the dossier: write one, show it, verify it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, ReasonOption, UnaskedOption, WhoOption, who
from migrator.cli.render import announce, emit_json, note, out, print_table
from migrator.errors import NoGo, UsageError

group = typer.Typer(no_args_is_help=True, help="Everything that is evidence, as one signed file that needs no classic.")

FileArgument = Annotated[str, typer.Argument(metavar="DOSSIER", help="A path, or s3://bucket/name.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="Fingerprint of the key that must have signed it, or the file of its public half."),
]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="dossier")


@group.command(epilog="Example: migrator dossier write s3://audit-evidence/interim/")
def write(
    destination: Annotated[
        str | None,
        typer.Argument(metavar="[DOSSIER]", help="Where: a path, or s3://bucket/name. Default: beside the plan's."),
    ] = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    reason: ReasonOption = "on demand",
    dry_run: DryRunOption = False,
    _yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write an interim dossier of the migration as it stands now; nothing that is there is replaced.

    The final one is written by the decommission itself, before anything is done to classic.
    """
    from migrator import settings
    from migrator.cli.context import classic, find_plan, require_installed
    from migrator.cli.progress import progress
    from migrator.dossier import write as writing
    from migrator.model.action import Action

    found = find_plan(plan)
    wanted = writing.order(found, settings.home(), to=destination)
    if dry_run:
        by = f"signed by {wanted.key.line.fingerprint}" if wanted.key else "NOT signed: decommission.dossier_key"
        where = wanted.where.name if wanted.named else f"a new name beside {wanted.where.name}"
        text = f"Write an interim dossier to {where}, {by}"
        announce([Action("dossier/write", text, "the decision log keeps that it was written")], as_json=as_json)
        return
    with classic(plan, statement_timeout_s=None) as conn:
        require_installed(conn)
        with progress("Writing the dossier", silent=as_json):
            written = writing.write(conn, wanted, settings.home())
        writing.record(conn, written, who(name), reason)
    if as_json:
        emit_json(written)
        return
    contents = written.manifest
    out(f"Written: {written.place}", *(f"  {line}" for line in written.notes))
    out(f"Digest: {written.digest}", f"Decision log: {contents.log.entries:,} entries, head {contents.log.head or '-'}")
    if contents.key is None:
        note("It is NOT SIGNED: nothing proves who wrote it. Name a key: decommission.dossier_key.")
    else:
        out(
            f"Signed by: {contents.key.fingerprint}",
            "Give the auditor this fingerprint by another way than the file.",
        )
    if contents.log.problem:
        note(f"The chain of the decision log is broken, and the dossier says so: {contents.log.problem}")


@group.command(epilog="Example: migrator dossier show shop.dossier --html shop.html")
def show(
    file: FileArgument,
    html: Annotated[Path | None, typer.Option("--html", help="Write the dossier's page to this file.")] = None,
    member: Annotated[str | None, typer.Option("--member", help="Print this file of the dossier as it is.")] = None,
    plan: PlanOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a dossier says: when, by whom, the decision log, what lies in it. An altered one is refused."""
    import sys

    from migrator.cli.from_dossier import announced, doubts, trusted_keys
    from migrator.dossier.manifest import PAGE
    from migrator.dossier.places import place
    from migrator.dossier.read import opened
    from migrator.dossier.signing import wanted_fingerprint
    from migrator.report.standing import stand

    only = wanted_fingerprint(key) if key else None
    with opened(place(file), fingerprints=trusted_keys(plan), only=only) as dossier:
        contents = dossier.contents
        if member is not None:
            for chunk in dossier.chunks(member):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        if html is not None:
            try:
                html.write_bytes(b"".join(dossier.chunks(PAGE)))
            except OSError as error:
                raise UsageError(f"{html} cannot be written: {error.strerror}") from error
            note(f"{html} written")
        standing = stand(dossier.facts)
        if as_json:
            emit_json({**_summary(dossier), "doubts": doubts(dossier), "standing": standing.sentence})
            return
        announced(dossier)
        if html is not None:
            return
        at = f"{contents.created_at:%Y-%m-%d %H:%M} UTC"
        out(f"{contents.kind.capitalize()} dossier of migration {contents.plan}, {at}")
        out(f"{standing.state}. {standing.sentence}")
        out(
            f"Signed by: {contents.key.fingerprint if contents.key else 'not signed'}",
            f"Digest: {dossier.examined.digest}",
            f"Decision log: {contents.log.entries:,} entries, {contents.log.sealed:,} sealed,"
            f" head {contents.log.head or '-'}",
            f"Approvers: {contents.authentication or 'not authenticated'}",
        )
        print_table(("file", "bytes"), [(one.name, one.size) for one in contents.members], right=("bytes",))


def _summary(dossier: Any) -> dict[str, Any]:
    return {"manifest": dossier.contents, "digest": dossier.examined.digest, "trusted": dossier.examined.trusted}


@group.command(epilog="Example: migrator dossier verify shop.dossier --key sha256:1f0c…")
def verify(
    file: FileArgument,
    key: KeyOption = None,
    digest: Annotated[
        str | None, typer.Option("--digest", help="Digest that was noted when it was written; stands for a signature.")
    ] = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a dossier byte by byte, and who signed it; needs no server. Everything that is wrong is named.

    Without --key: the key that the plan names, or that signed earlier dossiers on this machine. A dossier whose author
    nothing vouches for is intact at best, and ends with exit code 3.
    """
    from migrator.cli.from_dossier import trusted_keys
    from migrator.dossier.places import place
    from migrator.dossier.signing import wanted_fingerprint
    from migrator.dossier.verify import examine, report

    only = wanted_fingerprint(key) if key else None
    where = place(file)
    with where.opened() as opened:
        found = examine(opened, fingerprints=trusted_keys(plan), only=only, digest=_digest(digest))
    contents = found.manifest
    lines = [one.line for one in (*found.problems, *found.faults)]
    unvouched = "" if lines or found.trusted or contents is None else _unvouched(contents.key)
    if as_json:
        emit_json({**report(found), "verified": not lines and not unvouched})
        if lines or unvouched:
            raise typer.Exit(ExitCode.NO_GO)
        return
    if lines:
        raise NoGo(f"dossier {where.name}", lines, hint=_HINT_ALTERED)
    assert contents is not None  # else that would be a line
    out(f"Every byte of {where.name} is as it was written: {len(contents.members)} members, {found.entries:,} entries.")
    out(f"Digest: {found.digest}", f"Decision log: head {contents.log.head or '-'}, {contents.log.sealed:,} sealed")
    if unvouched:
        raise NoGo(f"dossier {where.name}", [unvouched], hint=_HINT if contents.key else _HINT_UNSIGNED)
    out(f"Verified: {found.trusted}.")


_HINT_ALTERED = "Look for another copy of it, and for who could write to this one."
_HINT = "Compare that fingerprint with the one you were given, then: --key FINGERPRINT"
_HINT_UNSIGNED = "Compare the digest with the one that was noted when it was written, then: --digest DIGEST"


def _unvouched(key: Any) -> str:
    if key is None:
        return "it is not signed: nothing proves who wrote it"
    return f"it is signed by {key.fingerprint}, and nothing here says whose key that is"


def _digest(text: str | None) -> str | None:
    """Return a digest as a dossier writes it.

    Raises:
        UsageError: it is none.
    """
    import re

    if text is None:
        return None
    found = re.fullmatch(r"(?:sha256:)?([0-9a-f]{64})", text.strip().lower())
    if found is None:
        raise UsageError(f"{text!r} is no digest", hint="Give sha256: and 64 hexadecimal digits.")
    return f"sha256:{found.group(1)}"
