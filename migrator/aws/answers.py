"""Asks AWS, and turns its refusals into this tool's errors: which call, which code, which right is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from migrator.aws.actions import action_of
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError

CONNECT_S = 5
READ_S = 30
ATTEMPTS = 8
"""Of a call that AWS throttles or that does not arrive; botocore waits up to 20 s between two."""

LATER = frozenset(
    (
        "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
        "RequestThrottled", "ServiceUnavailable", "InternalFailure", "InternalError", "InternalServerError",
    )
)  # fmt: skip
EXPIRED = frozenset(
    (
        "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "AuthFailure",
        "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException",
    )
)  # fmt: skip
DENIED = frozenset(("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"))

_PERFORM = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")


class Refused(PreconditionFailed):
    """AWS refused a call. code: AWS' own word for why."""

    def __init__(self, message: str, code: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


def client(
    service: str,
    region: str | None = None,
    *,
    connect_s: float = CONNECT_S,
    read_s: float = READ_S,
    attempts: int = ATTEMPTS,
) -> Any:
    """Return a boto3 client with this machine's credentials, that tries again what AWS throttles.

    Args:
        region: the plan's, since the same name may be another cluster's elsewhere; None: this machine's.
        connect_s, read_s, attempts: less for who has other things to watch.

    Raises:
        UsageError: the AWS extra is not installed.
        ClusterUnavailable: no region or credentials.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UsageError("AWS needs the AWS extra", hint="pip install 'migrator[aws]'") from None
    bounds = Config(
        connect_timeout=connect_s, read_timeout=read_s, retries={"mode": "standard", "total_max_attempts": attempts}
    )
    try:
        made: Any = boto3.client(service, region_name=region, config=bounds)  # type: ignore[call-overload]  # the stubs name services one by one
    except BotoCoreError as error:
        raise ClusterUnavailable("AWS", type(error).__name__, "Set the region and credentials.") from None
    return made


def missing_action(message: str, call: str) -> str:
    """Return the right that a refused call lacks: AWS may name another one than the call's own. Pure."""
    found = _PERFORM.search(message)
    return found[1] if found else call


def refusal(error: Mapping[str, Any], call: str) -> ClusterUnavailable | Refused:
    """Return the error that says what AWS refused, of the call that IAM knows as *call*. Pure.

    The text of a denied call is left out, since it names accounts and roles; that of another one says which value
    is wrong.
    """
    code, message = str(error.get("Code", "unknown")), str(error.get("Message", ""))
    if code in LATER:
        return ClusterUnavailable("AWS", f"it answers {code} to {call}", "Run the same command again: it goes on.")
    if code in EXPIRED:
        return Refused(
            f"AWS does not accept the credentials of this machine for {call} ({code})",
            code,
            hint="Renew the credentials and check the clock, then run the same command again: it goes on.",
        )
    if code in DENIED:
        lacks = missing_action(message, call)
        return Refused(
            f"AWS refuses {call} ({code}): {lacks} is missing",
            code,
            hint=f"Allow {lacks}; docs/infrastructure.md lists all.",
        )
    return Refused(f"AWS refuses {call}: {code}" + (f": {message}" if message else ""), code)


@contextmanager
def asking(service: str, method: str = "", *, fine: frozenset[str] = frozenset()) -> Iterator[None]:
    """Translate what the AWS client raises within; a code in *fine* counts as done.

    Args:
        method: of the client; '': several are called, and a refusal is named after the one that it is of.

    Raises:
        ClusterUnavailable: AWS does not answer, or asks for patience.
        Refused: it refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        found = error.response.get("Error", {})
        if str(found.get("Code")) in fine:
            return
        call = action_of(service, method) if method else f"{service}:{error.operation_name}"
        raise refusal(found, call) from None
    except BotoCoreError as error:
        hint = "Check region, credentials and the network of this machine."
        where = f" at {action_of(service, method)}" if method else f" at {service}"
        raise ClusterUnavailable("AWS", f"{type(error).__name__}{where}", hint) from None
