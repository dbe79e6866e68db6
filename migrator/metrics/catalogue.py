"""Every metric, once: name, kind, unit, labels and the values they may have.

No tenant is a label: there are tens of thousands of them, and their names hold anything. What concerns single tenants
is in `migrator tenant show`, on the board and in notifications.
"""

from __future__ import annotations

from migrator.metrics.metric import Kind, Label, Metric, Origin
from migrator.model import condition
from migrator.model.ack import Ack
from migrator.model.cost import Against
from migrator.model.drill import DrillKind
from migrator.model.phase import Phase, TenantState
from migrator.model.route import FallbackScope, Level, WriteMode
from migrator.model.side import Side

G, C, H = Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM

SQLSTATE_CLASSES = (
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "25",
    "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54", "55", "57",
    "58", "72", "F0", "HV", "P0", "XX",
)  # fmt: skip
"""Of PostgreSQL's appendix A. 08 stands for a connection that was lost or refused, too."""

SIDE = Label("side", tuple(Side))
PHASE = Label("phase", tuple(Phase))
PHASE_STATES = ("pending", "running", "waiting", "blocked", "done", "undone", "failed")
PART = Label("part", bound="mirror partitions, at most 62; 0 is for reference tables")
LEVEL = Label("level", tuple(Level))
CLASS = Label("sqlstate_class", SQLSTATE_CLASSES)
ACK = Label("ack", tuple(Ack))
SCOPE = Label("scope", tuple(FallbackScope))
PARTS_OF_THE_TOOL = Label("of", ("capture", "mirrors", "backfill", "validation", "control", "shims"))

# -- about the exporting process -----------------------------------------------------------------------------

UP = Metric(
    "migrator_up", G,
    "1: classic answered the newest question in time; 0: it did not within 5 s, and nothing else is said of the "
    "migration.",
    origin=Origin.PROCESS,
)  # fmt: skip
STATUS_AGE = Metric(
    "migrator_status_age_seconds", G,
    "How old the answer is that all other metrics of the migration rest on; absent before the first.",
    origin=Origin.PROCESS,
)  # fmt: skip
STATUS_DURATION = Metric(
    "migrator_status_duration_seconds", G, "How long classic took for that answer.", origin=Origin.PROCESS
)
STATUS_FAILURES = Metric(
    "migrator_status_failures_total", C, "Questions that classic did not answer, since this process started.",
    (Label("reason", ("unreachable", "timeout", "refused", "error")),), Origin.PROCESS,
)  # fmt: skip
BUILD = Metric(
    "migrator_build_info", G, "1, with the version of the exporting process.",
    (Label("version", bound="one"), Label("schema_version", bound="one: of the control schema it works with")),
    Origin.PROCESS,
)  # fmt: skip

# -- the migration -------------------------------------------------------------------------------------------

INSTALLED = Metric("migrator_installed", G, "1: classic has the control schema; 0: nothing runs there.")
SCHEMA_MATCHES = Metric(
    "migrator_schema_matches", G,
    "1: the control schema has this release's version; 0: another, and nothing else is read: migrator upgrade.",
)  # fmt: skip
PHASE_STATE = Metric(
    "migrator_phase_state", G, "1 for the state that each phase is in, 0 for the others.",
    (PHASE, Label("state", PHASE_STATES)),
)  # fmt: skip
CURRENT_PHASE = Metric(
    "migrator_phase_current", G, "1 for the first phase that is not done, 0 for the others.", (PHASE,)
)
PHASE_SINCE = Metric(
    "migrator_phase_state_since_timestamp_seconds", G,
    "Since when each phase is in its state, Unix time; absent before it begins.", (PHASE,),
)  # fmt: skip
STARTED = Metric("migrator_started_timestamp_seconds", G, "When the migration was started, Unix time.")
BLOCKERS = Metric("migrator_blockers", G, "Reasons that keep the migration from going on, now.")
CONDITIONS = Metric(
    "migrator_conditions", G, "Open conditions, what wakes somebody: of each kind, by severity.",
    (Label("kind", tuple(condition.Kind)), Label("severity", tuple(condition.Severity))),
)  # fmt: skip
WRITE_MODE = Metric(
    "migrator_write_mode", G, "1 for the write mode in force, 0 for the others.", (Label("mode", tuple(WriteMode)),)
)
SWITCH = Metric(
    "migrator_switch", G, "1 for the level that the global switch allows at most, 0 for the others.", (LEVEL,)
)
EPOCH = Metric("migrator_route_epoch", G, "Number of the newest change of routes.")
WAVE = Metric("migrator_wave", G, "The highest wave that has moved; absent before the first.")

TENANTS = Metric(
    "migrator_tenants", G, "Tenants by the level in force: route, switch and fallbacks taken together.", (LEVEL,)
)
TENANTS_STATE = Metric(
    "migrator_tenants_state", G, "Tenants by the state of their rows.", (Label("state", tuple(TenantState)),)
)
TENANTS_VERDICT = Metric(
    "migrator_tenants_verdict", G, "Tenants by their last validation.",
    (Label("verdict", ("clean", "divergent", "never")),),
)  # fmt: skip
TENANTS_HELD = Metric("migrator_tenants_held", G, "Tenants that a person keeps on classic.")
FALLBACKS = Metric("migrator_fallbacks", G, "Fallbacks in force, by what they cover.", (SCOPE,))
BREAKERS = Metric(
    "migrator_breakers_open", G, "Breakers that live processes hold open for themselves, by what they cover.", (SCOPE,)
)

PROCESSES = Metric(
    "migrator_processes", G, "Processes that run the shim: live, or silent within the last hour.",
    (Label("state", ("live", "silent")),),
)  # fmt: skip
PROCESSES_BEHIND = Metric(
    "migrator_processes_behind", G, "Live processes that have not applied the newest change of routes."
)
REPLICAS = Metric(
    "migrator_replicas", G, "Classic's read replicas, by level.", (Label("level", ("serving", "joining", "out")),)
)
WORKERS = Metric(
    "migrator_workers", G, "Live workers, by whether they run this plan and version.",
    (Label("runs", ("current", "outdated")),),
)  # fmt: skip
STOPPED = Metric("migrator_workflows_stopped", G, "Workflows beside the phases that ended while the migration goes on.")

LAG = Metric("migrator_mirror_lag_seconds", G, "How far the mirror is behind classic, or its position's age.", (PART,))
DEPTH = Metric("migrator_mirror_depth", G, "Journal entries that the last cycle read.", (PART,))
RATE = Metric("migrator_mirror_rows_per_second", G, "Rows that the mirror applies.", (PART,))
APPLIED = Metric("migrator_mirror_applied_rows_total", C, "Rows applied since the mirror started.", (PART,))
MIRROR_PROBLEM = Metric(
    "migrator_mirror_problem", G,
    "1: the mirror waits or reports a problem. One that has ended reports nothing: its lag grows.", (PART,),
)  # fmt: skip
JOURNAL = Metric("migrator_journal_bytes", G, "What the journal takes of classic's disk.")
JOURNAL_LIMIT = Metric("migrator_journal_limit_bytes", G, "What the plan allows it: dual_write.journal_limit_mb.")
CAPTURE_PROBLEMS = Metric("migrator_capture_problems", G, "Reasons why the journal cannot be trusted.")
FENCES = Metric("migrator_fences", G, "Fences that validations hold or ask for now; each pauses a mirror partition.")
FENCE_PAUSE = Metric("migrator_fence_pause_seconds", G, "The longest pause of a mirror in the last validation.")

UNITS_STATE = Metric(
    "migrator_copy_units", G, "Units of the copy by state.",
    (Label("state", ("waiting", "copying", "done", "failed")),),
)  # fmt: skip
COPY_ROWS = Metric("migrator_copy_planned_rows", G, "Rows to copy, as estimated or found.")
COPIED_ROWS = Metric("migrator_copied_rows_total", C, "Rows copied.")
COPIED_BYTES = Metric("migrator_copied_bytes_total", C, "Bytes copied.")
COPY_RATE = Metric("migrator_copy_rows_per_second", G, "Rows copied a second, over the last minutes.")
COPY_ETA = Metric("migrator_copy_remaining_seconds", G, "Until the copy is done at that rate; absent while none moves.")
COPY_PAUSED = Metric("migrator_copy_paused", G, "1: the copy is paused, by a person or because a side is busy.")

VALIDATION_AGE = Metric(
    "migrator_validation_age_seconds", G, "Since the last validation finished; absent before the first."
)
VALIDATION_ROWS = Metric("migrator_validation_compared_rows", G, "Rows that the last validation compared.")
DIVERGENT = Metric("migrator_validation_divergent_rows", G, "Rows that differed in the last validation.")
UNREPAIRED = Metric("migrator_validation_unrepaired_rows", G, "Of those, rows that are not repaired yet.")
OLDEST_CLEAN = Metric(
    "migrator_validation_oldest_clean_seconds", G,
    "Age of the oldest clean verdict of a tenant; absent while no tenant has one.",
)  # fmt: skip

READS = Metric("migrator_reads_total", C, "Reads through shims, by the side that answered.", (SIDE,))
READ_ERRORS = Metric(
    "migrator_read_errors_total", C, "Reads that failed through the fault of the side that was asked.", (SIDE,)
)
READ_STATES = Metric(
    "migrator_read_failures_total", C,
    "The same by the class of their SQLSTATE, with reads that got no connection; of shims that count classes.",
    (SIDE, CLASS),
)  # fmt: skip
READ_TIME = Metric(
    "migrator_read_duration_seconds", H,
    "Durations of reads through shims. The sum is estimated from finer buckets, within 10 %.", (SIDE,),
)  # fmt: skip
FELL_BACK = Metric(
    "migrator_reads_fell_back_total", C, "Reads answered by classic after Limitless had failed or been too late."
)
WRITES = Metric("migrator_writes_total", C, "Writes through shims, by level of acknowledgement.", (ACK,))
UNCONFIRMED = Metric(
    "migrator_writes_unconfirmed_total", C, "Writes that are committed and whose acknowledgement failed.", (ACK,)
)
ACK_TIME = Metric(
    "migrator_write_acknowledge_seconds", H,
    "How long writes waited for mirrors, replicas and other processes behind their COMMIT. The sum is an estimate.",
    (ACK,),
)  # fmt: skip
SHADOWS = Metric("migrator_shadow_reads_total", C, "Reads that were compared on both sides, and decided.")
SHADOWS_DIFFER = Metric(
    "migrator_shadow_mismatches_total", C, "Of those, reads whose answers differed over the same rows, twice."
)
SHADOWS_UNDECIDED = Metric(
    "migrator_shadow_undecided_total", C, "Reads whose rows changed meanwhile, or that a side did not answer."
)
BREACHES = Metric("migrator_slo_breaches", G, "Limits of reads on Limitless that are broken now, for long enough.")

WRITER_CPU = Metric("migrator_writer_cpu_ratio", G, "Use of the processors of classic's writer; absent when unknown.")
OWN_CORES = Metric(
    "migrator_writer_own_cores", G, "Processor that this tool takes of classic's writer, by part; absent when unknown.",
    (PARTS_OF_THE_TOOL,),
)  # fmt: skip
OWN_STATEMENTS = Metric(
    "migrator_writer_own_statements_per_second", G, "Statements of this tool on classic's writer, shims' included."
)
OWN_WAL = Metric("migrator_writer_own_wal_bytes_per_second", G, "WAL that they write.")
WRITER_TPS = Metric("migrator_writer_transactions_per_second", G, "Transactions of classic's writer, all together.")
PACE = Metric(
    "migrator_pace_ratio", G, "How fast copies and scheduled validation go, as a share of what the plan allows."
)
RUNWAY = Metric(
    "migrator_runway_seconds", G,
    "Until classic's writer is full, a week being 604800 s; +Inf: never; absent when unknown.",
)  # fmt: skip
RUNWAY_NEEDED = Metric("migrator_runway_needed_seconds", G, "For how long classic is still needed.")
RUNWAY_CLOSES = Metric(
    "migrator_runway_verdict", G, "1 for the verdict: the writer lasts, does not last, or that is unknown.",
    (Label("verdict", ("lasts", "short", "unknown")),),
)  # fmt: skip

COST = Metric(
    "migrator_cost_monthly_usd", G,
    "This month's forecast as 730 hours would cost, and the projection of such a month; absent when unknown.",
    (Label("of", ("limitless", "projection")),),
)  # fmt: skip
COST_MONTH = Metric(
    "migrator_cost_month_usd", G, "This calendar month (UTC): so far, and its forecast; absent when unknown.",
    (Label("of", ("so_far", "low", "likely", "high")),),
)  # fmt: skip
COST_VERDICT = Metric(
    "migrator_cost_verdict", G, "1 for how the forecast stands to the projection; over is what wakes somebody.",
    (Label("verdict", tuple(Against)),),
)  # fmt: skip
COST_RATIO = Metric(
    "migrator_cost_projection_ratio", G, "Limitless' bill divided by the projection; absent without one."
)
COST_MEASURED = Metric("migrator_cost_measured", G, "1: from what AWS measures; 0: from a model, at least in part.")
LIMITLESS_ACU = Metric(
    "migrator_limitless_acu", G,
    "ACU of the shard group: the mean of seven days with standbys, their busiest minute without, the plan's maximum.",
    (Label("of", ("used", "peak", "max")),),
)  # fmt: skip
LIMITLESS_BYTES = Metric("migrator_limitless_bytes", G, "Storage of Limitless, the mean of seven days.")
SHARD_SKEW = Metric("migrator_shard_skew_ratio", G, "Bytes of the largest shard over the mean of all; 1 is even.")
SINGLE_SHARD = Metric("migrator_single_shard_ratio", G, "Share of statements that one shard answers, by their calls.")
LIMITLESS_AGE = Metric("migrator_limitless_look_age_seconds", G, "Since a worker last looked at Limitless.")
WINDOW = Metric("migrator_window_elapsed_seconds", G, "How much of the stabilization window counts, in planned time.")
WINDOW_NEEDED = Metric("migrator_window_needed_seconds", G, "How long the window is: stabilization.days.")
WINDOW_RESTARTS = Metric("migrator_window_restarts", G, "How often an incident restarted the window.")
WINDOW_PAUSED = Metric("migrator_window_paused", G, "1: an incident paused the window until a person resumes it.")
INCIDENTS = Metric("migrator_incidents", G, "Incidents on record.")
DRILL_AGE = Metric(
    "migrator_drill_age_seconds", G, "Since a drill of that kind last passed; absent while none ever did.",
    (Label("kind", tuple(DrillKind)),),
)  # fmt: skip

# -- in applications' processes ------------------------------------------------------------------------------

SHIM_NAME = Label("shim", bound="the name given to Shim")
SHIM_READS = Metric("migrator_shim_reads_total", C, "Reads by the side that answered.", (SHIM_NAME, SIDE), Origin.SHIM)
SHIM_FAILURES = Metric(
    "migrator_shim_read_failures_total", C,
    "Reads that failed through the fault of the side that was asked, by the class of their SQLSTATE.",
    (SHIM_NAME, SIDE, CLASS), Origin.SHIM,
)  # fmt: skip
SHIM_FELL_BACK = Metric(
    "migrator_shim_reads_fell_back_total", C, "Reads answered by classic after Limitless had failed or been too late.",
    (SHIM_NAME,), Origin.SHIM,
)  # fmt: skip
SHIM_WRITES = Metric(
    "migrator_shim_writes_total", C, "Writes by level of acknowledgement.", (SHIM_NAME, ACK), Origin.SHIM
)
SHIM_UNCONFIRMED = Metric(
    "migrator_shim_writes_unconfirmed_total", C, "Writes that are committed and whose acknowledgement failed.",
    (SHIM_NAME, ACK), Origin.SHIM,
)  # fmt: skip
SHIM_ACK_TIME = Metric(
    "migrator_shim_write_acknowledge_seconds", H, "How long writes waited behind their COMMIT.",
    (SHIM_NAME, ACK), Origin.SHIM,
)  # fmt: skip
SHIM_ROUTES_AGE = Metric(
    "migrator_shim_routes_age_seconds", G,
    "Since classic last vouched for the routes; past the staleness limit reads come from classic.",
    (SHIM_NAME,), Origin.SHIM,
)  # fmt: skip
SHIM_BREAKERS = Metric(
    "migrator_shim_breakers_open", G, "Breakers that the process holds open.", (SHIM_NAME, SCOPE), Origin.SHIM
)

CATALOGUE: tuple[Metric, ...] = tuple(value for value in globals().values() if isinstance(value, Metric))
"""In the order of this module."""
