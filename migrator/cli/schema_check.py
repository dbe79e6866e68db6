"""The command that says, for a pull request, what of its migrations `schema apply` would refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import BookkeepingOption, JsonOption, PlanOption, ScriptsArgument, StdinOption
from migrator.cli.render import emit_json, note, out
from migrator.cli.schema_scripts import read_scripts

if TYPE_CHECKING:
    from migrator.scripts.migration import Migration, Problem


_RULES = {
    "unreadable": "PostgreSQL cannot read it",
    "refused": "It is not possible while tables are being migrated",
}


def register(group: typer.Typer) -> None:
    group.command(name="check", epilog="Example: migrator schema check db/migrations/V7__note.sql --sarif check.sarif")(
        check_command
    )


def check_command(
    paths: ScriptsArgument = None,
    from_stdin: StdinOption = False,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Try on both servers what is not done there yet, in transactions rolled back."),
    ] = False,
    sarif_file: Annotated[Path | None, typer.Option("--sarif", help="Write what is refused as SARIF 2.1.0.")] = None,
    tool_tables: BookkeepingOption = None,
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `schema apply` would refuse, and why, with line and column; changes nothing.

    Without --connect no server is asked: every table that a file names counts as migrated, or the plan file says.
    Ends with 3 when something is refused.
    """
    tables = tuple(tool_tables or ())
    migrations = read_scripts(paths or [], from_stdin, tables)
    if connect:
        checked, refused = _on_servers(migrations, tables, plan)
    else:
        checked, refused = [m.name for m in migrations], _by_text(migrations, plan)
    if sarif_file is not None:
        sarif_file.write_text(json.dumps(_sarif(refused), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        note(f"{sarif_file} written")
    if as_json:
        emit_json({"checked": checked, "refused": [_as_json(problem) for problem in refused]})
    else:
        out(*(map(str, refused) if refused else [f"{len(checked)} checked: nothing is refused."]))
    if refused:
        raise typer.Exit(ExitCode.NO_GO)


def _by_text(migrations: Sequence[Migration], plan: Path | None) -> list[Problem]:
    """Return what is refused whatever the servers hold."""
    from migrator import settings
    from migrator.dataplane.change.refusals import assumed, refusals
    from migrator.plan.load import load

    path = plan or settings.plan_path()
    if path is None:
        return refusals(migrations, *assumed(migrations))
    tables = load(path).tables
    left_out = {name for name, entry in tables.table.items() if entry.kind == "excluded"}
    return refusals(migrations, *assumed(migrations, tables.schemas, left_out))


def _on_servers(
    migrations: Sequence[Migration], tables: Sequence[str], plan: Path | None
) -> tuple[list[str], list[Problem]]:
    """Return the migrations that are not done, and what both servers refuse of them too."""
    from migrator.cli.context import both, classic, find_plan, require_installed
    from migrator.dataplane.change.migrations import look, pending_of, problems_of
    from migrator.dataplane.change.progress import Work

    found = find_plan(plan)
    with both(found) as (one, other), classic(plan, statement_timeout_s=None) as turns:
        require_installed(one)
        work = Work(found, one, other, turns, "schema check", tell=note)
        states, history = look(work, migrations, tables)
        problems = problems_of(work, states, history, tables, together=True)
        return [m.name for m in pending_of(states)], problems


def _as_json(problem: Problem) -> dict[str, Any]:
    where = problem.place
    return {"file": where.path, "line": where.line, "column": where.column, "rule": _rule(problem), "why": problem.text}


def _rule(problem: Problem) -> str:
    """Return the rule of Limitless that a problem is about, or the sort of problem it is."""
    unreadable = problem.text.startswith("PostgreSQL cannot read it")
    return problem.rule or ("unreadable" if unreadable else "refused")


def _sarif(problems: Sequence[Problem]) -> dict[str, Any]:
    from migrator.audit.report.sarif import document

    used = sorted({_rule(p) for p in problems})
    rules = [
        {"id": rule, "shortDescription": {"text": _RULES.get(rule, f"Limitless refuses it ({rule})")}} for rule in used
    ]
    return document("migrator schema check", rules, [_result(p, used.index(_rule(p))) for p in problems])


def _result(problem: Problem, rule_index: int) -> dict[str, Any]:
    where = problem.place
    region = {"startLine": where.line, "startColumn": where.column}
    place = {"physicalLocation": {"artifactLocation": {"uri": quote(where.path)}, "region": region}}
    return {
        "ruleId": _rule(problem),
        "ruleIndex": rule_index,
        "level": "error",
        "message": {"text": problem.text},
        "locations": [place],
    }
