"""The command that looks before a leap: who else uses classic, versions, and what AWS says of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.progress import progress
from migrator.cli.render import emit_json, out

if TYPE_CHECKING:
    from migrator.preflight.facts import Stage
    from migrator.preflight.judge import PreflightFinding


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator preflight --before end")(preflight)


def preflight(
    before: Annotated[
        str, typer.Option("--before", metavar="STAGE", help="What is about to begin: dual-write or end.")
    ] = "end",
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who else uses classic, and whether versions, AWS and rights allow to go on. Changes nothing.

    The gates before dual write and before the decommission ask the same. Needs the tool's tables on classic, where
    workers store whom they saw.
    """
    from migrator.cli.context import classic, find_plan, limitless, require_installed
    from migrator.errors import ClusterUnavailable
    from migrator.preflight.look import look

    stage = _stage(before)
    found_plan = find_plan(plan)
    with classic(plan) as conn:
        require_installed(conn)
        with progress("Looking at both sides and AWS", silent=as_json):
            try:
                with limitless(found_plan) as other:
                    found = look(conn, other, found_plan)
            except ClusterUnavailable:
                found = look(conn, None, found_plan)
    blocking = [one for one in found if one.blocks(stage)]
    if as_json:
        emit_json(
            {
                "go": not blocking,
                "asked_by_gates": found_plan.asks_preflight,
                "findings": [_body(one, stage) for one in found],
            }
        )
    else:
        out(*_lines(found, stage))
        if not found_plan.asks_preflight:
            out("The gates do not ask: preflight.gate of the plan, or its [rehearsal], says so.")
    if blocking:
        raise typer.Exit(ExitCode.NO_GO)


def _stage(text: str) -> Stage:
    from migrator.errors import UsageError
    from migrator.model.near import unknown
    from migrator.preflight.facts import Stage

    name = text.replace("-", "_")
    if name not in set(Stage):
        raise UsageError(unknown("stage", [text], ["dual-write", "end"]), hint="Stages: dual-write, end.")
    return Stage(name)


def _body(one: PreflightFinding, stage: Stage) -> dict[str, object]:
    return {
        "code": one.code,
        "subject": one.subject,
        "name": one.name,
        "text": one.text,
        "do": one.do,
        "blocks": one.blocks(stage),
        "stages": sorted(one.stages),
        "acknowledged": one.acknowledged,
    }


def _lines(found: tuple[PreflightFinding, ...], stage: Stage) -> list[str]:
    from migrator.model.counted import counted

    lines = []
    for one in found:
        mark = (
            "PROBLEM "
            if one.blocks(stage)
            else "accepted"
            if one.acknowledged
            else "later   "
            if one.stages
            else "        "
        )
        lines.append(f"{mark}  {one.text}")
        if one.blocks(stage):
            lines.append(f"          do: {one.do}; or acknowledge {one.name}")
    blocking = sum(one.blocks(stage) for one in found)
    lines.append(f"No-go: {counted(blocking, 'problem')}." if blocking else "Go.")
    return lines


def _mark(one: PreflightFinding, stage: Stage) -> str:
    if one.blocks(stage):
        return "PROBLEM"
    if one.acknowledged:
        return "accepted"
    return "later" if one.stages else ""
