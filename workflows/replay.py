"""Would this release go on with what is running? Replays the histories of a plan's open workflows before a worker takes
work.

A workflow that this code would have led elsewhere cannot go on with it: Temporal tries its next step again and again.
So such a worker must not start, and the one before it must go on (docs/upgrades.md).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, WorkflowRunner

from migrator.errors import ClusterUnavailable, NoGo
from migrator.model.counted import counted
from workflows import names
from workflows.policies import RPC_S

PATIENCE_S = 120.0
"""For all histories of a plan. None is larger than 4 MB, since workflows continue as new, and a plan has some ten."""

_EVENT = re.compile(r"HistoryEvent\(id: (\d+), (\w+)\)|(?:event|Event)[ _][iI][dD]:? (\d+)")
_WORDS = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """A workflow that this release cannot go on with.

    Attributes:
        event: number of the event in its history where both part; None when Temporal's library does not say.
        why: what the library says, one line.
    """

    workflow_id: str
    run_id: str
    event: int | None
    why: str

    def __str__(self) -> str:
        at = f" at event {self.event}" if self.event is not None else ""
        return f"workflow {self.workflow_id} (run {self.run_id}){at}: {self.why}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it."""

    workflows: tuple[str, ...]
    refused: tuple[Refusal, ...]


async def replay(client: Client, plan: str, definitions: Sequence[type], runner: WorkflowRunner) -> Replayed:
    """Replay the open workflows of *plan* with *definitions*, in the sandbox of *runner*.

    Raises:
        ClusterUnavailable: Temporal cannot list them, or it takes longer than `PATIENCE_S`; nothing is known then.
    """
    replayer = Replayer(workflows=definitions, data_converter=client.data_converter, workflow_runner=runner)
    seen: list[str] = []
    refused: list[Refusal] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            async with replayer.workflow_replay_iterator(_histories(client, plan)) as results:
                async for result in results:
                    seen.append(result.history.workflow_id)
                    if result.replay_failure is not None:
                        refused.append(refusal(result.history, result.replay_failure))
    except RPCError as error:
        status = error.status.name.lower() if error.status else "unknown"
        raise ClusterUnavailable("temporal", f"it did not show the open workflows ({status})", _UNKNOWN) from None
    except TimeoutError:
        raise ClusterUnavailable(
            "temporal", f"replaying the open workflows took longer than {PATIENCE_S:.0f} s", _UNKNOWN
        ) from None
    return Replayed(tuple(sorted(seen)), tuple(sorted(refused, key=str)))


_UNKNOWN = "Try again; without this look, and at your own risk: migrator worker --unchecked."


async def _histories(client: Client, plan: str) -> AsyncIterator[WorkflowHistory]:
    """Yield the history of each open workflow; one that ends meanwhile is left out."""
    queues = ", ".join(f"'{names.queue(plan, queue)}'" for queue in (names.Queue.CONTROL, names.Queue.INCIDENT))
    query = f"ExecutionStatus = 'Running' AND TaskQueue IN ({queues})"
    async for found in client.list_workflows(query, rpc_timeout=timedelta(seconds=RPC_S)):
        handle = client.get_workflow_handle(found.id, run_id=found.run_id)
        try:
            yield await handle.fetch_history(rpc_timeout=timedelta(seconds=RPC_S))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def refusal(history: WorkflowHistory, failure: Exception) -> Refusal:
    """Return what is told of a replay that failed."""
    text = " ".join(str(failure).split()) or type(failure).__name__
    found = _EVENT.search(text)
    number = next((int(group) for group in (found.group(1), found.group(3)) if group), None) if found else None
    return Refusal(history.workflow_id, history.run_id, number, text[:_WORDS])


def require(replayed: Replayed, release: str) -> None:
    """Return when every open workflow can go on with this release.

    Raises:
        NoGo: naming each that cannot.
    """
    if replayed.refused:
        raise NoGo(
            "worker",
            tuple(str(one) for one in replayed.refused),
            hint=f"Release {release} cannot go on with {counted(len(replayed.refused), 'open workflow')}: leave the"
            " workers of the release before it running, and use a release that can (docs/upgrades.md).",
        )
