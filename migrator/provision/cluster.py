"""The protocol that makes and deletes a Limitless cluster, and its implementation for servers of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from migrator.aws.cluster import Difference
from migrator.model.action import Action

Progress = Callable[[Action], None]


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What exists. Status words are the provider's own: "absent", "creating", "available", …

    Attributes:
        endpoint: host (and port) of the cluster, once there is one.
        ready: statements can be sent.
        differences: how it is otherwise than the plan says.
        untold: settings that the provider says nothing of: whether they are as planned is not known.
    """

    cluster: str
    shard_group: str
    endpoint: str | None = None
    engine_version: str | None = None
    min_acu: float | None = None
    max_acu: float | None = None
    compute_redundancy: int | None = None
    differences: tuple[Difference, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return self.cluster == self.shard_group == "available"

    @property
    def absent(self) -> bool:
        return self.cluster == self.shard_group == "absent"


class ClusterProvisioner(Protocol):
    """Makes and deletes the Limitless cluster. Every call is safe to run twice, also after an interruption."""

    def state(self) -> ClusterState:
        """Return what exists now."""
        ...

    def actions(self) -> tuple[Action, ...]:
        """Return what `ensure` would do now. Raises NoGo when what exists differs from what is wanted."""
        ...

    def ensure(self, on_step: Progress | None = None) -> ClusterState:
        """Make what is missing and wait until it answers."""
        ...

    def remove(self, *, final_snapshot: str | None, on_step: Progress | None = None) -> ClusterState:
        """Delete it, with a last snapshot unless None; wait until it is deleted."""
        ...


@dataclass(frozen=True)
class LocalProvisioner:
    """The servers of this machine, all three of them."""

    home: Path
    shards: int = 4

    def state(self) -> ClusterState:
        from migrator.local import stack

        found = stack.status(self.home)
        if found["state"] == "absent":
            return ClusterState("absent", "absent")
        part = found["parts"]["limitless"]
        status = "available" if part["running"] else "stopped"
        return ClusterState(status, status, endpoint=f"127.0.0.1:{part['port']}")

    def actions(self) -> tuple[Action, ...]:
        if self.state().ready:
            return ()
        return (Action("cluster/local", "Start the local servers", "migrator local down"),)

    def ensure(self, on_step: Progress | None = None) -> ClusterState:
        from migrator.local import stack

        todo = self.actions()
        if todo:
            stack.up(self.home, shards=self.shards)
            if on_step:
                on_step(todo[0])
        return self.state()

    def remove(self, *, final_snapshot: str | None, on_step: Progress | None = None) -> ClusterState:
        """Stop the servers; without a snapshot their data is deleted, with one it is kept as the snapshot."""
        from migrator.local import stack

        if not self.state().absent:
            stack.down(self.home) if final_snapshot else stack.destroy(self.home)
            if on_step:
                on_step(Action("cluster/local/remove", "Stop the local servers", "migrator local up"))
        return self.state()
