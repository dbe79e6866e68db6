"""The command that checks what a migration needs, and says what to do."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import emit_json, out

if TYPE_CHECKING:
    from migrator.doctor.finding import Answer, Diagnosis, Level

WIDTH = 100
INDENT = " " * 9


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator doctor --plan plan.toml --only rights --only clocks")(doctor)


def doctor(
    plan: PlanOption = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GROUP", help="One group of checks; may be repeated.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Leave out what is as it should be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check rights, settings, versions, reachability, clocks, replicas, Temporal, workers and AWS; say what to do.

    It reads and changes nothing, also before anything is installed. Every server is asked at the same time, and none is
    waited for longer than some seconds, so it answers while one of them is lost.
    """
    from migrator.doctor import ask, check, targets
    from migrator.doctor.finding import Level

    checks = check.chosen(check.every(), only or ())
    found = ask.diagnose(targets.find(plan), checks, _openers())
    if as_json:
        emit_json(_body(found))
    else:
        out(*_lines(found, quiet=quiet))
    if found.nothing_asked:
        raise typer.Exit(ExitCode.TRY_AGAIN)
    if found.count(Level.PROBLEM):
        raise typer.Exit(ExitCode.NO_GO)


def _openers() -> dict[Any, Any]:
    """How servers other than PostgreSQL are opened; their libraries are loaded only when one is asked."""
    from migrator.doctor.aws import Aws
    from migrator.doctor.facts import Kind

    def temporal(plan: Any) -> Any:
        from workflows.look import TemporalLook

        return TemporalLook(plan)

    return {Kind.TEMPORAL: temporal, Kind.AWS: Aws}


def _body(found: Diagnosis) -> dict[str, Any]:
    from migrator.doctor.finding import Level

    return {
        "counts": {level.value.replace(" ", "_"): found.count(level) for level in Level},
        "servers": found.servers,
        "asked": found.asked,
        "seconds": round(found.seconds, 3),
        "findings": [
            {
                "group": answer.group,
                "check": answer.check,
                "level": answer.finding.level.value,
                "subject": answer.finding.subject,
                "text": answer.finding.text,
                "why": answer.finding.why,
                "do": answer.finding.do,
            }
            for answer in found.answers
        ],
    }


def _lines(found: Diagnosis, *, quiet: bool) -> Iterator[str]:
    from migrator.doctor.finding import Level

    calm = (Level.OK, Level.NOT_APPLICABLE)
    shown = [answer for answer in found.answers if not (quiet and answer.finding.level in calm)]
    for group in dict.fromkeys(answer.group for answer in shown):
        yield group
        for answer in shown:
            if answer.group == group:
                yield from _finding(answer)
    if shown:
        yield ""
    counts = [_count(found, level) for level in Level if found.count(level) and level is not Level.NOT_APPLICABLE]
    answered = f"; {found.asked} of {found.servers} servers answered" if found.servers else ""
    yield f"doctor: {', '.join(counts) or 'nothing to say'}{answered}, in {found.seconds:.1f} s"


def _count(found: Diagnosis, level: Level) -> str:
    n = found.count(level)
    word = level.value if level.value in ("ok", "unknown") or n == 1 else f"{level.value}s"
    return f"{n} {word}"


MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "unknown": "unknown", "not applicable": "-"}


def _finding(answer: Answer) -> Iterator[str]:
    finding = answer.finding
    yield from _folded(f"{MARKS[finding.level.value]:7}  ", f"{finding.subject}: {finding.text}")
    if finding.why:
        yield from _folded(INDENT, f"because {finding.why}")
    if finding.do:
        yield from _folded(INDENT, f"do: {finding.do}")


def _folded(first: str, text: str) -> Sequence[str]:
    """Return *text* in lines of the terminal's width; in a pipe one line. Names may hold anything, also newlines."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if not sys.stdout.isatty():
        return [f"  {first}{clean}"]
    width = min(shutil.get_terminal_size().columns, WIDTH) - 2
    wrapped = textwrap.wrap(
        clean, width, initial_indent=first, subsequent_indent=INDENT, break_on_hyphens=False, replace_whitespace=False
    )
    return [f"  {line}" for line in wrapped]
