"""Every event that the tool logs: its name, its level, its keys, and when it happens.

The one owner of their names, for people who search logs and for what reads them; docs/logs.md is held to it, and so is
each place that logs. Names are `noun.past_participle`, keys are the glossary's words. None of them holds a value of a
row, or a secret. Standard library only: what is told goes through the process' own handlers (migrator.logs).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

_logger = logging.getLogger("migrator")
_logger.addHandler(logging.NullHandler())  # a command that configures no logs must not print them on its way out


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        keys: that it may have, with spaces between.
        decision: it is an entry of the decision log, of a worker, a shim or a person.
    """

    name: str
    level: int
    when: str
    keys: str = ""
    decision: bool = False


STEP = "step workflow tries phase partition unit wave gate"
"""Keys of a step: its name, the workflow it belongs to, the number of this try, and what it is about."""

PROCESS = (
    Event("worker.started", INFO, "a worker serves its queues", "plan queues"),
    Event(
        "worker.replayed",
        INFO,
        "this release can go on with every open workflow of the plan",
        "plan workflows",
    ),
    Event("worker.stopping", INFO, "it was told to stop, and hands over what it does", "plan"),
    Event("worker.stopped", INFO, "its process ends", "plan"),
    Event("worker.plan_taken_up", INFO, "it goes on with another version of its plan", "plan before digest"),
    Event("temporal.key_changed", INFO, "the API key for Temporal is another one from now on", "reference"),
    Event("temporal.key_unread", WARNING, "the API key cannot be read; the last one is used", "reference reason"),
    Event("metrics.served", INFO, "metrics can be read there", "url"),
    Event("metrics.sent", INFO, "metrics go to an OpenTelemetry collector from now on", "every_s"),
    Event("traces.sent", INFO, "traces go to an OpenTelemetry collector from now on"),
    Event("notification.sent", INFO, "a receiver took a notification", "receiver condition action"),
    Event(
        "board.order_given",
        INFO,
        "a person confirmed an order on the board",
        "order who",
    ),
    Event(
        "certificate.renewed",
        INFO,
        "certificate and key were replaced in their files, and are used from now on",
    ),
    Event(
        "worker.left_behind",
        WARNING,
        "what it did had not ended in time; another worker does it again",
        "queue after_s",
    ),
    Event(
        "worker.plan_not_in_force",
        WARNING,
        "what the plan says outside of classic could not be made so; tried again",
        "error",
    ),
    Event(
        "replica.unknown",
        WARNING,
        "validation reads the writer: the plan's reader cannot be found here",
        "reader reason",
    ),
    Event("writer.watch_failed", WARNING, "the watch of the writer's load met a bug; it begins again", "error"),
    Event(
        "board.sign_in_refused",
        WARNING,
        "a wrong token or no name was given on the board",
        "address",
    ),
    Event(
        "board.look_failed",
        WARNING,
        "the board could not read classic, for a reason that is no outage; tried again",
        "error",
    ),
    Event(
        "board.order_failed",
        WARNING,
        "an order ended with a bug; the decision log says whether it happened",
        "order error",
    ),
    Event(
        "board.request_failed",
        WARNING,
        "a page could not be made, because of a bug",
        "error",
    ),
    Event(
        "board.companion_ended",
        WARNING,
        "what runs beside the board ended with a bug; the board goes on",
        "error",
    ),
    Event("notifier.look_failed", WARNING, "what needs people could not be read; tried again", "error"),
    Event(
        "notification.not_sent",
        WARNING,
        "a receiver refused a notification, or is unreachable; tried again",
        "receiver condition action problem",
    ),
    Event("metrics.not_served", WARNING, "metrics cannot be served there", "address error"),
    Event("otlp.not_sent", WARNING, "OpenTelemetry's variables ask for what cannot be sent", "signal reason"),
    Event("webhook.begun", INFO, "it takes alarms of these sources, but for those with a problem", "sources problems"),
    Event(
        "webhook.answered",
        INFO,
        "a request was answered; of those that did nothing some five a second, and the next line counts the others",
        "source status outcome client bytes seconds alarm target alarms firing left_out who epoch pending topic reason "
        "not_logged",
    ),
    Event("rules.not_read", WARNING, "the plan's rules for alarms could not be read; they are as they were", "reason"),
    Event("alarm.not_noted", WARNING, "what came of an alarm could not be written down; it was done", "source"),
    Event("webhook.failed", WARNING, "a request met a bug of the webhook", "error"),
    Event("limitless.measure_failed", WARNING, "the measuring of Limitless met a bug; it begins again", "error"),
    Event("limitless.not_measured", DEBUG, "Limitless could not be asked for its load and cost", "error"),
    Event("worker.not_noted", DEBUG, "its heartbeat did not reach classic; the next one may", "error"),
    Event("writer.not_sampled", DEBUG, "classic could not be asked what its writer carries", "error"),
)

WORK = (
    Event("step.finished", INFO, "a step (an activity) is done", f"{STEP} seconds"),
    Event(
        "step.refused",
        INFO,
        "it said no: a gate, another plan or version, a lease of another worker",
        f"{STEP} error reason",
    ),
    Event("step.handed_over", INFO, "this worker stops; another goes on with it", STEP),
    Event("workflow.begun", INFO, "a phase, a wave or other work of many steps begins", "workflow kind"),
    Event("workflow.finished", INFO, "it is done", "workflow kind"),
    Event("workflow.cancelled", INFO, "it was told to end", "workflow kind"),
    Event("workflow.ordered", INFO, "a message of a person or of another workflow reached it", "workflow kind order"),
    Event("work.retried", INFO, "a transaction of the tool met a busy lock and is tried again", "tries error wait_s"),
    Event(
        "lease.taken_over",
        INFO,
        "a mirror partition or a copy unit that another worker had, or this one before; that one "
        "can write no more under it",
        "partition unit term",
    ),
    Event("lease.lost", INFO, "another worker has it; this one stops with it", "partition unit reason"),
    Event("mirror.resumed", INFO, "a partition that was waiting goes on", "partition tries"),
    Event(
        "breaker.validation_failed",
        INFO,
        "before reads go to Limitless again rows could not be compared; tried again",
        "error",
    ),
    Event(
        "step.failed",
        WARNING,
        "it ended with an error; logged at tries 1, 2, 4, 8 and so on",
        f"{STEP} error reason retried",
    ),
    Event("workflow.failed", WARNING, "it ended with an error", "workflow kind error reason"),
    Event(
        "mirror.waiting",
        WARNING,
        "a partition cannot go on: a side is unreachable or refuses; logged when the reason changes",
        "partition reason",
    ),
    Event("backfill.not_watched", WARNING, "whether copies go on could not be asked; asked again", "reason"),
    Event("breaker.monitor_failed", WARNING, "the monitor of breakers ended; it is started again", "reason"),
    Event("rights.follow_failed", WARNING, "classic's rights could not be brought to Limitless; tried again", "error"),
    Event("rights.refused", WARNING, "Limitless refused changes of rights: blockers of every gate", "count lines"),
    Event("upkeep.failed", WARNING, "samples were not added up, or old rows not deleted; tried again", "job error"),
    Event(
        "log.altered",
        ERROR,
        "the decision log does not hold what Limitless has written down of it: migrator log --verify",
        "seal anchor",
    ),
    Event("step.begun", DEBUG, "a step begins", STEP),
    Event("step.polled", DEBUG, "one that only asks, again and again, has an answer", f"{STEP} seconds"),
    Event("step.cancelled", DEBUG, "it was told to end", STEP),
    Event("workflow.continued", DEBUG, "it goes on with a new history", "workflow kind"),
    Event("work.cancelled", DEBUG, "what was cancelled ended with an error of its own", "error"),
    Event("reader.not_watched", DEBUG, "a reader of classic was not watched; tried again", "reader error"),
    Event("log.not_read", DEBUG, "the decision log could not be read; read again", "error"),
)

STATE = (
    Event(
        "phase.changed",
        INFO,
        "a phase has another state, or other blockers (their number, and the first three)",
        "phase state before count blockers",
    ),
    Event(
        "decision.recorded",
        INFO,
        "a decision of a kind that this release does not know",
        "kind actor subject reason count",
    ),
    Event(
        "incident.recorded",
        WARNING,
        "an incident counts against the stabilization window",
        "kind actor reason times",
    ),
)


def _decision(name: str, level: int, when: str) -> Event:
    return Event(name, level, when, "actor subject reason count", decision=True)


DECISIONS = (
    _decision("phase.begun", INFO, "a phase begins"),
    _decision("phase.undone", INFO, "a phase was undone by a person"),
    _decision("load.tested", INFO, "a load test has ended, and its result was kept"),
    _decision("shadow.ended", INFO, "a shadow run was stored"),
    _decision("drill.ended", INFO, "a drill was done, and passed or did not"),
    _decision("gate.passed", INFO, "a phase may be left"),
    _decision("gate.approved", INFO, "a person said yes to a gate"),
    _decision("gate.approval_voided", INFO, "what was approved is no longer true; it has to be approved again"),
    _decision("log.restored", WARNING, "a person accepted that the decision log lost its end, as by a restore"),
    _decision("approval.given", INFO, "an approver agreed to a gate or a change of the plan, as authenticated"),
    _decision("approval.refused", WARNING, "somebody was not taken for the approver they said to be"),
    _decision("plan.changed", INFO, "other values of the plan are in force"),
    _decision("schema.upgraded", INFO, "the tool's own tables are of another version"),
    _decision("control.restored", WARNING, "the record of the migration was brought back from a backup"),
    _decision("schema.changed", INFO, "a change of the schema is on both sides"),
    _decision("schema.migrated", INFO, "a migration of a tool is on both sides"),
    _decision("schema.undone", INFO, "a change of the schema was taken back"),
    _decision("schema.adopted", INFO, "what was made past the tool is on both sides"),
    _decision("capture.adopted", INFO, "the same, for everything"),
    _decision("capture.removed", INFO, "capture is off classic, and Limitless has forgotten its tenants"),
    _decision("partition.detached", INFO, "a partition left a captured table"),
    _decision("rights.followed", INFO, "a change of classic's rights was brought to Limitless"),
    _decision("owners.given", INFO, "objects on Limitless have their owners"),
    _decision("throttle.changed", INFO, "copies are allowed another rate"),
    _decision("tenant.retried", INFO, "quarantined tenants are copied again"),
    _decision("tenant.recopied", INFO, "tenants are copied again"),
    _decision("tenant.held", INFO, "a person keeps tenants on classic"),
    _decision("tenant.released", INFO, "held tenants wait for a wave again"),
    _decision("tenant.ordered", INFO, "a person said in which wave tenants move"),
    _decision("tenant.forgotten", INFO, "what was decided about a tenant without rows was taken back"),
    _decision("mirror.recopied", INFO, "everything is copied again"),
    _decision("divergence.repaired", INFO, "divergent rows are written again"),
    _decision("wave.chosen", INFO, "the tenants of a wave are chosen"),
    _decision("wave.watched", INFO, "a wave's baseline was measured"),
    _decision("wave.deferred", INFO, "tenants of a wave move later"),
    _decision("wave.finished", INFO, "a wave is done"),
    _decision("route.moved", INFO, "reads of tenants go elsewhere"),
    _decision("switch.moved", INFO, "reads of all tenants go elsewhere"),
    _decision("write_mode.changed", INFO, "writes go elsewhere, or wait"),
    _decision("cutover.continued", INFO, "reads move forward again after a rollback"),
    _decision("fallback.eased", INFO, "writes of a fallback wait for the mirror again"),
    _decision("fallback.cleared", INFO, "reads go where routes say again"),
    _decision("replica.joining", INFO, "writes wait for a replica of classic, before reads go there"),
    _decision("replica.serving", INFO, "reads of classic go to a replica"),
    _decision("replica.out", INFO, "a replica of classic is out of service"),
    _decision("decommission.begun", INFO, "classic is to be retired"),
    _decision("dossier.written", INFO, "a dossier lies where it belongs"),
    _decision("window.restarted", INFO, "days of the stabilization window begin again"),
    _decision("incident.reported", INFO, "a person reported an incident"),
    _decision("writes.closed", INFO, "classic refuses writes"),
    _decision("writes.reopened", INFO, "classic takes writes again"),
    _decision("sequences.restarted", INFO, "numbers on Limitless go on beyond classic's"),
    _decision("capture.lost", WARNING, "writes may have passed the journal"),
    _decision("divergence.found", WARNING, "rows differ between both sides"),
    _decision("fallback.raised", WARNING, "reads come from classic for now"),
    _decision("mirror.failed", WARNING, "a partition ended with an error, and a person is needed"),
    _decision("rollback.decided", WARNING, "reads went back to classic, by a person or an alarm"),
    _decision("workflow.stopped", WARNING, "a workflow beside the phases has ended"),
)

EVENTS = {event.name: event for event in (*PROCESS, *WORK, *STATE, *DECISIONS)}


def tell(name: str, **keys: Any) -> None:
    """Log the event *name* with its level, and those of *keys* that have a value.

    Raises:
        KeyError: there is no such event; a test looks at every call.
    """
    event = EVENTS[name]
    if _logger.isEnabledFor(event.level):
        _logger.log(event.level, name, extra={key: value for key, value in keys.items() if value not in (None, "")})
