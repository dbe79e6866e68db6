"""Why Temporal could not be connected to, in words, and what to do. Pure; the SDK gives these reasons as text alone."""

from __future__ import annotations

import re

from temporalio.service import RPCStatusCode

WITHOUT_IT = "Reads, writes and rollback go on without it."
PAGE = f"See docs/connections.md. {WITHOUT_IT}"

_CERTIFICATE = re.compile(r"InvalidCertificate\((\w+)")
_STATUS = re.compile(r"Status \{ code: (\w+)")


def answered(status: RPCStatusCode, address: str, namespace: str, *, api_key: bool = False) -> tuple[str, str]:
    """Return what is wrong with a namespace, and what to do, from the status of asking for it."""
    match status:
        case RPCStatusCode.NOT_FOUND | RPCStatusCode.INVALID_ARGUMENT:
            return (
                f"the server at {address} has no namespace {namespace}",
                "Correct temporal.namespace in the plan, or create it: temporal operator namespace create "
                f"--namespace {namespace}",
            )
        case RPCStatusCode.UNAUTHENTICATED if api_key:
            return (
                f"the server at {address} refuses the API key for namespace {namespace}",
                "It has expired, was deleted, or is another account's: make a new one, and put it where the plan's"
                f" temporal.api_key or TEMPORAL_API_KEY finds it. {PAGE}",
            )
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            return (
                f"the server at {address} refuses access to namespace {namespace}",
                "Grant this account the namespace, or correct temporal.address and temporal.namespace in the plan;"
                f" it may want an API key. {PAGE}",
            )
        case RPCStatusCode.UNIMPLEMENTED:
            return f"the server at {address} is not a Temporal server", "Correct temporal.address in the plan."
    return f"{address} answered {status.name.lower()}", WITHOUT_IT


def status_in(text: str) -> RPCStatusCode | None:
    """Return the status that the SDK's text of a failed connection quotes; None for its own, which say nothing."""
    found = _STATUS.search(text)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", found[1]).upper() if found else ""
    known = (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED)
    return next((status for status in known if status.name == name), None)


def certificate(text: str, address: str) -> tuple[str, str] | None:
    """Return what is wrong with the server's certificate; None when the SDK's text says nothing of it."""
    if "InvalidContentType" in text or "InvalidMessage" in text:
        return (
            f"{address} answers without TLS, and this process wants TLS",
            f"Name the port that speaks TLS, or take TLS out of the configuration (TEMPORAL_TLS=false). {PAGE}",
        )
    found = _CERTIFICATE.search(text)
    if found is None:
        return None
    kind = found[1]
    if kind == "UnknownIssuer":
        return (
            f"the certificate of {address} is signed by an authority that is not trusted here",
            f"Name its authority's certificate: TEMPORAL_TLS_SERVER_CA_CERT_PATH. {PAGE}",
        )
    if kind.startswith("NotValidForName"):
        return (
            f"the certificate of {address} is for another name",
            f"Connect to the name it is for, or set TEMPORAL_TLS_SERVER_NAME to that. {PAGE}",
        )
    if kind.startswith("Expired"):
        return f"the certificate of {address} has expired", f"Renew it on the server; look at clocks. {PAGE}"
    if kind.startswith("NotValidYet"):
        return f"the certificate of {address} is not valid yet", f"Look at the clocks of both machines. {PAGE}"
    return f"the certificate of {address} cannot be accepted ({kind})", PAGE


def hung_up(address: str, *, own_certificate: bool) -> tuple[str, str]:
    """Return what it means that a server ends a connection behind TLS' handshake: it judges the client then."""
    if own_certificate:
        return (
            f"{address} refuses the client's certificate",
            "It has expired, or is signed by an authority that the server does not know: see its log. Renew it"
            f" (TEMPORAL_TLS_CLIENT_CERT_PATH, …_KEY_PATH). {PAGE}",
        )
    return (
        f"{address} ends the connection: it wants a client's certificate, or is no Temporal server",
        f"Give one: TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH. {PAGE}",
    )


def wants_tls(address: str) -> tuple[str, str]:
    return (
        f"{address} wants TLS, and this process is configured without it",
        f"Set TEMPORAL_TLS=true, and certificates where they are wanted. {PAGE}",
    )


def closed(address: str) -> tuple[str, str]:
    return (
        f"no answer from {address}",
        f"Check temporal.address in the plan, or start it with: migrator local up. {WITHOUT_IT}",
    )


def mute(address: str) -> tuple[str, str]:
    return (
        f"{address} accepts connections and does not answer in Temporal's protocol",
        f"Does it hang, does it want TLS, or is it another service? {PAGE}",
    )
