"""Where tenants stand, for people: what is stored about each, what its gate says, and which wave will take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.cli.render import duration
from migrator.model.counted import counted
from migrator.model.shell import argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from migrator.model.tenant import TenantId
    from migrator.plan.schema import Plan


def lines(conn: psycopg.Connection[Any], plan: Plan, tenants: Sequence[TenantId]) -> list[dict[str, Any]]:
    """Return one line for each of *tenants*.

    Beside what is stored: `next_wave` (that will take it, as things are now; None: none will), `canary`, `has_rows` (on
    classic now; None: could not be found out in time) and `blockers` (why its reads may not move to Limitless now).
    """
    from migrator.control.history import tenant_lines
    from migrator.control.known import have_rows
    from migrator.traffic.cutover import choice, facts
    from migrator.traffic.cutover.gate import tenant_verdict
    from migrator.traffic.cutover.wave import gate_limits

    allowed = gate_limits(plan)
    gates = {f.tenant_id: tenant_verdict(f, allowed).blockers for f in facts.tenant_facts(conn, tenants)}
    waves = {tenant: wave.number for wave in choice.coming(conn, plan) for tenant in wave.tenants}
    canaries = choice.canaries(plan)
    rows = have_rows(conn, tenants)
    return [
        {
            **line,
            "next_wave": waves.get(line["tenant"]),
            "canary": line["tenant"] in canaries,
            "has_rows": rows[line["tenant"]],
            "blockers": [] if line["route"] == "limitless" else list(gates.get(line["tenant"], ())),
        }
        for line in tenant_lines(conn, tenants)
    ]


def shared_blockers(conn: psycopg.Connection[Any], plan: Plan) -> list[str]:
    """Return what keeps every tenant from moving to Limitless now."""
    from migrator.traffic.cutover.singly import blockers

    return list(blockers(conn, plan, ()))


def text(line: dict[str, Any]) -> list[str]:
    """Return a line of `lines` as `migrator tenant show` prints it, line by line."""
    found = [f"tenant {line['tenant']}: {line['state'] or 'not copied by the tool yet'}"]
    if line["problem"]:
        found.append(f"  quarantined: {line['problem']}")
    share = f" ({line['reads_pct']} % of reads)" if line["level"] == "limitless" else ""
    side = "limitless" if line["level"] == "limitless" else "classic"
    found.append(f"  reads from {side}{share}, wave {line['wave'] or '-'}")
    if line["route"] != line["level"]:
        found.append(f"  its route says {line['route']}: the switch or a fallback limits it to {line['level']}")
    clean = "never" if line["clean_age_s"] is None else f"{duration(line['clean_age_s'])} ago"
    found.append(
        f"  {counted(line['rows'], 'row')}, last clean validation "
        f"{clean}, {counted(line['divergent'] or 0, 'divergent row')}"
    )
    found += _without_rows(line)
    if line["held_by"]:
        until = f" until {line['held_until']:%Y-%m-%d %H:%M %Z}" if line["held_until"] else ""
        since = f"{line['held_at']:%Y-%m-%d %H:%M}"
        found.append(f"  held on classic{until} by {line['held_by']} since {since}: {line['held_reason']}")
    if line["rolled_back_by"]:
        found.append(f"  rolled back by {line['rolled_back_by']}: {line['rolled_back_reason']}")
    if line["ordered_wave"]:
        found.append(f"  ordered into wave {line['ordered_wave']} by {line['ordered_by']}: {line['ordered_reason']}")
    elif line["canary"]:
        found.append("  a canary of the plan: it moves in the first wave")
    if line["next_wave"] is not None:
        found.append(f"  will move in wave {line['next_wave']}, as things are now")
    found += [f"  - {blocker}" for blocker in line["blockers"]]
    return found


def _without_rows(line: dict[str, Any]) -> list[str]:
    if line["has_rows"] is not False:
        return []
    if line["empty"]:
        return [
            "  no rows on either side (deleted, or merged into another tenant): no wave takes it, no gate waits for it;"
            f" take back its route, wave and hold with: migrator tenant forget {argument(line['tenant'])}"
        ]
    if line["state"] == "quarantined":
        return [
            f"  no rows on classic now: nothing is refused any more; migrator mirror retry {argument(line['tenant'])}"
        ]
    return ["  no rows on classic now; that Limitless has none either is known after its next validation"]
