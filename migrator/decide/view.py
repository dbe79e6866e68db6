"""Shows a decision's table as lines of text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from migrator.decide.facts import Basis, Facts, Figure
from migrator.decide.judge import TITLES, Judged, Option, advice, need
from migrator.decide.sensitivity import Flip, outward

NAMES = {
    "cpu": "use of the writer's processors at the peak",
    "vcpus": "the writer's processors",
    "growth": "growth of the load",
    "tenants": "tenants",
    "largest_write_share": "the largest tenant",
    "crossing_share": "calls that do not stay on one shard",
    "crossing_statements": "statements that cross shards",
    "blockers": "blockers of the audit",
    "rewrites": "statements to rewrite",
    "tables": "tables",
    "transactions_per_s": "transactions",
    "row_writes_per_s": "row writes",
    "limitless_acu": "capacity of Limitless",
    "months": "the answer has to last",
    "team": "the team",
    "team_share": "the team's time for this",
    "node_vcpus": "a shard's server",
    "largest_vcpus": "the largest server for one writer",
    "full": "a server counts as full at",
    "engineer_month_usd": "an engineer's month",
    "vcpu_month_usd": "a vCPU's month",
    "acu_hour_usd": "an ACU's hour",
    "limitless_over_manual": "Limitless' servers against sharding by the application",
    "citus_team": "people it takes to run Citus around the clock",
}
"""What a figure is called."""

MOST_FLIPS = 8


def headline(judged: tuple[Judged, ...]) -> str:
    """Return the answer in one line."""
    best = judged[0]
    if best.impossible:
        return "Nothing is possible on these figures: see why each is not, and what would change that."
    others = sum(not j.impossible for j in judged) - 1
    beside = f" (of {others + 1} that are possible)" if others else ", the only one that is possible"
    return f"Proposed on these figures: {TITLES[best.option]}{beside}."


def option_lines(one: Judged, months: float) -> Iterator[str]:
    """Yield what is said of one option."""
    if one.impossible:
        yield f"{TITLES[one.option]}: not possible, since {one.impossible}"
    else:
        yield (
            f"{TITLES[one.option]}: about {one.total_usd:,.0f} USD in {months:g} months"
            f" (servers {one.servers_usd:,.0f}, people {one.people_usd:,.0f}), ready in {one.ready_months:.0f} months,"
            f" {one.build_months:.0f} engineer-months to build"
        )
    for line in one.lines:
        yield f"  {'+' if line.speaks > 0 else '-' if line.speaks < 0 else ' '} {line.text}"


def flip_lines(flips: tuple[Flip, ...], facts: Facts, most: int | None = MOST_FLIPS) -> Iterator[str]:
    """Yield what would change the answer, the nearest first; *most* of it."""
    for flip in flips[:most]:
        figure: Figure = getattr(facts, flip.name)
        to = TITLES[flip.to] if flip.to else "nothing is possible"
        yield f"{NAMES[flip.name]}: at {shown(outward(flip, facts), figure.unit)} (now {value_of(figure)}): {to}"
    if not flips:
        yield "no input changes the answer by itself, as far as it was moved"


def known_lines(facts: Facts) -> Iterator[str]:
    """Yield what is measured or given, with its source."""
    for name, figure in facts.figures().items():
        if figure.basis in (Basis.MEASURED, Basis.GIVEN):
            yield f"{NAMES[name]}: {value_of(figure)} ({figure.basis.value}: {figure.source})"


def assumption_lines(facts: Facts) -> Iterator[str]:
    """Yield what is assumed, and what is not known."""
    for name, figure in facts.figures().items():
        if figure.basis in (Basis.ASSUMED, Basis.UNKNOWN):
            why = figure.source if figure.value is None else f"{figure.basis.value}: {figure.source}"
            yield f"{NAMES[name]}: {value_of(figure)} ({why})"


def value_of(figure: Figure) -> str:
    return "unknown" if figure.value is None else shown(figure.value, figure.unit)


def shown(value: float, unit: str) -> str:
    """Return a number with its unit, a share in percent."""
    if unit.startswith("of ") or unit == "a month":
        return f"{value:.1%} {unit}"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {unit.removesuffix('s') if value == 1 and unit != 'times' else unit}"


def to_json(facts: Facts, judged: tuple[Judged, ...], flips: tuple[Flip, ...]) -> dict[str, object]:
    best = judged[0]
    proposed: Option | None = None if best.impossible else best.option
    return {
        "proposed": proposed.value if proposed else None,
        "headline": headline(judged),
        "advice": list(advice(judged, facts)),
        "options": [one.to_json() for one in judged],
        "what_would_change_it": [
            {**flip.to_json(), "text": text} for flip, text in zip(flips, flip_lines(flips, facts, None), strict=False)
        ],
        "figures": {
            name: {**figure.to_json(), "name": NAMES[name], "text": value_of(figure)}
            for name, figure in facts.figures().items()
        },
        "load": _load(facts),
    }


def _load(facts: Facts) -> dict[str, object]:
    """Return the vCPUs that are busy at the peak, month by month, and where a server is full. null: never."""
    used, growth = facts.cpu.known() * facts.vcpus.known(), facts.growth.known()
    months, lasts = math.ceil(facts.months.known()), need(facts).lasts_months
    return {
        "busy_vcpus": [round(used * (1 + growth) ** month, 1) for month in range(months + 1)],
        "now_vcpus": facts.vcpus.known(),
        "largest_vcpus": round(facts.largest_vcpus.known() * facts.full.known(), 1),
        "lasts_months": None if math.isinf(lasts) else round(lasts, 1),
    }
