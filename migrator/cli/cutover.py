"""The command of phase 4: shows what would move, and promotes reads again after a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import (
    DryRunOption,
    EveryOption,
    JsonOption,
    PlanOption,
    ReasonOption,
    TenantsOption,
    WaveOption,
    WhoOption,
    YesOption,
    who,
)
from migrator.cli.progress import progress
from migrator.cli.render import causes, confirm, duration, emit_json, out
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    import psycopg

    from migrator.plan.schema import Plan


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: migrator cutover --reason "index added, going forward again"')(cutover)


def cutover(
    reason: ReasonOption = "cut over",
    wave: WaveOption = None,
    tenant: TenantsOption = None,
    plan: PlanOption = None,
    name: WhoOption = None,
    everything: EveryOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move reads forward again after a rollback; waves go on by themselves then.

    With --wave or --tenant only those move, if their gate lets them. Tenants that are held on classic stay there,
    unless they are named with --tenant, which releases them. --dry-run shows waves, blockers and held tenants.
    """
    from migrator.cli.context import classic, find_plan, require_installed

    if wave is not None and tenant:
        raise UsageError("--wave and --tenant exclude each other")
    found = find_plan(plan)
    with classic(plan) as conn:
        require_installed(conn)
        picture = _picture(conn, found, wave, tenant or [])
        if dry_run:
            _show(picture, as_json, everything)
            if picture["blockers"]:
                raise typer.Exit(ExitCode.NO_GO)
            return
        what = f"wave {wave}" if wave is not None else f"tenant {', '.join(tenant)}" if tenant else "all tenants"
        confirm(f"Move reads of {what} forward again?", yes=yes)
        if wave is not None or tenant:
            _some(conn, picture, who(name), reason, wave, as_json)
            return
    from workflows import client

    answer = client.cut_over(found, who(name), reason)
    if as_json:
        emit_json(answer)
    else:
        out(answer.text)
    if not answer.changed:
        raise typer.Exit(ExitCode.NO_GO)


def _picture(conn: psycopg.Connection[Any], plan: Plan, wave: int | None, tenants: list[str]) -> dict[str, Any]:
    """Return waves to come, the tenants asked for, and every blocker of their gate."""
    from dataclasses import replace

    from migrator.control import known
    from migrator.model.blocker import Blocker
    from migrator.model.tenant import TenantId
    from migrator.traffic.cutover import facts
    from migrator.traffic.cutover.choice import coming as waves_to_come
    from migrator.traffic.cutover.gate import wave_verdict
    from migrator.traffic.cutover.wave import everywhere, gate_limits
    from migrator.traffic.route import tenant_hold as holds

    coming = waves_to_come(conn, plan)
    wanted = [TenantId(t) for t in tenants]
    held = holds.held(conn)
    if wave is not None:
        wanted = facts.wave_tenants(conn, wave) or next((list(w.tenants) for w in coming if w.number == wave), [])
        if not wanted:
            known.check_wave(conn, wave)
            held = [h for h in held if h.wave == wave]
    known.check_tenants(conn, tenants)
    looked_at = wanted or ([] if wave is not None else [t for w in coming for t in w.tenants])
    # naming a tenant releases it, so that a hold of its own does not block it
    seen = [replace(f, held=None) if f.tenant_id in tenants else f for f in facts.tenant_facts(conn, looked_at)]
    answer = wave_verdict(seen, gate_limits(plan), facts.reference_facts(conn), everywhere(conn))
    blockers = list(answer.verdict.blockers)
    met = {f.tenant_id for f in seen}
    blockers += [Blocker("tenant.not_copied", t, f"tenant {t} is not copied yet", True) for t in wanted if t not in met]
    if wave is not None and not wanted:
        text = f"no tenant of wave {wave} may move: {holds.describe(held) or 'they belong to other waves now'}"
        blockers.append(Blocker("wave.empty", f"wave-{wave}", text))
    switch = facts.switch(conn)
    if switch.level.value != "limitless":
        text = f"all reads were rolled back by {switch.changed_by}: {switch.reason}"
        blockers.insert(0, Blocker("reads.rolled_back", "", text))
    return {
        "waves": coming,
        "tenants": wanted,
        "ready": list(answer.ready),
        "blockers": blockers,
        "rolled_back": facts.rolled_back(conn),
        "held": held,
    }


def _show(picture: dict[str, Any], as_json: bool, everything: bool) -> None:
    from migrator.traffic.route import tenant_hold as holds

    if as_json:
        emit_json(picture)
        return
    for wave in picture["waves"]:
        names = ", ".join(wave.tenants[:6]) + (", …" if len(wave.tenants) > 6 else "")
        hot = " hot" if wave.hot else ""
        ramp = ", ".join(f"{p} %" for p in wave.ramp_pct)
        out(f"wave {wave.number}:{hot} {counted(len(wave.tenants), 'tenant')} ({names}), ramp {ramp}")
    for back in picture["rolled_back"]:
        out(f"rolled back: tenant {back.tenant_id} of wave {back.wave}, by {back.who}: {back.reason}")
    if picture["held"]:
        out(f"{holds.describe(picture['held'])}.")
    if picture["tenants"]:
        out(f"{len(picture['ready'])} of {counted(len(picture['tenants']), 'tenant')} asked for are ready.")
    out(*causes(picture["blockers"], everything=everything))
    if not any(picture[name] for name in ("waves", "rolled_back", "blockers", "held")):
        out("Nothing waits: every mirrored tenant belongs to a wave.")


def _some(
    conn: psycopg.Connection[Any], picture: dict[str, Any], operator: str, reason: str, wave: int | None, as_json: bool
) -> None:
    """Promote the tenants asked for, without the waves."""
    from migrator.errors import NoGo
    from migrator.traffic.route import tenant_hold as holds
    from migrator.traffic.route.promote import promote_reads

    if picture["blockers"]:
        raise NoGo("cutover", picture["blockers"])
    if wave is None:
        named = [t for t in picture["tenants"] if t in {h.tenant_id for h in picture["held"]}]
        if named:
            holds.release(conn, named, who=operator, reason=f"cutover by name: {reason}")
    with progress("Moving reads: waiting for processes and mirror", silent=as_json):
        result = promote_reads(conn, tenants=picture["tenants"], who=operator, reason=reason, wave=wave)
    if as_json:
        emit_json(result)
    elif result.done:
        out(
            f"{counted(len(picture['tenants']), 'tenant reads', 'tenants read')} "
            f"from Limitless, after {duration(result.seconds)}."
        )
    else:
        out(f"Not yet: {result.outcome}; reads stay on classic. {result.detail}".strip())
    if not result.done:
        raise typer.Exit(ExitCode.TRY_AGAIN)
