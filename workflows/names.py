"""Names of workflows and task queues.

A workflow id is the business key: starting the same work twice meets the same id, and Temporal refuses the second.
"""

from __future__ import annotations

from enum import StrEnum


class Queue(StrEnum):
    """Separate queues, so that a backfill can never delay a rollback."""

    INCIDENT = "incident"  # rollback, breaker monitor
    CONTROL = "control"  # workflows, gates, routes, validation
    MIRROR = "mirror"  # one long activity per mirror partition
    BULK = "bulk"  # copies


def queue(plan: str, name: Queue) -> str:
    return f"{plan}.{name.value}"


def migration_id(plan: str) -> str:
    return f"migration/{plan}"


def audit_id(plan: str) -> str:
    return f"audit/{plan}"


def provision_id(plan: str) -> str:
    return f"provision/{plan}"


def dual_write_id(plan: str) -> str:
    return f"dual-write/{plan}"


def backfill_id(plan: str) -> str:
    return f"backfill/{plan}"


def validate_id(plan: str) -> str:
    """Id of the schedule, and the prefix of the runs it starts."""
    return f"validate/{plan}"


def cutover_id(plan: str) -> str:
    return f"cutover/{plan}"


def wave_id(plan: str, number: int) -> str:
    return f"cutover/{plan}/wave-{number}"


def breaker_id(plan: str) -> str:
    return f"breaker/{plan}"


def rollback_id(plan: str) -> str:
    return f"rollback/{plan}"


def stabilize_id(plan: str) -> str:
    return f"stabilize/{plan}"


def decommission_id(plan: str) -> str:
    return f"decommission/{plan}"


def retirement_id(plan: str) -> str:
    return f"retirement/{plan}"


WATCHED = {"dual-write": dual_write_id, "backfill": backfill_id, "breaker": breaker_id}
"""Workflows that run beside the phases, by the names status knows them by."""
