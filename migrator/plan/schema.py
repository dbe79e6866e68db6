"""The schema of a plan file.

Every field has its unit in its name and its meaning in its description; `migrator plan schema` prints this as
JSON Schema, and plans/README.md is checked against it. Defaults that come from the architecture decision (ADR)
say so.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from migrator.plan.alarms import Alarms
from migrator.plan.aws import Aws
from migrator.plan.board import Board
from migrator.plan.ending import Decommission, Drill, Preflight
from migrator.plan.governance import Governance
from migrator.plan.notify import Notify
from migrator.plan.section import SecretReference
from migrator.plan.section import Section as _Section
from migrator.plan.traffic_test import TrafficTest

DSN_REFERENCE = re.compile(
    r"^((rds-iam:)?(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|aws-secret:.+)|rds-iam://[^:/@]+@[^@]+|local:(classic|limitless))$"
)

DsnReference = Annotated[
    str,
    Field(
        description="Where the connection string is found: env:NAME, file:PATH, aws-secret:ID or local:classic / "
        "local:limitless; rds-iam: before one of them, or before //USER@HOST/DATABASE, has tokens of AWS IAM for "
        "passwords. Never a connection string with its password.",
        examples=["env:MIGRATOR_CLASSIC_DSN", "local:classic"],
    ),
]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Ratio = Annotated[float, Field(ge=0, le=1)]
PositiveS = Annotated[float, Field(gt=0)]


def _reference(value: str) -> str:
    if not DSN_REFERENCE.match(value):
        shown = "a connection string (not shown)" if "://" in value or "=" in value else repr(value)
        raise ValueError(
            f"{shown} is not a reference: use env:NAME, file:PATH, aws-secret:ID, rds-iam://USER@HOST/DATABASE "
            "or local:classic"
        )
    return value


class Classic(_Section):
    """The existing Aurora PostgreSQL cluster."""

    writer: DsnReference
    readers: list[DsnReference] = Field(
        default=[],
        description="Read replicas: the audit counts on the first, validation reads on the last; applications give "
        "their shims the connection strings.",
    )
    cluster_id: str | None = Field(None, description="AWS DB cluster identifier; only needed on AWS.")

    _check = field_validator("writer")(staticmethod(_reference))


class Limitless(_Section):
    """The Aurora Limitless cluster."""

    dsn: DsnReference
    shards: int = Field(4, ge=1, le=512, description="Shards expected (the stand-in deals its partitions to as many).")
    cluster_id: str | None = None
    shard_group_id: str | None = None
    engine_version: str = Field("16.13-limitless", description="Target engine; audit rules depend on it.")
    min_acu: float = Field(16, ge=16, description="AWS: at least 16.")
    max_acu: float = Field(64, ge=16, le=6144, description="AWS: 16 to 6144.")
    compute_redundancy: int = Field(1, ge=0, le=2, description="99.99 % needs at least 1 (Aurora FAQ).")

    _check = field_validator("dsn")(staticmethod(_reference))

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min_acu > self.max_acu:
            raise ValueError(f"min_acu {self.min_acu:g} is above max_acu {self.max_acu:g}")
        return self


class TablePlan(_Section):
    """What one table becomes."""

    kind: Literal["sharded", "reference", "standard", "excluded"]
    tenant_column: str | None = Field(None, description="When it differs from the plan's tenant key.")
    via: str | None = Field(
        None,
        description="For a table without the tenant column: 'column -> parent.column', for example "
        "'order_id -> app.orders.id'. The parent may itself be derived.",
        pattern=r"^[^>]+->[^>]+$",
    )
    key: list[str] | None = Field(None, description="A unique NOT NULL key to use where there is no primary key.")

    @model_validator(mode="after")
    def _only_sharded(self) -> Self:
        if self.kind != "sharded" and (self.via or self.tenant_column):
            raise ValueError(f"a {self.kind} table has no tenant: remove via and tenant_column")
        if self.via and self.tenant_column:
            raise ValueError("via and tenant_column exclude each other")
        return self


class Tables(_Section):
    schemas: list[str] = Field(default=["public"], min_length=1, description="Schemas to migrate.")
    tenant_key: str = Field("tenant_id", description="Name of the tenant column, on classic and on Limitless.")
    table: dict[str, TablePlan] = Field(
        default={},
        description="By qualified name. Tables not named here are sharded when they have the tenant key; "
        "any other table must be named.",
    )


class DualWrite(_Section):
    parts: int = Field(2, ge=1, le=61, description="Mirror partitions for tenants; reference tables have their own.")
    batch_rows: int = Field(20_000, ge=100, description="Rows one mirror transaction applies at most.")
    poll_min_ms: float = Field(10, gt=0)
    poll_max_ms: float = Field(250, gt=0)
    ring_slots: int = Field(3, ge=3, le=16)
    ring_turn_s: PositiveS = 30.0
    journal_limit_mb: float = Field(4096, gt=0, description="Above this the backfill pauses and status alarms.")


class Backfill(_Section):
    unit_rows: int = Field(200_000, ge=1, description="Small tenants are grouped up to this many rows.")
    unit_tenants: int = Field(50, ge=1)
    split_rows: int = Field(2_000_000, ge=1, description="A tenant's table above this is split by key range.")
    concurrency: int = Field(4, ge=1, le=64)
    mb_per_s: float | None = Field(None, gt=0, description="Copy rate limit; none by default.")
    max_lag_s: PositiveS = Field(30.0, description="The copy pauses while the mirror lags more than this.")
    max_active_sessions: int = Field(
        200, ge=1, description="The copy pauses while classic runs more statements than this."
    )


class Validation(_Section):
    max_age_s: PositiveS = Field(3600.0, description="A gate accepts a clean validation up to this age.")
    every_s: PositiveS = Field(900.0, description="The schedule's interval.")
    share: float = Field(0.5, gt=0, le=1, description="Share of the time that scheduled validation works.")
    max_active_sessions: int = Field(
        200, ge=1, description="Scheduled validation rests while classic runs more statements than this."
    )
    rows_per_fence: int = Field(
        10_000_000, ge=1, description="Rows compared at one fence; a tenant with more has one of its own."
    )
    tenants_per_fence: int = Field(100, ge=1)
    fence_wait_ms: PositiveS = Field(2000.0, description="The mirror waits for the validator at most this long.")
    on_divergence: Literal["hold", "hold_and_fall_back"] = "hold_and_fall_back"
    replica_reads: bool = Field(
        True,
        description="Classic's rows are read on the last of `classic.readers`, where there is one, and on the writer "
        "only those of tenants that differ there; false: on the writer.",
    )


class Shim(_Section):
    staleness_s: PositiveS = Field(3.0, description="A process whose routes are older reads from classic.")
    poll_s: PositiveS = 0.5
    ack: Literal["everywhere", "session", "none"] = Field(
        "everywhere", description="Level of acknowledgement of a write that names none (docs/acknowledgement.md)."
    )
    ack_wait_s: PositiveS = Field(1.0, description="A write waits at most this long for the mirror, then falls back.")
    max_lag_s: PositiveS = Field(5.0, description="A partition whose published position is older is not read.")
    closed_wait_s: PositiveS = Field(30.0, description="A write waits at most this long while writes are closed.")
    session_wait_s: float = Field(
        0.0, ge=0, le=10, description="A read with a token waits so long for the mirror, then it goes to classic."
    )
    shadow_ratio: Ratio = 0.0
    replica_reads: bool = Field(
        True,
        description="Reads of classic go to the replicas that the application gives its shims (`readers`), and "
        "acknowledged writes wait for those; false: to the writer.",
    )
    replica_wait_s: PositiveS = Field(
        0.5, description="A write waits at most this long for a replica, which is then taken out of service."
    )
    replica_answer_s: PositiveS = Field(1.0, description="A replica that takes longer to begin a read is given up.")
    writer_reads_per_s: float = Field(
        50.0,
        ge=0,
        description="Reads a second and process that the writer takes in the place of replicas; 0: without a bound.",
    )


class Breaker(_Section):
    window_s: PositiveS = 5.0
    min_reads: int = Field(20, ge=1)
    error_ratio: Ratio = 0.2
    p99_ms: PositiveS = 1000.0
    open_s: PositiveS = 2.0
    probes: int = Field(3, ge=1)
    quorum: float = Field(0.5, gt=0, le=1, description="Share of live processes that trips it for all.")
    validate_before_close: bool = True


class Waves(_Section):
    sizes: list[int] = Field(
        default=[5, 25, 100], min_length=1, description="Tenants of the first waves; the last repeats."
    )
    hot_ratio: float = Field(
        20.0,
        gt=1,
        description="A tenant above this many times the median in rows or recent writes, with a hundredth of all, is "
        "hot: alone and last.",
    )
    ramp_pct: list[int] = Field(default=[100], description="Percentages a wave goes through.")
    hot_ramp_pct: list[int] = Field(default=[10, 50, 100])
    soak_s: PositiveS = Field(86_400.0, description="Watch time after each step of a wave.")
    baseline_s: PositiveS = 600.0
    window_s: PositiveS = Field(60.0, description="The guard judges the last so many seconds, and longer windows.")
    max_failed: int = Field(2, ge=0, description="More rollbacks than this roll the whole wave back.")
    p99_factor: float = Field(2.0, gt=1, description="Tenant p99 on Limitless against its own on classic.")
    p99_floor_ms: PositiveS = Field(50.0, description="Below this p99 nothing is wrong, whatever the factor.")
    error_ratio: Ratio = 0.01
    approve_each: bool = Field(False, description="Wait for an approval before every wave.")
    canaries: list[str] = Field(
        default=[], description="Tenants that move first: in the first wave, before the smallest."
    )
    new_tenants: Literal["after_waves", "next_wave", "classic"] = Field(
        "after_waves",
        description="Tenants that sign up once the cutover has begun: `after_waves` move in waves of their own after "
        "all others, `next_wave` with the next wave, `classic` stay until migrator tenant move names them.",
    )

    @field_validator("ramp_pct", "hot_ramp_pct")
    @classmethod
    def _ramp(cls, value: list[int]) -> list[int]:
        if not value or value[-1] != 100 or value != sorted(set(value)) or value[0] < 1:
            raise ValueError(f"{value} must rise from at least 1 and end at 100")
        return value

    @model_validator(mode="after")
    def _room(self) -> Self:
        names = self.canaries
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"canaries are named twice: {', '.join(twice)}")
        if len(names) > self.sizes[0]:
            raise ValueError(f"{len(names)} canaries are named, the first wave has {self.sizes[0]} tenants (sizes)")
        return self


class Gates(_Section):
    audit: Literal["auto", "approval"] = "approval"
    provision: Literal["auto", "approval"] = "approval"
    dual_write: Literal["auto", "approval"] = "approval"
    cutover: Literal["auto", "approval"] = "approval"
    acknowledged: list[str] = Field(
        default=[],
        description="What the team accepts, by id: findings of the audit, differences of rights, runway.short, "
        "runway.unknown, runway.floor, preflight.CODE or preflight.CODE:SUBJECT, drill.stale, shadow.CODE or "
        "shadow.CODE:FINGERPRINT, load.CODE (with <=SIZE behind it, up to that size), reads.differ:FINGERPRINT, "
        "reads.not_compared.",
    )


class Stabilization(_Section):
    days: float = Field(90, gt=0, description="ADR: 90 days without incident.")
    check_every_days: float = Field(1, gt=0)
    on_incident: Literal["restart", "pause"] = "restart"
    slo_patience_s: PositiveS = Field(
        120.0, description="Reads on Limitless over a limit of [waves] are an incident once they last this long."
    )


class Cost(_Section):
    classic_monthly_usd: float = Field(0, ge=0)
    acu_hour_usd: float = Field(
        0, ge=0, description="Your price; AWS publishes no Limitless ACU price per Region here."
    )
    storage_gb_month_usd: float = Field(0, ge=0)
    projected_monthly_usd: float = Field(0, ge=0)
    over_pct: float = Field(
        10.0, ge=0, description="A month's forecast more than so many percent above the projection is over it."
    )


class Pace(_Section):
    """Targets that copies and scheduled validation keep on both sides, by going slower."""

    classic_ms: float = Field(200.0, gt=0, description="A small committed write on classic takes at most this long.")
    limitless_ms: float = Field(300.0, gt=0, description="A small read on Limitless takes at most this long.")
    replica_lag_s: PositiveS = Field(10.0, description="Classic's replicas are at most this far behind.")
    acu_pct: float = Field(
        80.0, gt=0, le=100, description="AWS: use of the shard group's maximum capacity, in percent."
    )
    floor: float = Field(0.1, gt=0, le=1, description="Share of the plan's rate and concurrency that is always left.")


class Runway(_Section):
    """How long classic's writer has to last, and what is known of it beside what is measured."""

    cpu_pct: float | None = Field(
        None,
        ge=0,
        le=100,
        description="CPU of classic's writer in its busiest hour, in percent, before capture; for where neither "
        "CloudWatch (classic.cluster_id) nor this machine tells it. Unknown is no yes: the gate then refuses.",
    )
    vcpus: int | None = Field(None, ge=1, description="vCPUs of classic's writer, where its instance class is unknown.")
    monthly_growth_pct: float = Field(
        15.0, ge=0, description="Growth of the load a month, in percent, until a measurement is believed (ADR: 15)."
    )
    weeks: float = Field(24.0, gt=0, description="From the migration's start until classic is retired (ADR: 24).")
    full_pct: float = Field(100.0, gt=0, le=100, description="CPU in percent at which the writer counts as full.")
    floor_weeks: float = Field(
        2.0, ge=0, description="No further wave begins when the writer is full in fewer weeks than this."
    )


class Metrics(_Section):
    """Where a worker shows what it measures (docs/metrics.md)."""

    listen: str | None = Field(
        None,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+):[0-9]{1,5}$",
        description="HOST:PORT where a worker serves /metrics for Prometheus; without it none does. `migrator worker "
        "--metrics` wins.",
    )
    otlp: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="URL of an OpenTelemetry collector (OTLP over HTTP) that workers send metrics and traces to, as "
        "OTEL_EXPORTER_OTLP_ENDPOINT, which wins. Headers with secrets: OTEL_EXPORTER_OTLP_HEADERS.",
    )
    otlp_every_s: PositiveS = Field(15.0, description="Metrics are sent this often; OTEL_METRIC_EXPORT_INTERVAL wins.")


PROFILE = "profile"
"""The value of temporal.address that leaves address and namespace to the configuration of Temporal's SDK."""


class Temporal(_Section):
    address: str = Field(
        "local",
        description="host:port, 'local' for the embedded dev server, or 'profile': TEMPORAL_ADDRESS and "
        "TEMPORAL_NAMESPACE, then the profile's own.",
    )
    namespace: str = "default"
    profile: str | None = Field(
        None,
        min_length=1,
        description="A profile of Temporal's SDK (TEMPORAL_CONFIG_FILE): TLS, certificates, API key.",
    )
    api_key: SecretReference | None = Field(
        None, description="Where the API key is found; read again each minute. It goes before TEMPORAL_API_KEY."
    )
    encryption_keys: list[SecretReference] = Field(
        default=[],
        description="Where keys are found that encrypt what Temporal stores: the first encrypts, all decrypt.",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_profile_has_an_address(cls, values: Any) -> Any:
        """A profile without an address beside it gives that, too."""
        if isinstance(values, dict) and values.get("profile") and "address" not in values:
            return {**values, "address": PROFILE}
        return values


REHEARSED = (
    ("local:classic", "local:limitless", "local"),
    ("env:MIGRATOR_CLASSIC_DSN", "env:MIGRATOR_LIMITLESS_DSN", "127.0.0.1:7233"),
)
"""Targets of a plan that may be rehearsed: servers of this machine, or the containers of docker-compose.yml."""


class Rehearsal(_Section):
    """Only for `migrator rehearse`: the demo's data, its traffic, and how fast its days pass."""

    clock_scale: float = Field(1.0, ge=1, description="Days of the stabilization pass this many times faster.")
    tenants: int = Field(200, ge=2)
    rows: int = Field(200_000, ge=1000)
    hot_ratio: float = Field(100, ge=1)
    processes: int = Field(2, ge=1, le=16)
    threads: int = Field(3, ge=1, le=32)
    writes_per_s: float = Field(60, gt=0, description="All processes together.")
    reads_per_s: float = Field(120, gt=0)
    seed: int = 1


class Plan(_Section):
    """A migration, declared."""

    name: Name
    classic: Classic
    limitless: Limitless
    tables: Tables = Tables()
    dual_write: DualWrite = DualWrite()
    backfill: Backfill = Backfill()
    validation: Validation = Validation()
    pace: Pace = Pace()
    shim: Shim = Shim()
    breaker: Breaker = Breaker()
    waves: Waves = Waves()
    gates: Gates = Gates()
    traffic_test: TrafficTest = TrafficTest()
    stabilization: Stabilization = Stabilization()
    preflight: Preflight = Preflight()
    drill: Drill = Drill()
    decommission: Decommission = Decommission()
    cost: Cost = Cost()
    runway: Runway = Runway()
    metrics: Metrics = Metrics()
    alarms: Alarms = Alarms()
    aws: Aws = Aws()
    temporal: Temporal = Temporal()
    notify: Notify = Notify()
    board: Board = Board()
    governance: Governance = Governance()
    rehearsal: Rehearsal | None = None

    @property
    def clock_scale(self) -> float:
        """Planned seconds per real second; migrator.control.rehearsal says where it applies."""
        return self.rehearsal.clock_scale if self.rehearsal else 1.0

    @property
    def asks_preflight(self) -> bool:
        """Whether gates ask what else uses classic, and what AWS says of both sides."""
        return self.rehearsal is None if self.preflight.gate is None else self.preflight.gate

    @property
    def is_local(self) -> bool:
        """Whether both sides are the servers that the tool keeps on this machine."""
        return (self.classic.writer, self.limitless.dsn) == ("local:classic", "local:limitless")
