"""A world whose classic has replicas, for tests of reads on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from migrator.shim import Settings, Shim
from migrator.shim.replica_pool import Replicas
from migrator.testing import Heard
from tests.fixtures.replica import Standby, Standbys
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.world import CALM, World, get

PATIENT = replace(CALM, replica_wait_s=TIMEOUT_S, replica_answer_s=TIMEOUT_S, writer_reads_per_s=0.0)
"""A replica is taken out only by a test that means it, however busy the machine is."""

HASTY = replace(PATIENT, replica_wait_s=0.3, replica_answer_s=0.5)


@dataclass
class Replicated:
    """A world with replicas of its classic, and shims that are given them."""

    world: World
    standbys: Standbys
    stack: ExitStack

    def shim(self, name: str, *readers: Standby, settings: Settings = PATIENT, heard: Heard | None = None) -> Shim:
        made = self.world.shim(name, settings, readers=[each.dsn for each in readers], listener=heard or Heard())
        return self.stack.enter_context(made)

    def levels(self) -> dict[str, str]:
        """By name, of the newest instance of each."""
        rows = self.world.classic.execute("SELECT name, level FROM migrator.replica ORDER BY epoch").fetchall()
        return dict(rows)

    def serving(self, *readers: Standby) -> None:
        """Return when all of *readers* serve."""
        eventually(lambda: all(self.levels().get(r.name) == "serving" for r in readers), "they serve")


def where(tenant: str, number: int) -> Callable[[Any], tuple[int, Any]]:
    """Return a read of one body, with the port of the server that answered."""

    def fn(r: Any) -> tuple[int, Any]:
        row = r.connection.execute("SELECT current_setting('port')::int").fetchone()
        return row[0], get(tenant, number, with_side=False)(r)

    return fn


def known(shim: Shim) -> Replicas:
    """What *shim* knows of its replicas."""
    assert shim._replicas is not None
    return shim._replicas.all


def applied(shim: Shim, *readers: Standby) -> None:
    """Return when *shim* reads from all of *readers*."""
    everything = known(shim)
    names = {r.name for r in readers}
    eventually(
        lambda: names <= {at.name for at in everything.endpoints if everything.serving(at, everything.current.now_s())},
        f"read from {names}: {everything.status()}",
    )
