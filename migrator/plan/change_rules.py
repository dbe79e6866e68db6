"""Which values of a plan may change while its migration runs, and when is a change one that a person must approve?

One entry per field of the schema; a test enumerates them. A field is *live* (it changes), live with an approval when
the change loosens a guard, or *baked* (what was made from it cannot be told to be otherwise).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Loosens = Callable[[Any, Any], bool]
"""Whether a change from one value to another loosens a guard."""


@dataclass(frozen=True, slots=True)
class Live:
    """A value that may change.

    Attributes:
        when: when a change takes effect.
        loosens: which changes need an approval by name; None: no change does.
        why: what such a change gives up.
    """

    when: str
    loosens: Loosens | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Baked:
    """A value that cannot change. why: what was made from it; instead: what a change takes, if not to start over."""

    why: str
    instead: str = ""


Rule = Live | Baked


def higher(old: Any, new: Any) -> bool:
    """Whether a limit went up; None is no limit."""
    return new is None or (old is not None and new > old)


def lower(old: Any, new: Any) -> bool:
    return bool(new < old)


def any_change(old: Any, new: Any) -> bool:
    return bool(old != new)


def becomes(value: Any) -> Loosens:
    return lambda _, new: bool(new == value)


def names_more(old: list[str], new: list[str]) -> bool:
    return bool(set(new) - set(old))


def larger_waves(old: list[int], new: list[int]) -> bool:
    """Whether any wave may be larger than before; the last size repeats."""
    count = max(len(old), len(new))
    return any(n > o for o, n in zip(_repeated(old, count), _repeated(new, count), strict=True))


def _repeated(sizes: list[int], count: int) -> list[int]:
    return sizes + sizes[-1:] * (count - len(sizes))


def steeper(old: list[int], new: list[int]) -> bool:
    """Whether a ramp leaves out a step, or begins or rises by more in one step than before."""

    def rises(ramp: list[int]) -> int:
        return max(b - a for a, b in zip([0, *ramp], ramp, strict=False))

    return len(new) < len(old) or new[0] > old[0] or rises(new) > rises(old)


_WORKERS = "workers take it up within seconds"
_MIRRORS = "each mirror takes it up within seconds, between two cycles"
_SHIMS = "application processes take it up when they are started; gates and the monitor within seconds"
_BREAKERS = "application processes take it up when they are started; the monitor within seconds"
_WAVE = "the next wave; one that has begun keeps its own"
_SOAK = "the soak that is running, too"
_GATES = "whenever a gate is asked"
_RUN = "the next validation"
_UNITS = "copy units planned from now on"
_CLUSTER = "the next migrator cluster command"
_CHECK = "the next check of the window"
_ATTEMPT = "the next attempt to hand over"
_PRICE = "the next price taken"
_WRITES = "the writers' transactions use what was made from it"
_REHEARSAL = Baked("a rehearsal is made with it from its first second", "begin another rehearsal")
_SIDE = Baked(
    "it says which cluster is migrated",
    "to reach the same cluster another way, change what the reference leads to and restart the workers",
)

RULES: dict[str, Rule] = {
    "name": Baked("workflows, task queues and stored plans are named after it"),
    "classic.writer": _SIDE,
    "classic.readers": Live("the next audit"),
    "classic.cluster_id": Live(_ATTEMPT, any_change, "it names the cluster that the decommission deletes"),
    "limitless.dsn": _SIDE,
    "limitless.shards": Baked(
        "the cluster was made with so many shards", "split shards with the commands of Aurora Limitless"
    ),
    "limitless.cluster_id": Live(_CLUSTER, any_change, "it names the cluster that such a command changes or deletes"),
    "limitless.shard_group_id": Live(_CLUSTER, any_change, "it names the group that such a command changes or deletes"),
    "limitless.engine_version": Live("the next audit or provisioning", any_change, "what is refused is judged by it"),
    "limitless.min_acu": Live(f"{_CLUSTER}, {_PRICE}"),
    "limitless.max_acu": Live(_CLUSTER),
    "limitless.compute_redundancy": Live(_CLUSTER, lower, "fewer standbys answer when a shard fails"),
    "tables.schemas": Baked("capture, mirrors and the guard were made for the tables of these schemas"),
    "tables.tenant_key": Baked("it is the shard key of every table on Limitless"),
    "tables.table": Live(
        "whenever the inventory is taken", any_change, "tables that stay behind are lost when classic is retired"
    ),
    "tables.table.*.kind": Baked("the table was provisioned and captured as that"),
    "tables.table.*.tenant_column": Baked("the table's rows were sharded by it"),
    "tables.table.*.via": Baked("the table's rows were sharded by what it leads to"),
    "tables.table.*.key": Baked("the journal's entries are keys in these columns"),
    "dual_write.parts": Baked(f"{_WRITES}: each tenant has its mirror partition"),
    "dual_write.batch_rows": Live(_MIRRORS),
    "dual_write.poll_min_ms": Live(_MIRRORS),
    "dual_write.poll_max_ms": Live(_MIRRORS),
    "dual_write.ring_slots": Baked(f"{_WRITES}: the journal is a ring of so many tables"),
    "dual_write.ring_turn_s": Live(_MIRRORS),
    "dual_write.journal_limit_mb": Live(
        _MIRRORS, higher, "the journal may take more of classic's disk before it is an incident"
    ),
    "backfill.unit_rows": Live(_UNITS),
    "backfill.unit_tenants": Live(_UNITS),
    "backfill.split_rows": Live(_UNITS),
    "backfill.concurrency": Live("the next time a copy unit is begun"),
    "backfill.mb_per_s": Live("at once, unless migrator backfill throttle has set another rate"),
    "backfill.max_lag_s": Live("before the next copy unit", higher, "copies go on while mirrors are further behind"),
    "backfill.max_active_sessions": Live(
        "before the next copy unit", higher, "copies go on while classic is busier with its applications"
    ),
    "validation.max_age_s": Live(_GATES, higher, "gates accept older verdicts"),
    "validation.every_s": Live("the schedule changes within seconds", higher, "differences are found later"),
    "validation.share": Live(_RUN, lower, "differences are found later"),
    "validation.max_active_sessions": Live(_RUN, higher, "validation goes on while classic is busier"),
    "validation.rows_per_fence": Live(_RUN),
    "validation.tenants_per_fence": Live(_RUN),
    "validation.fence_wait_ms": Live(_MIRRORS),
    "validation.on_divergence": Live(_RUN, becomes("hold"), "tenants whose rows differ go on reading Limitless"),
    "shim.staleness_s": Live(_SHIMS, higher, "processes act for longer on routes that may have changed"),
    "shim.poll_s": Live(_SHIMS, higher, "processes hear of a rollback later"),
    "shim.ack_wait_s": Live(_SHIMS),
    "shim.max_lag_s": Live(_SHIMS, higher, "reads and gates accept a mirror that is further behind"),
    "shim.closed_wait_s": Live(_SHIMS),
    "shim.shadow_ratio": Live(_SHIMS, lower, "fewer reads are compared"),
    "breaker.window_s": Live(_BREAKERS, higher, "trouble on Limitless is noticed later"),
    "breaker.min_reads": Live(_BREAKERS, higher, "trouble is not seen where little is read"),
    "breaker.error_ratio": Live(_BREAKERS, higher, "more reads may fail before they come from classic"),
    "breaker.p99_ms": Live(_BREAKERS, higher, "reads may be slower before they come from classic"),
    "breaker.open_s": Live(_BREAKERS, lower, "reads return earlier to a side that was unhealthy"),
    "breaker.probes": Live(_BREAKERS, lower, "reads return after fewer good answers"),
    "breaker.quorum": Live(_BREAKERS, higher, "more processes must suffer before all fall back"),
    "breaker.validate_before_close": Live(
        _BREAKERS, becomes(False), "reads return to Limitless without a comparison of both sides"
    ),
    "waves.sizes": Live(_WAVE, larger_waves, "more tenants move at once"),
    "waves.hot_ratio": Live(_WAVE, higher, "tenants that moved alone and last move with others"),
    "waves.ramp_pct": Live(_WAVE, steeper, "more reads move in one step"),
    "waves.hot_ramp_pct": Live(_WAVE, steeper, "more reads move in one step"),
    "waves.soak_s": Live(_SOAK, lower, "a wave counts as done after a shorter watch"),
    "waves.baseline_s": Live("the baseline that is running, too", lower, "the guard compares with less"),
    "waves.window_s": Live(_SOAK, any_change, "what the guard saw in one window is not what it sees in another"),
    "waves.max_failed": Live(_SOAK, higher, "more tenants may suffer before the wave is rolled back"),
    "waves.p99_factor": Live(_SOAK, higher, "reads may be slower before a tenant is rolled back"),
    "waves.p99_floor_ms": Live(_SOAK, higher, "reads may be slower before a tenant is rolled back"),
    "waves.error_ratio": Live(_SOAK, higher, "more reads may fail before a tenant is rolled back"),
    "waves.approve_each": Live("the next wave", becomes(False), "waves begin without being approved"),
    "gates.audit": Live(_GATES, becomes("auto"), "the next phase begins without a person who has read the audit"),
    "gates.provision": Live(_GATES, becomes("auto"), "the next phase begins without a person who has seen Limitless"),
    "gates.dual_write": Live(_GATES, becomes("auto"), "reads move without a person who has seen the copy"),
    "gates.cutover": Live(_GATES, becomes("auto"), "the window opens without a person who has seen the waves"),
    "gates.acknowledged": Live(_GATES, names_more, "findings count as accepted"),
    "stabilization.days": Live(_CHECK, lower, "classic is a fallback for less time"),
    "stabilization.check_every_days": Live(_CHECK, higher, "both sides are compared less often"),
    "stabilization.on_incident": Live(_CHECK, becomes("pause"), "an incident no longer begins the days anew"),
    "stabilization.slo_patience_s": Live(_WORKERS, higher, "reads may be bad for longer before it is an incident"),
    "decommission.max_pause_s": Live(_ATTEMPT, higher, "applications may be without writes for longer"),
    "decommission.sequence_headroom": Live(_ATTEMPT, lower, "fewer numbers are left between the sides' sequences"),
    "decommission.release_classic": Live("the end of the hand-over", becomes(True), "the classic cluster is deleted"),
    "cost.classic_monthly_usd": Live(_PRICE),
    "cost.acu_hour_usd": Live(_PRICE),
    "cost.storage_gb_month_usd": Live(_PRICE),
    "cost.projected_monthly_usd": Live(_PRICE),
    "temporal.address": Baked("the histories of the running workflows are on that server"),
    "temporal.namespace": Baked("the histories of the running workflows are in that namespace"),
    "rehearsal": _REHEARSAL,
    "rehearsal.clock_scale": _REHEARSAL,
    "rehearsal.tenants": _REHEARSAL,
    "rehearsal.rows": _REHEARSAL,
    "rehearsal.hot_ratio": _REHEARSAL,
    "rehearsal.processes": _REHEARSAL,
    "rehearsal.threads": _REHEARSAL,
    "rehearsal.writes_per_s": _REHEARSAL,
    "rehearsal.reads_per_s": _REHEARSAL,
    "rehearsal.seed": _REHEARSAL,
}
