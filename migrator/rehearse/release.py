"""The act of a deployment in the middle: through the tool, and past it.

The new release writes and reads what the deployment brought, and the ledger follows it there. What is done past the
tool is done by the schema's owner, as a deployment would.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import psycopg

from migrator.rehearse import roles
from migrator.rehearse.observer import Sample
from migrator.rehearse.stage import TIMEOUT_S, Stage

GUARD = "MG003"
"""SQLSTATE of the DDL guard's refusals."""

REFUSED = (
    "ALTER TABLE app.orders RENAME TO orders_old",
    "ALTER TABLE app.users ADD COLUMN nickname text",
    "ALTER TYPE app.order_state RENAME VALUE 'paid' TO 'settled'",
    "ALTER TYPE app.order_state ADD VALUE 'lost' AFTER 'shipped'",
    "DROP TYPE app.order_state CASCADE",
    "ALTER TABLE app.order_items ALTER COLUMN price DROP NOT NULL",
)
"""Each would change what mirrors and validation work on."""

REFUSED_THEN = (
    "ALTER TABLE app.shipments RENAME TO parcels",
    "ALTER TABLE app.shipments ADD COLUMN note text",
    "ALTER TABLE app.shipments ALTER COLUMN carrier DROP NOT NULL",
    "ALTER TYPE app.order_state RENAME VALUE 'returned' TO 'sent back'",
)
"""The same of what the deployment has brought: it is captured from its creation.

One lock each: DROP TABLE would need the parent's too, and could end in a deadlock with the traffic, not a refusal.
"""

PAST = "app.coupons"
"""A table unknown to the tool: no command on it is refused, but every gate blocks."""

USED = 5
"""How many writes of each new thing, and reads of what they wrote, show that it is in use."""


def deploy_in_the_middle(stage: Stage) -> None:
    """A deployment past the tool, and while its table blocks the waves, one through it."""
    stage.wait("tenants read from both sides", lambda s: s.facts.reading >= 5, TIMEOUT_S)
    with (
        stage.event("past_the_tool", "A deployment goes past the tool") as event,
        psycopg.connect(roles.as_role(stage.machines.classic, roles.OWNER), autocommit=True) as owner,
    ):
        _try(stage, owner, REFUSED)
        owner.execute(f"CREATE TABLE {PAST} (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)".encode())
        if PAST not in stage.operator.run("status", "--json"):
            stage.record.problems.append(f"status does not name {PAST}, which was made past the tool")
        _deploy(stage)
        _try(stage, owner, REFUSED_THEN)
        stage.wait("the table blocks the migration", _held_up, TIMEOUT_S)
        owner.execute(f"DROP TABLE {PAST}".encode())
        stage.operator.run("resume", "--reason", "rehearsal: the table is dropped")
        event.detail = (
            f"{len(REFUSED + REFUSED_THEN)} commands on captured tables and types refused with {GUARD}; "
            f"a new table, {PAST}, was named by status and blocked the next wave until it was dropped"
        )


def _deploy(stage: Stage) -> None:
    """Columns, an index, an enum's value and a table through the tool; then the application's new release."""
    file = stage.workdir.root / "deployment.sql"
    file.write_text(resources.files("migrator.rehearse").joinpath("deployment.sql").read_text(encoding="utf-8"))
    before = stage.observer.latest
    with stage.event("deployed", "A deployment through `migrator schema apply`, then the new release") as event:
        stage.operator.run("schema", "apply", str(file), timeout_s=TIMEOUT_S)
        stage.release_traffic()

        def in_use(sample: Sample) -> bool:
            t = sample.traffic.since(before.traffic)
            return min(t.revised, t.revised_reads, t.shipped, t.shipped_reads, t.returned, t.returned_reads) >= USED

        used = stage.wait("the new release writes and reads all that is new", in_use, TIMEOUT_S)
        now = used.traffic
        event.detail = (
            f"two columns, an enum's value, a table and indexes on both sides while {used.facts.reading} tenants read "
            f"from Limitless; at once {now.revised} writes and {now.revised_reads} reads of the columns, "
            f"{now.returned} and {now.returned_reads} of the value, {now.shipped} and {now.shipped_reads} of the table"
        )


def _try(stage: Stage, owner: psycopg.Connection, statements: Sequence[str]) -> None:
    """Have every one of *statements* refused by the guard."""
    for statement in statements:
        if (answer := _answer(owner, statement)) != GUARD:
            stage.record.problems.append(f"{statement}: {answer}, should be refused with {GUARD}")


def _answer(owner: psycopg.Connection, statement: str) -> str:
    """Return the SQLSTATE that *statement* ends with, "accepted" when it does not fail."""
    try:
        with owner.transaction(force_rollback=True):
            owner.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or type(error).__name__
    return "accepted"


def _held_up(sample: Sample) -> bool:
    return any(PAST in blocker for phase in sample.facts.phases.values() for blocker in phase.blockers)
