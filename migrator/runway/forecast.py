"""How long does classic's writer last, by what is stored and what the plan says? One answer for gates, status, audit.

What is measured goes before what the plan says, once it spans enough: the busiest hour of whole days, growth of several
weeks. Growth is that of the application's row writes: they stay on classic until the end, whatever reads do, and
capture does not change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control import writer_load
from migrator.control.install import VERSION, installed_version
from migrator.control.writer_load import Calendar, Day
from migrator.model.blocker import Blocker
from migrator.plan.schema import Plan
from migrator.runway import growth as growths
from migrator.runway import judge
from migrator.runway.growth import Fit, Growth
from migrator.runway.judge import Capture, Facts, Runway

Connection = psycopg.Connection[Any]

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S

CLOUDWATCH, LOCAL = writer_load.CPU
VCPUS = {CLOUDWATCH: "vcpus.cloudwatch", LOCAL: "vcpus.local"}
CAPTURE_MS = "capture_ms"
METRICS = (
    *VCPUS, *VCPUS.values(), "row_writes", "database_bytes", "journal_bytes", "read_ms", "write_ms", CAPTURE_MS,
)  # fmt: skip

WHOLE = 0.75
"""A day counts as whole when so much of it was watched."""

PEAK_DAYS = 7
"""The busiest hour is looked for in so many days: one of each weekday."""

Days = Mapping[str, Sequence[Day]]


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored, for the pure part. today: number of the day by classic's clock."""

    days: Days
    calendar: Calendar
    busiest: tuple[tuple[str, float], ...] = ()

    @property
    def today(self) -> int:
        return int(self.calendar.now_s // DAY_S)

    def of(self, metric: str) -> Sequence[Day]:
        return [day for day in self.days.get(metric, ()) if day.number <= self.today]  # none of a clock that was ahead


# -- what is asked ---------------------------------------------------------------------------------------------------


def forecast(conn: Connection, plan: Plan) -> Runway:
    """Return how long classic's writer lasts, by what is known now."""
    found = judge.judge(facts(conn, plan, with_tables=False))
    # What could be left out is asked for where it matters only: thousands of tables have thousands of counters.
    return judge.judge(facts(conn, plan)) if found.closes is False else found


def facts(conn: Connection, plan: Plan, *, with_tables: bool = True) -> Facts:
    """Return what the forecast rests on."""
    busiest = writer_load.busiest_tables(conn, plan.tables.schemas) if with_tables else ()
    calendar = writer_load.calendar(conn) if installed_version(conn) == VERSION else None
    if calendar is None:  # before `migrator run`: the plan is all there is
        return concluded(Known({}, Calendar(0.0, None, None, 0.0), busiest), plan)
    return concluded(Known(writer_load.days(conn, METRICS), calendar, busiest), plan)


def blockers(conn: Connection, plan: Plan) -> tuple[Blocker, ...]:
    """Return why dual write may not begin, or not be left, as far as classic's writer goes."""
    return () if spares(conn, plan) else judge.gate_blockers(forecast(conn, plan), plan.gates.acknowledged)


def wave_blockers(conn: Connection, plan: Plan) -> tuple[Blocker, ...]:
    """Return why no further wave may begin, as far as classic's writer goes."""
    if spares(conn, plan):
        return ()
    return judge.floor_blockers(forecast(conn, plan), plan.runway.floor_weeks, plan.gates.acknowledged)


def spares(conn: Connection, plan: Plan) -> bool:
    """Return whether no gate asks how long the writer behind *conn* lasts."""
    return is_spared(plan, here=on_this_machine(conn))


def on_this_machine(conn: Connection) -> bool:
    """Return whether the server itself says that it was reached without a network.

    Its own end of the connection tells: a tunnel or a pooler beside us leads to a server with an address of its own.
    """
    row = conn.execute("SELECT coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)")
    return bool((row.fetchone() or (False,))[0])


# -- pure ------------------------------------------------------------------------------------------------------------


def is_spared(plan: Plan, *, here: bool = False) -> bool:
    """Return whether the writer is a server of a rehearsal, or one on this machine (*here*): no production server, so
    its CPU says nothing about a migration. A plan that states a CPU is held to it all the same."""
    return (here or plan.is_local or plan.rehearsal is not None) and plan.runway.cpu_pct is None


def concluded(known: Known, plan: Plan) -> Facts:
    """Return the facts of the forecast. Pure."""
    section, doubts = plan.runway, []
    stated = None if section.cpu_pct is None else section.cpu_pct / 100
    metric = CLOUDWATCH if known.of(CLOUDWATCH) else LOCAL
    found, included, why = _measured_cpu(known, metric)
    vcpus = _vcpus(known, metric) or section.vcpus
    if found is None and stated is None:
        cpu, source = None, why
    elif found is None or (stated is not None and found.days < PEAK_DAYS and stated > found.cpu):
        cpu, source, included = stated, "as the plan says", False
        if known.of(metric):
            doubts.append(why)
    else:
        cpu, source = found.cpu, f"measured by {_WHERE[metric]} in {found.days} days"
    grown, doubt = _growth(known, metric, Growth.stated(section.monthly_growth_pct / 100, "as the plan says"))
    doubts += doubt
    return Facts(
        cpu=cpu,
        cpu_source=source,
        vcpus=vcpus,
        growth=grown,
        capture=judge.INCLUDED if included else _capture(known, cpu, vcpus),
        needed_weeks=needed_weeks(known.calendar, section.weeks, plan.stabilization.days),
        full=section.full_pct / 100,
        read_share=_read_share(known),
        busiest=known.busiest,
        doubts=tuple(doubts),
    )


_WHERE = {CLOUDWATCH: "CloudWatch", LOCAL: "this machine's processors"}


@dataclass(frozen=True, slots=True)
class _Peak:
    cpu: float
    days: int


def _measured_cpu(known: Known, metric: str) -> tuple[_Peak | None, bool, str]:
    """Return the busiest hour, whether capture is in it, and what is wrong with it."""
    recent = [d for d in known.of(metric) if d.number >= known.today - PEAK_DAYS and d.peak is not None]
    whole = [d for d in recent if d.seconds >= WHOLE * DAY_S and d.number < known.today]
    if not whole:
        if not known.of(metric):
            return None, False, "nothing measures the writer's CPU: neither CloudWatch nor this machine's /proc sees it"
        hours = sum(d.seconds for d in recent) / 3600
        return (
            None,
            False,
            f"{_WHERE[metric]} measured {hours:.0f} h of the last days; a busiest hour needs a whole day",
        )
    captured = known.calendar.captured_s
    since = [d for d in whole if captured is not None and d.number > captured // DAY_S]
    counted = since or whole
    today = [d for d in recent if d.number == known.today]  # a day that is not over can only raise the peak
    peak = max(d.peak for d in [*counted, *today] if d.peak is not None)
    return _Peak(peak, len(counted)), bool(since), f"the CPU was measured in {len(counted)} of {PEAK_DAYS} days"


def _vcpus(known: Known, cpu_metric: str) -> int | None:
    days = known.of(VCPUS[cpu_metric])
    return round(days[-1].mean) if days else None


def _growth(known: Known, cpu_metric: str, stated: Growth) -> tuple[Growth, list[str]]:
    """Return the first growth that is believed, and why not what is better."""
    doubts: list[str] = []
    for found in _fits(known, cpu_metric):
        if found.growth is not None and not found.doubt:
            return found.growth, doubts
        if found.days:
            doubts.append(found.doubt)
    return stated, doubts


def _fits(known: Known, cpu_metric: str) -> Sequence[Fit]:
    def whole(metric: str) -> dict[int, float]:
        return {d.number: d.mean for d in known.of(metric) if d.seconds >= WHOLE * DAY_S and d.number < known.today}

    captured = known.calendar.captured_s
    peaks = {d.number: d.peak for d in known.of(cpu_metric) if d.peak is not None and d.number in whole(cpu_metric)}
    if captured is not None:  # what capture and moved reads did to the load is no growth
        peaks = {day: peak for day, peak in peaks.items() if day < captured // DAY_S}
    journal = whole("journal_bytes")
    data = {day: size - journal.get(day, 0.0) for day, size in whole("database_bytes").items()}
    return (
        growths.fit(whole("row_writes"), "row writes"),
        growths.fit(peaks, "CPU in the busiest hour"),
        growths.fit(data, "size of the data"),
    )


def _capture(known: Known, cpu: float | None, vcpus: int | None) -> Capture:
    """Return what capture will cost, or does cost on top of a load that was measured without it."""
    spent = [d.peak for d in known.of(CAPTURE_MS)[-PEAK_DAYS:] if d.peak is not None]
    if spent and max(spent) > 0 and cpu and vcpus and known.calendar.captured_s is not None:
        share = max(spent) / 1000 / (cpu * vcpus)
        return Capture(share, share, "measured: time in capture's functions (track_functions)")
    writes = [d.peak for d in known.of("row_writes")[-PEAK_DAYS:] if d.peak is not None]
    return judge.capture_cost(cpu, vcpus, max(writes) if writes else None)


def _read_share(known: Known) -> float | None:
    reads = sum(d.mean * d.seconds for d in known.of("read_ms")[-PEAK_DAYS:])
    total = reads + sum(d.mean * d.seconds for d in known.of("write_ms")[-PEAK_DAYS:])
    return reads / total if total > 0 else None


def needed_weeks(calendar: Calendar, weeks: float, stabilization_days: float) -> float:
    """Return for how long classic is needed from now on: the rest of the calendar, and never less than what is left of
    the stabilization, which a calendar that slipped does not shorten."""
    rest = weeks - max(calendar.now_s - calendar.began_s, 0.0) / WEEK_S
    left = stabilization_days
    if calendar.stabilize_s is not None:
        left = max(stabilization_days - max(calendar.now_s - calendar.stabilize_s, 0.0) / DAY_S, 0.0)
    return max(rest, left / 7)
