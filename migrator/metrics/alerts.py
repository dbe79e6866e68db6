"""Alerts for Prometheus: one for each condition that stands, and for what only a series of values shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migrator.metrics import catalogue as c
from migrator.model.condition import ABOUT, Kind, Severity


@dataclass(frozen=True, slots=True)
class Alert:
    """lasts: how long it has to be so, as Prometheus writes it. severity: None where the series has one as a label."""

    name: str
    expr: str
    lasts: str
    summary: str
    runbook: str
    severity: Severity | None = None


EVENTS = frozenset(
    {
        Kind.CLASSIC_UNREACHABLE,  # seen by `migrator_up`
        Kind.RECEIVER_FAILING,  # said by the notifier itself
        Kind.INCIDENT, Kind.WINDOW_RESTARTED, Kind.PHASE_DONE, Kind.WAVE_BEGUN, Kind.WAVE_DONE, Kind.HANDED_OVER,
        Kind.FINISHED,
    }
)  # fmt: skip
"""Kinds that no condition stands for: they happen, or are seen otherwise."""

RUNBOOK: Mapping[Kind, str] = {
    Kind.CAPTURE_BROKEN: "Writes may pass the journal, so Limitless may miss them. See docs/reliability.md; then copy "
    "everything again: migrator mirror recopy",
    Kind.DIVERGENCE: "Rows differ between the sides. See which: migrator validation history; repair them: migrator "
    "validate --repair",
    Kind.ROLLBACK: "All reads come from classic. Correct the cause, then: migrator cutover",
    Kind.READS_DIFFER: "Shadow reads got another answer from Limitless over the same rows, and no further wave begins. "
    "See: migrator reads; compare the rows: migrator validate --tenant ID",
    Kind.FALLBACK: "Reads come from classic until Limitless has recovered; most fallbacks clear by themselves. See: "
    "migrator breaker show",
    Kind.SLO_BREACH: "Reads on Limitless are slower, or fail more often, than the plan allows. If customers suffer: "
    "migrator rollback --tenant ID, or --all",
    Kind.QUARANTINE: "Limitless refuses a row of each quarantined tenant; such tenants read classic. See the reasons: "
    "migrator mirror quarantine; then: migrator mirror retry",
    Kind.MIRROR_STALLED: "Limitless does not follow classic. Does a worker run? See: migrator mirror status",
    Kind.JOURNAL_OVER_LIMIT: "The journal takes more of classic's disk than dual_write.journal_limit_mb. See what "
    "keeps it: migrator mirror status",
    Kind.WRITES_CLOSED: "Applications cannot write. They can again within decommission.max_pause_s; if not: migrator "
    "decommission reopen",
    Kind.WORKER_GONE: "Start workers: migrator worker. Reads, writes and rollback go on without them; mirrors do not",
    Kind.WORKER_OUTDATED: "Restart the workers that migrator status names, with the plan and version that run",
    Kind.WORKFLOW_ENDED: "Correct the cause that migrator status shows, then: migrator resume",
    Kind.MIGRATION_FAILED: "See why: migrator status; then go on with migrator resume or begin again with migrator run",
    Kind.GATE_WAITS: "Read the evidence that migrator status names, then: migrator approve GATE --as NAME",
    Kind.GATE_SHUT: "See every blocker: migrator status; correct them, then: migrator resume",
    Kind.COPY_FAILED: "See why: migrator backfill status; correct the cause, then: migrator resume",
    Kind.COPY_PAUSED: "A person or a busy side paused the copy: migrator backfill throttle --resume",
    Kind.VALIDATION_STALE: "No validation finished for twice the time that the plan allows. See: migrator validation "
    "schedule show",
    Kind.RUNWAY_SHORT: "Classic's writer is full before classic can be retired, or that is unknown. See what closes "
    "it: migrator status, docs/runway.md",
    Kind.REPLICAS_OUT: "Reads of classic go to fewer servers. A replica comes back by itself; see: migrator status",
    Kind.PROCESS_SILENT: "A process of an application sends no heartbeat and reads classic by itself. Was it stopped?",
    Kind.RIGHTS_DIFFER: "Roles may do less on Limitless than on classic. See and level them: migrator roles --apply",
    Kind.COST_OVER_PROJECTION: "Limitless costs more than cost.projected_monthly_usd. See: migrator cost --shards",
    Kind.DRILL_STALE: "Whether a rollback works today is not known, and no further wave begins. Practise one: migrator "
    "drill rollback --wave N",
    Kind.SCHEMA_VERSION: "The tool's own tables are of another version than its processes: migrator upgrade",
    Kind.BLOCKED: "Something keeps the migration from going on. See: migrator status",
}


def of_kind(kind: Kind) -> Alert:
    """Return the alert of a condition. One that often clears by itself has to last."""
    about = ABOUT[kind]
    name = "Migrator" + "".join(word.capitalize() for word in kind.value.split("_"))
    expr = f'max by (plan, severity) ({c.CONDITIONS.name}{{kind="{kind.value}"}}) > 0'
    return Alert(name, expr, "3m" if about.patient else "30s", f"{about.title} ({{{{ $labels.plan }}}})", RUNBOOK[kind])


def _grew(metric: str) -> str:
    return f"max by (plan) ({metric}) - max by (plan) ({metric} offset 10m) > 0"


def _rate(metric: str, over: str = "5m") -> str:
    """Return how fast a counter grows. Every exporter says the same, so their largest stands for all."""
    return f"max by (plan) (rate({metric}[{over}]))"


_LIMITLESS = '{side="limitless"}'

SERIES: tuple[Alert, ...] = (
    Alert(
        "MigratorNothingScraped", f"absent({c.UP.name})", "5m", "no worker or server of the migrator is scraped",
        "Nothing is known of the migration. Does a worker with --metrics run, and does Prometheus reach it?",
        Severity.CRITICAL,
    ),
    Alert(
        "MigratorClassicUnreachable", f"max by (plan) ({c.UP.name}) == 0", "1m",
        "classic does not answer ({{ $labels.plan }})",
        "Is it down, or unreachable from the workers? Everything else about the migration is unknown meanwhile. Once "
        "classic is retired, stop the workers and remove the target.",
        Severity.CRITICAL,
    ),
    Alert(
        "MigratorIncident", _grew(c.INCIDENTS.name), "0s", "an incident was recorded ({{ $labels.plan }})",
        "See it: migrator report incidents. It restarts or pauses the stabilization window.", Severity.ERROR,
    ),
    Alert(
        "MigratorWindowRestarted", _grew(c.WINDOW_RESTARTS.name), "0s",
        "the stabilization window began again ({{ $labels.plan }})",
        "The days count from now. See the incident: migrator report incidents", Severity.WARNING,
    ),
    Alert(
        "MigratorReadErrors",
        f"{_rate(c.READ_ERRORS.name + _LIMITLESS)} > 0.01 * {_rate(c.READS.name + _LIMITLESS)}", "5m",
        "over 1 % of the reads on Limitless fail ({{ $labels.plan }})",
        f"By which errors: {c.READ_STATES.name}. If customers suffer: migrator rollback --all --reason TEXT",
        Severity.ERROR,
    ),
    Alert(
        "MigratorWritesUnconfirmed", f"max by (plan) (increase({c.UNCONFIRMED.name}[10m])) > 0", "0s",
        "committed writes were not acknowledged ({{ $labels.plan }})",
        "Applications got CommittedUnconfirmed: a read may have missed such a write. See: migrator mirror status, "
        "docs/acknowledgement.md", Severity.ERROR,
    ),
    Alert(
        "MigratorShadowMismatch", f"max by (plan) (increase({c.SHADOWS_DIFFER.name}[30m])) > 0", "0s",
        "reads differ between the sides ({{ $labels.plan }})",
        "See which: migrator reads. Compare the tenant's rows: migrator validate --tenant ID",
        Severity.WARNING,
    ),
    Alert(
        "MigratorWriterBusy", f"max by (plan) ({c.WRITER_CPU.name}) > 0.9", "15m",
        "classic's writer uses over 90 % of its processors ({{ $labels.plan }})",
        "What the tool takes of it: migrator status. Slow the copy down: migrator backfill throttle --pause",
        Severity.WARNING,
    ),
)  # fmt: skip

ALERTS: tuple[Alert, ...] = (*SERIES[:2], *(of_kind(kind) for kind in Kind if kind not in EVENTS), *SERIES[2:])
