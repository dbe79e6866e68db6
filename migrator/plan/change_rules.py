"""Which values of a plan may change while its migration runs, and when is a change one that a person must approve?

One entry per field of the schema; a test enumerates them. A field is *live* (it changes), live with an approval when
the change loosens a guard, or *baked* (what was made from it cannot be told to be otherwise).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from migrator.model.ack import Ack
from migrator.model.condition import Kind, Severity

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


def weaker(old: str, new: str) -> bool:
    """Whether writes are acknowledged by a weaker level than before."""
    levels = list(Ack)  # the strongest first
    return levels.index(Ack(new)) > levels.index(Ack(old))


def names_more(old: list[str], new: list[str]) -> bool:
    return bool(set(new) - set(old))


def not_only_more(old: list[Any], new: list[Any]) -> bool:
    """Whether anything else than an addition at the end was done to a list whose first match decides."""
    return new[: len(old)] != old


def names_fewer(old: list[str], new: list[str]) -> bool:
    return bool(set(old) - set(new))


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


def tells_less(old: Any, new: Any) -> bool:
    """Whether a receiver is told of less than before; None: there is none."""
    if old is None or new is None:
        return new is None
    narrower = bool(new.get("kinds")) and not set(new["kinds"]) >= set(old.get("kinds") or Kind)
    return narrower or _least(new) > _least(old)


def _least(receiver: Any) -> int:
    return Severity(receiver.get("severity") or ("error" if receiver.get("kind") == "pagerduty" else "info")).rank


def keeps_less(old: float | None, new: float | None) -> bool:
    """Whether something is kept for less time than before; None: without an end."""
    return new is not None and (old is None or new < old)


def asks_less(old: float | None, new: float | None) -> bool:
    """Whether less is asked for than before; None: what another value of the plan says, which may be less."""
    return old is None or new is None or new < old


def keeps_less_often(old: float | None, new: float | None) -> bool:
    """Whether something is asked for less often than before; None: never."""
    return old is not None and (new is None or new > old)


def rarer(old: float, new: float) -> bool:
    """Whether something is repeated less often; 0 is never."""
    return bool(old) and (not new or new > old)


_WORKERS = "workers take it up within seconds"
_STARTED = "workers take it up when they are started"
_MIRRORS = "each mirror takes it up within seconds, between two cycles"
_SHIMS = "application processes take it up when they are started; gates and the monitor within seconds"
_BREAKERS = "application processes take it up when they are started; the monitor within seconds"
_WAVE = "the next wave; one that has begun keeps its own"
_SOAK = "the soak that is running, too"
_GATES = "whenever a gate is asked"
_RUN = "the next validation"
_UNITS = "copy units planned from now on"
_CLUSTER = "the next migrator cluster command"
_TFVARS = "the next migrator plan terraform"
_CHECK = "the next check of the window"
_ATTEMPT = "the next attempt to hand over"
_KEPT = "the next look at what is kept of classic"
_DOSSIER = "the next dossier that is written"
_PRICE = "from this moment on; what was used before keeps its price"
_NOTIFIER = "the notifier takes it up within seconds"
_WEBHOOK = "the webhook takes it up within a minute; one that was given --plan reads that file"
_SECRET = Live(_WEBHOOK)
_OIDC = Live("the next sign-in to the board", any_change, "another provider says who a person is")
_ALARM_RULES = Live(_WEBHOOK, not_only_more, "an alarm may no longer bring reads back to classic")
_WRITES = "the writers' transactions use what was made from it"
_REHEARSAL = Baked("a rehearsal is made with it from its first second", "begin another rehearsal")
_SIDE = Baked(
    "it says which cluster is migrated",
    "to reach the same cluster another way, change what the reference leads to and restart the workers",
)

RULES: dict[str, Rule] = {
    "name": Baked("workflows, task queues and stored plans are named after it"),
    "classic.writer": _SIDE,
    "classic.readers": Live("the next audit and the next validation"),
    "classic.cluster_id": Live(_ATTEMPT, any_change, "it names the cluster that the decommission deletes"),
    "limitless.dsn": _SIDE,
    "limitless.shards": Baked(
        "the cluster was made with so many shards", "split shards with the commands of Aurora Limitless"
    ),
    "limitless.cluster_id": Live(_CLUSTER, any_change, "it names the cluster that such a command changes or deletes"),
    "limitless.shard_group_id": Live(_CLUSTER, any_change, "it names the group that such a command changes or deletes"),
    "limitless.engine_version": Live("the next audit or provisioning", any_change, "what is refused is judged by it"),
    "limitless.min_acu": Live(f"{_CLUSTER}, the next look at Limitless"),
    "limitless.max_acu": Live(_CLUSTER),
    "limitless.compute_redundancy": Live(_CLUSTER, lower, "fewer standbys answer when a shard fails"),
    "aws.managed_by": Live(_CLUSTER, any_change, "another one then changes and deletes the cluster"),
    "aws.region": Live(_CLUSTER, any_change, "a cluster of the same name may be another one there"),
    "aws.project": Live(_CLUSTER),
    "aws.owner": Live(_CLUSTER),
    "aws.tags": Live(_CLUSTER),
    "aws.subnet_group": Baked("the cluster was made in it", "AWS moves no cluster to another one"),
    "aws.security_groups": Live(_CLUSTER, any_change, "other addresses may reach Limitless, or none"),
    "aws.parameter_group": Live(_CLUSTER, any_change, "Limitless may behave otherwise than it was probed"),
    "aws.kms_key_id": Baked("the storage is encrypted with it"),
    "aws.monitoring_role_arn": Live(_CLUSTER),
    "aws.monitoring_interval_s": Live(_CLUSTER),
    "aws.master_username": Baked("the cluster was made with it"),
    "aws.deletion_protection": Live(_CLUSTER, becomes(False), "AWS then deletes the cluster when it is asked to"),
    "aws.auto_minor_version_upgrade": Live(
        _CLUSTER, becomes(True), "AWS may change the engine that the audit and the probe judged"
    ),
    "aws.backup_retention_days": Live(_CLUSTER, lower, "AWS can restore fewer days"),
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
    "validation.replica_reads": Live(_RUN),
    "validation.on_divergence": Live(_RUN, becomes("hold"), "tenants whose rows differ go on reading Limitless"),
    "pace.classic_ms": Live(_WORKERS, higher, "copies and validation go on while classic is slower"),
    "pace.limitless_ms": Live(_WORKERS, higher, "copies and validation go on while Limitless is slower"),
    "pace.replica_lag_s": Live(_WORKERS, higher, "copies and validation go on while replicas are further behind"),
    "pace.acu_pct": Live(_WORKERS, higher, "copies and validation go on while Limitless is fuller"),
    "pace.floor": Live(_WORKERS, higher, "copies and validation take more of sides that are slow"),
    "shim.staleness_s": Live(_SHIMS, higher, "processes act for longer on routes that may have changed"),
    "shim.poll_s": Live(_SHIMS, higher, "processes hear of a rollback later"),
    "shim.ack": Live(_SHIMS, weaker, "writes that name no level return before every later read sees them"),
    "shim.ack_wait_s": Live(_SHIMS),
    "shim.max_lag_s": Live(_SHIMS, higher, "reads and gates accept a mirror that is further behind"),
    "shim.closed_wait_s": Live(_SHIMS),
    "shim.session_wait_s": Live(_SHIMS),
    "shim.shadow_ratio": Live(_SHIMS, lower, "fewer reads are compared"),
    "shim.replica_reads": Live(_SHIMS, becomes(False), "the writer answers what its replicas answered"),
    "shim.replica_wait_s": Live(_SHIMS),
    "shim.replica_answer_s": Live(_SHIMS),
    "shim.writer_reads_per_s": Live(_SHIMS, higher, "the writer may get more reads when replicas are lost"),
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
    "waves.canaries": Live("the first wave, if it is not chosen yet"),
    "waves.new_tenants": Live("the next wave"),
    "gates.audit": Live(_GATES, becomes("auto"), "the next phase begins without a person who has read the audit"),
    "gates.provision": Live(_GATES, becomes("auto"), "the next phase begins without a person who has seen Limitless"),
    "gates.dual_write": Live(_GATES, becomes("auto"), "reads move without a person who has seen the copy"),
    "gates.cutover": Live(_GATES, becomes("auto"), "the window opens without a person who has seen the waves"),
    "gates.acknowledged": Live(_GATES, names_more, "findings count as accepted"),
    "traffic_test.shadow_required": Live(_GATES, becomes(False), "dual write may begin without a shadow run"),
    "traffic_test.load_required": Live(_GATES, becomes(False), "dual write may begin without a load test"),
    "traffic_test.max_age_days": Live(_GATES, higher, "older results of shadow runs and load tests count"),
    "traffic_test.p99_factor": Live(_GATES, higher, "statements may get slower on Limitless"),
    "traffic_test.p99_floor_ms": Live(_GATES, higher, "statements may get slower on Limitless"),
    "traffic_test.min_calls": Live(_GATES, lower, "statements count as tried that were repeated less often"),
    "traffic_test.growth_months": Live(_GATES, asks_less, "Limitless is asked to carry less growth"),
    "traffic_test.reads_days": Live("the next wave", lower, "waves forget earlier that reads differed"),
    "stabilization.days": Live(_CHECK, lower, "classic is a fallback for less time"),
    "stabilization.check_every_days": Live(_CHECK, higher, "both sides are compared less often"),
    "stabilization.on_incident": Live(_CHECK, becomes("pause"), "an incident no longer begins the days anew"),
    "stabilization.slo_patience_s": Live(_WORKERS, higher, "reads may be bad for longer before it is an incident"),
    "decommission.max_pause_s": Live(_ATTEMPT, higher, "applications may be without writes for longer"),
    "decommission.sequence_headroom": Live(_ATTEMPT, lower, "fewer numbers are left between the sides' sequences"),
    "decommission.release_classic": Live("the end of the hand-over", becomes(True), "the classic cluster is deleted"),
    "decommission.keep_classic_days": Live(_KEPT, lower, "classic may be deleted earlier"),
    "decommission.keep_snapshot_days": Live(_KEPT, keeps_less, "classic's last copy may be deleted earlier"),
    "decommission.restore_drill": Live(
        _KEPT, becomes(False), "classic may be deleted before its last copy was restored"
    ),
    "preflight.gate": Live(_GATES, becomes(False), "gates no longer ask who else uses classic"),
    "preflight.watched_days": Live(_GATES, lower, "who uses classic now and then may not have been seen"),
    "preflight.quiet_days": Live(_GATES, lower, "who was seen on classic counts as gone earlier"),
    "drill.max_age_days": Live(
        "the next wave", keeps_less_often, "waves go on longer without a rollback that was practised"
    ),
    "decommission.dossier": Live(_DOSSIER, any_change, "the record of the migration goes to another place"),
    "decommission.dossier_key": Live(_DOSSIER, any_change, "another key signs the record of the migration, or none"),
    "decommission.dossier_fingerprint": Live(_DOSSIER, any_change, "another key is trusted to sign that record"),
    "decommission.dossier_kms_key_id": Live(_DOSSIER, any_change, "other people may read that record"),
    "decommission.dossier_retain_days": Live(_DOSSIER, any_change, "the record may be deleted at another time"),
    "cost.classic_monthly_usd": Live(_PRICE),
    "cost.acu_hour_usd": Live(_PRICE),
    "cost.storage_gb_month_usd": Live(_PRICE),
    "cost.projected_monthly_usd": Live(_PRICE),
    "cost.over_pct": Live(_PRICE, higher, "a bill above the projection is reported later"),
    "runway.cpu_pct": Live(
        _GATES, any_change, "where nothing is measured, the forecast of classic's writer rests on it"
    ),
    "runway.vcpus": Live(_GATES, higher, "capture is said to cost less of classic's writer"),
    "runway.monthly_growth_pct": Live(_GATES, lower, "classic's writer is said to last longer"),
    "runway.weeks": Live(_GATES, lower, "classic's writer is asked to last for less time"),
    "runway.full_pct": Live(_GATES, higher, "classic's writer is said to last longer"),
    "runway.floor_weeks": Live(_GATES, lower, "waves begin when classic's writer is closer to being full"),
    "metrics.listen": Live(_STARTED),
    "metrics.otlp": Live(_STARTED),
    "metrics.otlp_every_s": Live(_STARTED),
    "alarms.max_age_s": Live(_WEBHOOK, lower, "alarms that arrive late no longer act"),
    "alarms.requests_per_s": Live(_WEBHOOK),
    "alarms.burst": Live(_WEBHOOK),
    "alarms.cloudwatch.topics": Live(_WEBHOOK, names_fewer, "alarms of a topic are no longer taken"),
    "alarms.cloudwatch.secret": _SECRET,
    "alarms.cloudwatch.rules": _ALARM_RULES,
    "alarms.alertmanager.secret": _SECRET,
    "alarms.alertmanager.rules": _ALARM_RULES,
    "alarms.datadog.secret": _SECRET,
    "alarms.datadog.rules": _ALARM_RULES,
    "alarms.pagerduty.secret": _SECRET,
    "alarms.pagerduty.rules": _ALARM_RULES,
    "temporal.address": Baked("the histories of the running workflows are on that server"),
    "temporal.profile": Live(
        "the next start of workers and commands", any_change, "another server may be reached by it"
    ),
    "temporal.api_key": Live("the next start of workers and commands"),
    "temporal.encryption_keys": Live(
        "the next start of workers and commands",
        not_only_more,
        "what was encrypted with a key that is missing cannot be read, and without any nothing is encrypted",
    ),
    "temporal.namespace": Baked("the histories of the running workflows are in that namespace"),
    "notify.receiver": Live(_NOTIFIER, tells_less, "somebody is told of less"),
    "notify.look_s": Live(_NOTIFIER, higher, "people are told later"),
    "notify.tell_after_s": Live(_NOTIFIER, higher, "people are told later"),
    "notify.over_after_s": Live(_NOTIFIER),
    "notify.repeat_s": Live(_NOTIFIER, rarer, "people are told again less often"),
    "notify.quiet_start_s": Live(_NOTIFIER, higher, "people are told later"),
    "notify.unreachable_s": Live(_NOTIFIER, higher, "people are told later"),
    "notify.keep_days": Live(_NOTIFIER),
    "board.token": Live("the next start of migrator serve"),
    "governance.authentication": Live(_GATES, any_change, "other people may approve, or are known by less"),
    "governance.approver": Live(_GATES, any_change, "other people may approve"),
    "governance.four_eyes": Live(_GATES, names_fewer, "one person approves alone"),
    "governance.approval_valid_s": Live(_GATES, higher, "an approval counts for longer"),
    "governance.oidc_header": _OIDC,
    "governance.oidc_issuer": _OIDC,
    "governance.oidc_audience": _OIDC,
    "governance.oidc_jwks": _OIDC,
    "governance.oidc_claim": _OIDC,
    "board.read_token": Live("the next start of migrator serve", becomes(None), "reading the board needs no token"),
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
