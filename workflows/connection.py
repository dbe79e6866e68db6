"""Connects commands and workers to Temporal, with one message for each way that can fail.

The only place that does. How the server is reached is profile.py's, what its refusals mean refusal.py's, what is
encrypted codec.py's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, Interceptor
from temporalio.runtime import Runtime
from temporalio.service import RPCError

from migrator import settings
from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.plan.schema import Plan
from workflows import refusal
from workflows.codec import converter, keys
from workflows.policies import RPC_S
from workflows.profile import Profile, profile

CONNECT_S = 5.0

KEY_READ_EVERY_S = 60.0
"""An API key that was replaced reaches a running process within this time."""

log = structlog.get_logger(__name__)


async def connect(plan: Plan, runtime: Runtime | None = None, interceptors: Sequence[Interceptor] = ()) -> Client:
    """Return a client of the plan's Temporal server, in a namespace that exists there.

    Raises:
        ClusterUnavailable: it is unreachable, has no such namespace, refuses us, or is not who its certificate says.
        UsageError: the configuration cannot be used, see profile.py; or a key that encrypts cannot, see codec.py.
    """
    found, ring = await asyncio.to_thread(lambda: (profile(plan), keys(plan)))
    address, namespace = found.address, found.namespace
    try:
        async with asyncio.timeout(CONNECT_S):
            client = await Client.connect(
                **found.arguments(), data_converter=converter(ring), runtime=runtime, interceptors=interceptors
            )
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=namespace), timeout=timedelta(seconds=RPC_S)
            )
            return client
    except RPCError as error:
        why, hint = refusal.answered(error.status, address, namespace, api_key=bool(found.api_key))
    except ValueError:
        raise UsageError(f"{address} is not the address of a Temporal server", hint="Write host:port.") from None
    except (RuntimeError, TimeoutError, OSError) as error:
        why, hint = await _unconnected(found, str(error))
    raise ClusterUnavailable("temporal", why, hint)


async def keep_api_key(client: Client, plan: Plan) -> None:
    """Give *client* the API key that the plan's reference leads to, whenever it is another one, until cancelled."""
    reference = plan.temporal.api_key
    while reference is not None:
        await asyncio.sleep(KEY_READ_EVERY_S)
        try:
            found = await asyncio.to_thread(settings.secret, reference)
        except MigratorError as error:
            log.warning("temporal.key_unread", reference=reference, reason=str(error))
            continue
        if found != client.api_key:
            client.api_key = found
            log.info("temporal.key_changed", reference=reference)


async def _unconnected(found: Profile, text: str) -> tuple[str, str]:
    """Return why no connection was made: the SDK's *text*, and what a look at the port says."""
    address = found.address
    if (status := refusal.status_in(text)) is not None:
        return refusal.answered(status, address, found.namespace, api_key=bool(found.api_key))
    if (wrong := refusal.certificate(text, address)) is not None:
        return wrong
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except (OSError, TimeoutError, ValueError):
        return refusal.closed(address)
    if found.encrypted and "after connection" in text:
        return refusal.hung_up(address, own_certificate=found.own_certificate)
    if not found.encrypted and await _speaks_tls(host.strip("[]"), int(port)):
        return refusal.wants_tls(address)
    return refusal.mute(address)


async def _speaks_tls(host: str, port: int) -> bool:
    """Return whether a server begins TLS; who it is does not matter here, and nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
