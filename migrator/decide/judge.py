"""Compares what can be done with a writer that fills up, on the facts of one database. Pure.

Each option is first asked whether it is possible at all; of those that are, the cheapest over the time that the answer
has to last is proposed. Money is servers and people; each factor below is an assumption of this tool, named where it
counts. A proposal is as good as its inputs: `sensitivity` says which of them would have to be otherwise for another
answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from migrator.decide.facts import Facts
from migrator.model.counted import counted


class Option(StrEnum):
    STAY = "stay"  # one writer, on a larger server when this one is full
    MANUAL = "manual"  # sharding by the application
    LIMITLESS = "limitless"
    CITUS = "citus"


TITLES = {
    Option.STAY: "stay, on a larger server",
    Option.MANUAL: "sharding by the application",
    Option.LIMITLESS: "Aurora Limitless",
    Option.CITUS: "Citus, run by the team",
}

HOURS_PER_MONTH = 730.0
CUTOVER_MONTHS = 14 / (365.25 / 12 / 7)
"""From the first week until all reads have moved, as the decision plans it (14 weeks)."""

BUILD = {
    Option.STAY: (0.25, 0.0, 0.0, 0.0),
    Option.MANUAL: (18.0, 0.5, 0.1, 0.0),
    Option.LIMITLESS: (6.0, 0.1, 0.02, 0.25),
    Option.CITUS: (9.0, 0.1, 0.02, 0.05),
}
"""Engineer-months to get there: at least, for each crossing statement, for each table, for each blocker of the audit.
Assumptions of this tool. Sharding by the application builds routing, resharding, and every crossing statement itself;
the audit's blockers are Limitless' refusals, of which Citus has few."""

RUN = {Option.STAY: 0.25, Option.MANUAL: 1.5, Option.LIMITLESS: 0.5, Option.CITUS: 2.0}
"""Engineers it takes to run. Assumptions of this tool."""

OVERHEAD = {Option.STAY: 1.0, Option.MANUAL: 1.05, Option.LIMITLESS: 1.25, Option.CITUS: 1.2}
"""Processor for the same work: routers, two-phase commits, coordinators. Assumptions; Limitless as in the audit."""

MAX_ACU = 6144
"""Of a shard group. Source: Aurora User Guide, requirements of Aurora PostgreSQL Limitless Database."""

ACU_PER_CORE = 2.0
"""At least, of a busy one; as in the audit's sizing."""

SCATTER = 0.25
"""Of the cost of a statement, what it costs every shard that it asks besides; as in the audit's sizing."""

CITUS_SERVERS = 0.8
"""Price of a server of one's own against a managed one. An assumption of this tool."""


@dataclass(frozen=True, slots=True)
class Line:
    """One reading of the facts for an option. speaks: 1 for it, -1 against it, 0 neither."""

    speaks: int
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of one option.

    Attributes:
        impossible: why it cannot be; '' when it can.
        build_months: engineer-months to get there.
        ready_months: calendar months until it carries the load, by the team that there is.
        servers_usd, people_usd: over the whole time.
    """

    option: Option
    impossible: str
    lines: tuple[Line, ...]
    nodes: int
    build_months: float
    ready_months: float
    servers_usd: float
    people_usd: float

    @property
    def total_usd(self) -> float:
        return self.servers_usd + self.people_usd

    def to_json(self) -> dict[str, Any]:
        return {
            "option": self.option.value,
            "title": TITLES[self.option],
            "possible": not self.impossible,
            "impossible": self.impossible,
            "for": [line.text for line in self.lines if line.speaks > 0],
            "against": [line.text for line in self.lines if line.speaks < 0],
            "also": [line.text for line in self.lines if not line.speaks],
            "nodes": self.nodes,
            "build_engineer_months": round(self.build_months, 1),
            "ready_in_months": round(self.ready_months, 1),
            "servers_usd": round(self.servers_usd),
            "people_usd": round(self.people_usd),
            "total_usd": round(self.total_usd),
        }


@dataclass(frozen=True, slots=True)
class Need:
    """What the load takes.

    Attributes:
        cores: vCPUs that are busy at the peak, at the end.
        average: the mean over the time, as a share of the end.
        lasts_months: until the largest single server is full; now_lasts_months: until the one there is, is.
        hottest_cores: what the largest tenant takes at the end.
    """

    cores: float
    average: float
    lasts_months: float
    hottest_cores: float
    now_lasts_months: float


def need(facts: Facts) -> Need:
    """Return what has to be carried, from the peak and its growth."""
    used = facts.cpu.known() * facts.vcpus.known()
    growth, months, full = facts.growth.known(), facts.months.known(), facts.full.known()
    cores = used * (1 + growth) ** months
    share = facts.largest_write_share.value or 0.0
    rate = math.log1p(growth) * months
    return Need(
        cores,
        (1 - math.exp(-rate)) / rate if rate > 1e-9 else 1.0,
        _months_until(used, facts.largest_vcpus.known() * full, growth),
        cores * share,
        _months_until(used, facts.vcpus.known(), growth),
    )


def _months_until(used: float, room: float, growth: float) -> float:
    if used >= room:
        return 0.0
    if growth <= 0 or used <= 0:
        return math.inf
    return math.log(room / used) / math.log1p(growth)


def judge(facts: Facts) -> tuple[Judged, ...]:
    """Return every option, what is proposed first, then by cost; what is impossible last."""
    what = need(facts)
    found = [_judged(option, facts, what) for option in Option]
    return tuple(sorted(found, key=lambda j: (bool(j.impossible), j.total_usd, list(Option).index(j.option))))


def proposal(facts: Facts) -> Option | None:
    """Return what is proposed; None where nothing is possible."""
    best = judge(facts)[0]
    return None if best.impossible else best.option


def _judged(option: Option, facts: Facts, what: Need) -> Judged:
    months = facts.months.known()
    nodes, cores = _nodes(option, facts, what)
    least, per_statement, per_table, per_blocker = BUILD[option]
    build = (
        least
        + per_statement * (facts.crossing_statements.value or 0)
        + per_table * (facts.tables.value or 0)
        + per_blocker * (facts.blockers.value or 0)
    )
    hands = max(facts.team.known() * facts.team_share.known(), 1e-9)
    ready = _ready(option, build / hands)
    people = (build + RUN[option] * months) * facts.engineer_month_usd.known()
    return Judged(
        option,
        _impossible(option, facts, what, ready),
        tuple(_lines(option, facts, what)),
        nodes,
        build,
        ready,
        _servers(option, facts, cores, what) * months,
        people,
    )


def _ready(option: Option, build: float) -> float:
    """Return the calendar months until it carries the load. Rows move while the last statements are rewritten, but for
    sharding by the application, which has to be built before it can take any."""
    match option:
        case Option.STAY:
            return build
        case Option.MANUAL:
            return build + CUTOVER_MONTHS
    return max(build, CUTOVER_MONTHS)


def _nodes(option: Option, facts: Facts, what: Need) -> tuple[int, float]:
    """Return how many servers carry it, and the vCPUs they have together."""
    full = facts.full.known()
    if option is Option.STAY:
        return 1, min(max(what.cores / full, facts.vcpus.known()), facts.largest_vcpus.known())
    per_node = facts.node_vcpus.known()
    shards = max(2, math.ceil(what.cores / full / per_node))
    scatter = 1 + (facts.crossing_share.value or 0) * (shards - 1) * SCATTER
    cores = what.cores * OVERHEAD[option] * scatter / full
    return max(shards, math.ceil(cores / per_node)), cores


def _servers(option: Option, facts: Facts, vcpus: float, what: Need) -> float:
    """Return what servers cost in a month of the average load, each with a standby; shards are added as it grows."""
    if option is not Option.STAY:
        vcpus *= what.average
    by_vcpu = vcpus * facts.vcpu_month_usd.known() * 2
    if option is Option.CITUS:
        return by_vcpu * CITUS_SERVERS
    if option is not Option.LIMITLESS:
        return by_vcpu
    price, acu = facts.acu_hour_usd.value, facts.limitless_acu.value
    if price is not None and acu is not None:
        return acu * price * HOURS_PER_MONTH
    _, manual = _nodes(Option.MANUAL, facts, what)
    return manual * what.average * facts.vcpu_month_usd.known() * 2 * facts.limitless_over_manual.known()


def _impossible(option: Option, facts: Facts, what: Need, ready: float) -> str:
    months = facts.months.known()
    if option is Option.STAY:
        if what.lasts_months < months:
            return (
                f"the largest server ({facts.largest_vcpus.known():g} vCPU) is full in"
                f" {_months(what.lasts_months)}, and the answer has to last {months:g}"
            )
        return ""
    # Limitless chooses its shards' servers; shards of one's own may be as different as their tenants.
    largest = max(facts.node_vcpus.known(), facts.largest_vcpus.known())
    room = (facts.node_vcpus.known() if option is Option.LIMITLESS else largest) * facts.full.known()
    if what.hottest_cores > room:
        share = facts.largest_write_share.value or 0
        return (
            f"the largest tenant makes {share:.0%} of the writes and then needs {what.hottest_cores:,.0f} vCPU, one"
            f" shard has {room:,.0f} to give: no sharding by tenant splits a tenant"
        )
    if option is Option.LIMITLESS:
        _, vcpus = _nodes(option, facts, what)
        acu = vcpus * facts.full.known() * ACU_PER_CORE
        if acu > MAX_ACU:
            return f"it would take {acu:,.0f} ACU at least, and a shard group has {MAX_ACU:,} at most"
    if option is Option.CITUS and facts.team.known() < facts.citus_team.known():
        return (
            f"it is no managed service on AWS: servers of one's own take {facts.citus_team.known():g} people, the team"
            f" has {facts.team.known():g}"
        )
    if ready > what.lasts_months:
        return (
            f"it is ready in {_months(ready)} at the earliest, and the largest single server is full in"
            f" {_months(what.lasts_months)}"
        )
    return ""


def _lines(option: Option, facts: Facts, what: Need) -> Iterator[Line]:
    crossing = facts.crossing_share.value
    statements = facts.crossing_statements.value or 0
    share = facts.largest_write_share.value
    match option:
        case Option.STAY:
            lasts = what.lasts_months >= facts.months.known()
            yield Line(1 if lasts else -1, f"the largest server lasts for {_months(what.lasts_months)}")
            yield Line(1, "nothing changes for the application")
            yield Line(0, f"the server there is now is at 100% {_in(what.now_lasts_months)}")
            yield Line(0, "reads that may be a moment old can move to replicas, which is not counted here")
        case Option.MANUAL:
            if statements:
                name = counted(int(statements), "statement that crosses", "statements that cross")
                yield Line(-1, f"the application itself has to gather the answers of {name} shards")
            yield Line(
                -1, "routing, moving tenants between shards and schema changes on all of them are built and kept"
            )
            yield Line(1, "each shard is an ordinary Aurora cluster: everything it can do today, it can do there")
        case Option.LIMITLESS:
            if facts.blockers.value:
                found = counted(int(facts.blockers.value), "blocker")
                yield Line(-1, f"the audit found {found}: what Limitless refuses has to be rewritten first")
            elif facts.blockers.value == 0:
                yield Line(1, "the audit found nothing that Limitless refuses")
            yield Line(1, "routing, moving shards and distributed transactions are the service's")
            yield Line(-1, "routers and shards can be added, never removed")
        case Option.CITUS:
            yield Line(1, "it takes more of PostgreSQL than Limitless: extensions, triggers, its own rebalancer")
            yield Line(-1, "servers, backups, failover and upgrades are the team's, around the clock")
    if option is not Option.STAY:
        if crossing is not None:
            few = crossing <= FEW
            yield Line(1 if few else -1, f"{crossing:.0%} of the calls do not stay on one shard")
        else:
            yield Line(0, "how many calls stay on one shard is not known")
        if share is not None:
            even = share <= FEW
            yield Line(1 if even else -1, f"the largest tenant makes {share:.1%} of the writes")
        else:
            yield Line(0, "how much the largest tenant writes is not known")


FEW = 0.2
"""Up to this share of calls that cross, or of writes by one tenant, it speaks for sharding: the decision's own figure
is that 80 % of the writes are by tenant."""


MOST_CROSSING = 0.5
"""From this share of calls on, most of the work asks several shards: the shard key is wrong for these statements."""


def advice(judged: tuple[Judged, ...], facts: Facts) -> Iterator[str]:
    """Yield what a person should know before they follow the proposal: what buys time where nothing lasts, and what
    speaks so clearly against the proposal that it comes first."""
    best, what = judged[0], need(facts)
    crossing, share = facts.crossing_share.value or 0.0, facts.largest_write_share.value or 0.0
    if best.impossible and what.lasts_months > 0:
        yield (
            f"What buys time is the largest server ({facts.largest_vcpus.known():g} vCPU): it lasts for"
            f" {_months(what.lasts_months)}. Use them for what is named here, and decide again."
        )
    sharding = best.impossible or best.option is not Option.STAY
    if sharding and crossing > MOST_CROSSING:
        yield (
            f"{crossing:.0%} of the calls do not stay on one shard: before any sharding, look for another shard key, or"
            " rewrite the statements that are called most (migrator audit names them)."
        )
    if sharding and what.hottest_cores > facts.node_vcpus.known() * facts.full.known():
        yield (
            f"One tenant makes {share:.0%} of the writes: split it into several tenants, or give it a cluster of its"
            " own; the others can be sharded."
        )


def _in(value: float) -> str:
    return "never" if math.isinf(value) else f"in {_months(value)}"


def _months(value: float) -> str:
    """Return a length of time in words, "in" or "for" which something is so."""
    if math.isinf(value):
        return "any time that counts"
    return f"{value:.0f} months" if value >= 1.5 else "a month" if value >= 1 else "less than a month"
