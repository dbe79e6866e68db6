"""Connects commands and workers to Temporal, with one message for each way that can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from migrator import settings
from migrator.errors import ClusterUnavailable, UsageError
from migrator.plan.schema import Plan
from workflows.policies import RPC_S

CONNECT_S = 5.0
WITHOUT_IT = "Reads, writes and rollback go on without it."


async def connect(plan: Plan, runtime: Runtime | None = None, interceptors: Sequence[Interceptor] = ()) -> Client:
    """Return a client of the plan's Temporal server, in a namespace that exists there.

    Raises:
        ClusterUnavailable: it is unreachable, has no such namespace, or refuses access.
    """
    address, namespace = settings.temporal_address(plan), plan.temporal.namespace
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await Client.connect(
                address,
                namespace=namespace,
                data_converter=pydantic_data_converter,
                runtime=runtime,
                interceptors=interceptors,
            )
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=RPC_S)
            )
            return client
    except RPCError as error:
        why, hint = _refused(error.status, address, namespace)
    except ValueError:
        raise UsageError(f"{address} is not the address of a Temporal server", hint="Write host:port.") from None
    except (RuntimeError, TimeoutError, OSError):
        why, hint = await _no_answer(address)
    raise ClusterUnavailable("temporal", why, hint)


def _refused(status: RPCStatusCode, address: str, namespace: str) -> tuple[str, str]:
    """Return what is wrong with a namespace, and what to do, from the status of asking for it."""
    match status:
        case RPCStatusCode.NOT_FOUND | RPCStatusCode.INVALID_ARGUMENT:
            return (
                f"the server at {address} has no namespace {namespace}",
                "Correct temporal.namespace in the plan, or create it: temporal operator namespace create "
                f"--namespace {namespace}",
            )
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            return (
                f"the server at {address} refuses access to namespace {namespace}",
                "Grant this account the namespace, or correct temporal.address and temporal.namespace in the plan.",
            )
        case RPCStatusCode.UNIMPLEMENTED:
            return f"the server at {address} is not a Temporal server", "Correct temporal.address in the plan."
    return f"{address} answered {status.name.lower()}", WITHOUT_IT


async def _no_answer(address: str) -> tuple[str, str]:
    """Return why no connection was made: no server listens, it hangs, or it speaks another protocol."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
    except (OSError, TimeoutError, ValueError):
        hint = f"Check temporal.address in the plan, or start it with: migrator local up. {WITHOUT_IT}"
        return f"no answer from {address}", hint
    return (
        f"{address} accepts connections and does not answer in Temporal's protocol",
        "Does it hang, does it want TLS, or is it another service? For TLS name the plain-text frontend, or a local "
        "proxy that adds TLS, in "
        f"temporal.address. {WITHOUT_IT}",
    )
