"""Commands that check, show and write plan files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from migrator.cli import audit, plan_change, plan_terraform
from migrator.cli.options import EveryOption, JsonOption, NewFileArgument, PlanNameOption, PlanOption
from migrator.cli.progress import progress
from migrator.cli.render import emit_json, out, print_table, raw
from migrator.errors import PlanInvalid, UsageError

group = typer.Typer(no_args_is_help=True, help="Check, show and write plan files.")
Argument = Annotated[
    Path | None, typer.Argument(help="Plan file. Without it: MIGRATOR_PLAN, then the stored plan.", show_default=False)
]


def register(app: typer.Typer) -> None:
    audit.register_plan_init(group)
    plan_change.register(group)
    plan_terraform.register(group)
    app.add_typer(group, name="plan")


@group.command(epilog="Example: migrator plan check plans/demo.toml --connect")
def check(
    path: Argument = None,
    plan_option: PlanOption = None,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect",
            help="Also with both clusters: classic's catalog, and whether Limitless accepts it; changes nothing.",
        ),
    ] = False,
    everything: EveryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a plan file; list every problem with its key, value and what is allowed."""
    from migrator.cli.context import both, find_plan
    from migrator.plan.load import digest

    plan = find_plan(path or plan_option)
    if plan.gates.acknowledged:
        from migrator.audit.report.accepted import strange  # loads the rulebook

        problems = strange(plan.gates.acknowledged)
        if problems:
            raise PlanInvalid(f"plan {plan.name}", problems)
    tables: list[dict[str, object]] = []
    if connect:
        from migrator.control import rehearsal
        from migrator.control.install import installed_version
        from migrator.control.known import absent_tenants
        from migrator.control.tables import captured_tables
        from migrator.db.connect import unpinned
        from migrator.errors import NoGo
        from migrator.model.verdict import Verdict
        from migrator.plan.captured import with_captured
        from migrator.plan.tables import resolve_tables
        from migrator.provision import check as would_provision
        from migrator.provision.tables import tables_in_force

        with both(plan) as (classic, limitless):
            rehearsal.check(classic, plan)
            captured = captured_tables(classic).values() if installed_version(classic) is not None else ()
            resolve_tables(
                classic, with_captured(plan.tables, captured)
            )  # names that lead nowhere are reported now too
            meant = tables_in_force(classic, plan.tables)
            named = {"waves.canaries": plan.waves.canaries, **plan.alarms.tenants_named()}
            if wrong := absent_tenants(classic, meant, named):
                raise PlanInvalid(f"plan {plan.name}", wrong)
            with progress("Asking both clusters", silent=as_json):
                verdict = would_provision(classic, limitless, meant, plan)
            for side, conn in (("classic", classic), ("Limitless", limitless)):
                verdict += Verdict(tuple(unpinned(conn, side)))
        if not verdict.go:
            raise NoGo("plan check", verdict.blockers)
        for table in meant:
            tables.append({"table": table.qualified, "kind": table.kind.value, "key": list(table.target_key)})
    if as_json:
        emit_json({"ok": True, "plan": plan.name, "digest": digest(plan), "tables": tables})
        return
    out(f"Plan {plan.name} is valid (digest {digest(plan)[:12]}).")
    if connect:
        rows = [(t["table"], t["kind"], ", ".join(map(str, t["key"]))) for t in tables if isinstance(t["key"], list)]
        print_table(["table", "kind", "key on limitless"], rows)


@group.command(epilog="Example: migrator plan show plans/demo.toml")
def show(
    path: Argument = None,
    plan_option: PlanOption = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Of the plan that runs, as migrator plan history counts.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a plan with every default written out. DSNs stay references."""
    from migrator.cli.context import find_plan
    from migrator.plan.load import dump
    from migrator.plan.toml import to_toml

    body = plan_change.version_of(version) if version is not None else dump(find_plan(path or plan_option))
    if as_json:
        emit_json(body)
    else:
        raw(to_toml(body))


@group.command(epilog="Example: migrator plan schema > plan.schema.json")
def schema() -> None:
    """Print the JSON Schema of plan files, for editors."""
    from migrator.plan.load import json_schema

    raw(json.dumps(json_schema(), indent=2))


@group.command(epilog="Example: migrator plan template my-plan.toml --name billing")
def template(
    path: NewFileArgument,
    name: PlanNameOption = "my-migration",
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="NAME", help="Begin with a plan of this release: demo, compose, adr.example."),
    ] = None,
) -> None:
    """Write a plan file to fill in, without reading any database."""
    import tomllib

    from migrator import carried
    from migrator.model.near import unknown
    from migrator.plan.load import from_body
    from migrator.plan.toml import first_plan, renamed

    known = carried.plans()
    if like is not None and like not in known:
        raise UsageError(unknown("plan", [like], list(known)), hint=f"Plans of this release: {', '.join(known)}.")
    text = renamed(known[like].read_text(encoding="utf-8"), name) if like else first_plan(name)
    from_body(tomllib.loads(text), str(path))  # a name that is not allowed is refused before anything is written
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing was written") from None
    out(f"{path} written. Next: fill in the tables, then: migrator plan check {path} --connect")
