"""The command that checks the decision again: stay, shard by the application, Limitless or Citus, on these figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.options import HtmlOption, JsonOption, PlanOption
from migrator.cli.render import emit_json, note, out

if TYPE_CHECKING:
    from migrator.decide.facts import Facts
    from migrator.plan.schema import Plan


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator decide --audit audit.json --cpu-pct 86 --vcpus 64 --team 6")(decide)


def decide(
    plan: PlanOption = None,
    audit: Annotated[
        Path | None,
        typer.Option("--audit", help="JSON of an audit. Without it: the last one that classic keeps.", exists=False),
    ] = None,
    cpu_pct: Annotated[
        float | None, typer.Option("--cpu-pct", help="CPU of classic's writer at its peak, in percent.")
    ] = None,
    vcpus: Annotated[float | None, typer.Option("--vcpus", help="vCPUs of classic's writer.")] = None,
    growth_pct: Annotated[
        float | None, typer.Option("--growth-pct", help="Growth of the load a month, in percent.")
    ] = None,
    months: Annotated[float | None, typer.Option("--months", help="How long the answer has to last.")] = None,
    team: Annotated[float | None, typer.Option("--team", help="Engineers who can work on it.")] = None,
    team_pct: Annotated[float | None, typer.Option("--team-pct", help="Of their time, in percent.")] = None,
    largest_vcpus: Annotated[
        float | None, typer.Option("--largest-vcpus", help="vCPUs of the largest server that one writer could have.")
    ] = None,
    node_vcpus: Annotated[float | None, typer.Option("--node-vcpus", help="vCPUs of a shard's server.")] = None,
    engineer_usd: Annotated[
        float | None, typer.Option("--engineer-usd", help="What an engineer costs a month, in USD.")
    ] = None,
    vcpu_usd: Annotated[
        float | None, typer.Option("--vcpu-usd", help="What a vCPU of a server costs a month, in USD.")
    ] = None,
    acu_hour_usd: Annotated[
        float | None, typer.Option("--acu-hour-usd", help="Your price of an ACU-hour. Without it: the plan's.")
    ] = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare staying, sharding by the application, Limitless and Citus, on this database's figures.

    Says what speaks for each, what is not possible and why, what the answer rests on (measured, given or assumed), and
    which input would have to be otherwise for another answer. Reads only, and needs no server with --audit. See
    docs/decide.md.
    """
    from migrator.decide.facts import checked, given, of_audit, require
    from migrator.decide.judge import advice, judge
    from migrator.decide.sensitivity import flips
    from migrator.decide.view import (
        MOST_FLIPS,
        assumption_lines,
        flip_lines,
        headline,
        known_lines,
        option_lines,
        to_json,
    )

    facts = _with_plan(of_audit(_report(audit, plan)), _plan(plan, audit))
    for name, option, value, unit, scale, high in (
        ("cpu", "--cpu-pct", cpu_pct, "of its processors", 100, 100),
        ("vcpus", "--vcpus", vcpus, "vCPU", 1, 10_000),
        ("growth", "--growth-pct", growth_pct, "a month", 100, 1_000),
        ("months", "--months", months, "months", 1, 600),
        ("team", "--team", team, "engineers", 1, 10_000),
        ("team_share", "--team-pct", team_pct, "of their time", 100, 100),
        ("largest_vcpus", "--largest-vcpus", largest_vcpus, "vCPU", 1, 10_000),
        ("node_vcpus", "--node-vcpus", node_vcpus, "vCPU", 1, 10_000),
        ("engineer_month_usd", "--engineer-usd", engineer_usd, "USD", 1, 1e9),
        ("vcpu_month_usd", "--vcpu-usd", vcpu_usd, "USD", 1, 1e9),
        ("acu_hour_usd", "--acu-hour-usd", acu_hour_usd, "USD", 1, 1e9),
    ):
        if value is not None:
            low = 0 if name in ("growth", "engineer_month_usd", "vcpu_month_usd", "acu_hour_usd") else 1e-6
            facts = _put(facts, name, given(checked(option, value, low=low, high=high) / scale, unit, option))
    if node_vcpus is None and facts.vcpus.value is not None:
        facts = _put(facts, "node_vcpus", facts.vcpus)
    require(facts)
    judged, changes = judge(facts), flips(facts)
    if html is not None:
        _write(html, to_json(facts, judged, changes))
    if as_json:
        emit_json(to_json(facts, judged, changes))
        return
    out(headline(judged), *advice(judged, facts), "")
    for one in judged:
        out(*option_lines(one, facts.months.known()), "")
    out("Sums and times rest on the assumptions at the end: look at what changes the answer first.", "")
    out("What would change the answer, each by itself, the nearest first:")
    out(*(f"  {line}" for line in flip_lines(changes, facts)))
    if len(changes) > MOST_FLIPS:
        out(f"  and {len(changes) - MOST_FLIPS} more: --json")
    out("", "What is measured, or given:")
    out(*(f"  {line}" for line in known_lines(facts)))
    out("", "What is assumed, or not known:")
    out(*(f"  {line}" for line in assumption_lines(facts)))


def _write(path: Path, body: dict[str, object]) -> None:
    """Write the page. Raises UsageError when the file cannot be written."""
    from migrator.errors import UsageError
    from migrator.report.decision import page

    try:
        path.write_text(page(body), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    note(f"{path} written")


def _put(facts: Facts, name: str, figure: object) -> Facts:
    from dataclasses import replace

    return replace(facts, **{name: figure})  # type: ignore[arg-type]  # the names are those of the fields


def _report(audit: Path | None, plan: Path | None) -> dict[str, object]:
    """Return the audit's JSON, of the file or the last one that classic keeps."""
    import json

    from migrator.errors import UsageError

    if audit is not None:
        try:
            found = json.loads(audit.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{audit} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"{audit} is no JSON: {error}", hint="Write it: migrator audit --json FILE") from None
        if not isinstance(found, dict):
            raise UsageError(f"{audit} is no report of an audit", hint="Write one: migrator audit --json FILE")
        return found
    from migrator.cli.context import classic
    from migrator.control.history import last_audit

    with classic(plan) as conn:
        kept = last_audit(conn)
    if kept is None:
        raise UsageError("classic keeps no audit", hint="Run one: migrator audit; or give one: --audit audit.json")
    return kept


def _plan(option: Path | None, audit: Path | None) -> Plan | None:
    """Return the plan, where there is one: a decision needs none."""
    from migrator import settings
    from migrator.cli.context import find_plan

    if option is None and settings.plan_path() is None and audit is not None:
        return None
    return find_plan(option, any_version=True)


def _with_plan(facts: Facts, plan: Plan | None) -> Facts:
    """Return *facts* with what the plan says and the audit does not know."""
    from migrator.decide.facts import Basis, given

    if plan is None:
        return facts
    runway, cost = plan.runway, plan.cost
    if facts.cpu.value is None and runway.cpu_pct is not None:
        facts = _put(facts, "cpu", given(runway.cpu_pct / 100, "of its processors", "plan: runway.cpu_pct"))
    if facts.vcpus.value is None and runway.vcpus is not None:
        facts = _put(facts, "vcpus", given(runway.vcpus, "vCPU", "plan: runway.vcpus"))
    if facts.growth.basis in (Basis.UNKNOWN, Basis.ASSUMED):
        facts = _put(
            facts, "growth", given(runway.monthly_growth_pct / 100, "a month", "plan: runway.monthly_growth_pct")
        )
    if cost.acu_hour_usd:
        facts = _put(facts, "acu_hour_usd", given(cost.acu_hour_usd, "USD", "plan: cost.acu_hour_usd"))
    return facts
