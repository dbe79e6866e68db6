"""Reads connection strings, addresses and the operator's defaults from the environment.

The only module that reads the environment. Values are read when asked for, so that `migrator rollback` works
with nothing but MIGRATOR_CLASSIC_DSN set. Errors name what is missing and never a value.

* MIGRATOR_HOME            working directory of local servers and reports (default ./.migrator)
* MIGRATOR_PLAN            the plan file a command uses without --plan
* MIGRATOR_CLASSIC_DSN     classic, for commands that find their plan in its control schema
* MIGRATOR_TEMPORAL        host:port of Temporal as seen from here, in place of the plan's
* MIGRATOR_INCIDENT_TOKEN  shared secret of the incident webhook
* MIGRATOR_BOARD_TOKEN     lets people sign in to the board and act
* MIGRATOR_BOARD_READ_TOKEN  without it nothing of the board may be read
* MIGRATOR_APPROVER_TOKEN  the token of the person who approves
* MIGRATOR_OPERATOR        the name decisions are recorded under (default: the login name)
* MIGRATOR_LOG             log level of workers and servers (default info); set, commands log as well
* MIGRATOR_LOG_FORMAT      json or console (default: console on a terminal)
* MIGRATOR_DEBUG           1 shows the trace of an unexpected error

Of OpenTelemetry's own variables it asks whether OTEL_EXPORTER_OTLP_* and OTEL_SDK_DISABLED are set.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from migrator.errors import ClusterUnavailable, UsageError
from migrator.model.near import nearest

CLASSIC_DSN = "MIGRATOR_CLASSIC_DSN"
LOCAL_FILE = "local.json"
LOCAL_HINT = "Start the local servers with: migrator local up"


class _HasTemporal(Protocol):
    @property
    def address(self) -> str: ...


class _HasPlanTemporal(Protocol):
    """The part of a plan that this module uses; naming the class would load pydantic for a rollback."""

    @property
    def temporal(self) -> _HasTemporal: ...


def home() -> Path:
    """Return the working directory of the tool; it need not exist."""
    return Path(os.environ.get("MIGRATOR_HOME") or ".migrator").absolute()


def plan_path() -> Path | None:
    """Return the plan file named by MIGRATOR_PLAN."""
    path = os.environ.get("MIGRATOR_PLAN")
    return Path(path) if path else None


def classic_dsn() -> str | None:
    """Return classic's connection string from the environment or the local servers' file; None when neither has it."""
    dsn = classic_dsn_from_environment()
    if dsn:
        return dsn
    local = _local_or_none()
    return local.get("classic") if local else None


def classic_dsn_from_environment() -> str | None:
    """Return classic's connection string from MIGRATOR_CLASSIC_DSN."""
    return os.environ.get(CLASSIC_DSN) or None


def incident_token() -> str | None:
    """Return the shared secret of the incident webhook."""
    return os.environ.get("MIGRATOR_INCIDENT_TOKEN") or None


def board_token() -> str | None:
    """Return the token that lets people act on the board."""
    return os.environ.get("MIGRATOR_BOARD_TOKEN") or None


def board_read_token() -> str | None:
    """Return the token without which the board may not be read."""
    return os.environ.get("MIGRATOR_BOARD_READ_TOKEN") or None


def approver_token() -> str | None:
    """Return the token of the person who approves."""
    return os.environ.get("MIGRATOR_APPROVER_TOKEN") or None


def operator() -> str:
    """Return the name decisions are recorded under."""
    name = os.environ.get("MIGRATOR_OPERATOR")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without an account
        return f"uid {os.getuid()}"


def debug() -> bool:
    """Return whether unexpected errors show their trace."""
    return os.environ.get("MIGRATOR_DEBUG", "") not in ("", "0")


def logs_wanted() -> bool:
    """Return whether commands other than workers and servers log, too: somebody has set a level."""
    return bool(os.environ.get("MIGRATOR_LOG"))


def log_level() -> str:
    return os.environ.get("MIGRATOR_LOG", "info").lower()


def log_format() -> str | None:
    """Return json, console, or None to choose by whether stderr is a terminal."""
    return os.environ.get("MIGRATOR_LOG_FORMAT") or None


# -- OpenTelemetry -------------------------------------------------------------------------------------------


def otlp_endpoint(signal: str) -> str | None:
    """Return where OpenTelemetry's variables want *signal* (metrics, traces) to be sent; None when they say nothing."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    shared = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return own or (f"{shared.rstrip('/')}/v1/{signal}" if shared else None)


def otlp_wanted(signal: str) -> bool:
    """Return False where OpenTelemetry's variables forbid to send *signal*."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "") != "none"


def otlp_protocol(signal: str) -> str:
    """Return the protocol that OpenTelemetry's variables want for *signal*; '' when they say nothing."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    return own or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")


def otlp_headers() -> list[tuple[str, str]]:
    """Return the headers of OTEL_EXPORTER_OTLP_HEADERS, which may hold secrets; what is no NAME=VALUE is left out."""
    written = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")
    pairs = (unquote(pair).partition("=") for pair in written)
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs if name.strip() and value.strip()]


def otlp_every_s() -> float | None:
    """Return OTEL_METRIC_EXPORT_INTERVAL in seconds; None when it is not set, or no number."""
    try:
        return int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000 or None
    except ValueError:
        return None


# -- connection strings --------------------------------------------------------------------------------------


def resolve(reference: str) -> str:
    """Return the connection string that *reference* names.

    References are env:NAME, file:PATH, aws-secret:ID, aws-secret:ID#KEY, local:classic and local:limitless.

    Raises:
        UsageError: naming what is missing.
        ClusterUnavailable: if AWS Secrets Manager cannot be asked.
    """
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            dsn = os.environ.get(name)
            if not dsn:
                near = nearest(name, (other for other, value in os.environ.items() if value))
                meant = f"; did you mean {near}, which is?" if near else ""
                raise UsageError(
                    f"the environment variable {name} is not set{meant}", hint=f"export {name}=postgresql://…"
                )
            return dsn
        case "file":
            return _from_file(name)
        case "aws-secret":
            return _from_aws(name)
        case "local":
            return _from_local(name)
    hint = "Use env:NAME, file:PATH, aws-secret:ID or local:SIDE."
    raise UsageError("not a reference to a connection string", hint=hint)


def resolve_last(references: Sequence[str]) -> str | None:
    """Return the connection string that the last of *references* names, None without any; raises as `resolve`."""
    return resolve(references[-1]) if references else None


def secret(reference: str) -> str:
    """Return the secret that *reference* names: env:NAME, file:PATH, aws-secret:ID or aws-secret:ID#KEY.

    Raises:
        UsageError: naming what is missing, never a value.
        ClusterUnavailable: if AWS Secrets Manager cannot be asked.
    """
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            value = os.environ.get(name, "").strip()
            if not value:
                raise UsageError(f"the environment variable {name} is not set", hint=f"export {name}=…")
            return value
        case "file":
            return _from_file(name, "file")
        case "aws-secret":
            secret_id, _, key = name.partition("#")
            text = _aws_text(secret_id)
            if not key:
                return text.strip()
            return dsn_from_secret(secret_id, text, key)
    raise UsageError("not a reference to a secret", hint="Use env:NAME, file:PATH or aws-secret:ID.")


_led_to: list[str] = []


@contextmanager
def temporal_led_to(address: str) -> Iterator[None]:
    """Have this process look for Temporal at *address*, whatever the plan and the environment say: a drill."""
    _led_to.append(address)
    try:
        yield
    finally:
        _led_to.pop()


def temporal_address(plan: _HasPlanTemporal) -> str:
    """Return host:port of the Temporal server the plan names; MIGRATOR_TEMPORAL wins, as one plan serves many places.

    Raises:
        UsageError: if the plan says "local" and no local server has been started.
    """
    if _led_to:
        return _led_to[-1]
    address = os.environ.get("MIGRATOR_TEMPORAL") or plan.temporal.address
    if address != "local":
        return address
    found = local_file().get("temporal")
    if not found:
        raise UsageError("the local Temporal server has not been started", hint=LOCAL_HINT)
    return str(found)


def temporal_ui(plan: _HasPlanTemporal) -> str | None:
    """Return the address of the local Temporal server's web pages, if there are any."""
    if plan.temporal.address != "local":
        return None
    local = _local_or_none()
    return local.get("ui") if local else None


def local_file() -> dict[str, str]:
    """Return the contents of the local servers' file: classic, limitless, temporal, ui.

    Raises:
        UsageError: if there is no such file, or it cannot be read.
    """
    path = home() / LOCAL_FILE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"no local servers ({path} does not exist)", hint=LOCAL_HINT) from None
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} cannot be read ({type(exc).__name__})", hint=LOCAL_HINT) from None
    if not isinstance(body, dict):
        raise UsageError(f"{path} was not written by migrator local up", hint=LOCAL_HINT)
    return {key: value for key, value in body.items() if isinstance(value, str)}


def _local_or_none() -> dict[str, str] | None:
    try:
        return local_file()
    except UsageError:
        return None


def _from_local(side: str) -> str:
    dsn = local_file().get(side)
    if not dsn:
        raise UsageError(f"the local servers' file names no {side} server", hint=LOCAL_HINT)
    return dsn


def _from_file(name: str, what: str = "DSN file") -> str:
    path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the {what} {path} cannot be read ({type(exc).__name__})") from None
    if not text:
        raise UsageError(f"the {what} {path} is empty")
    return text


def _from_aws(name: str) -> str:
    """Return the DSN in a secret: its text, one key of its JSON (ID#KEY), or built from the JSON's parts."""
    secret_id, _, key = name.partition("#")
    return dsn_from_secret(secret_id, _aws_text(secret_id), key or None)


def _aws_text(secret_id: str) -> str:
    """Return what AWS Secrets Manager holds under *secret_id*."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UsageError(f"aws-secret:{secret_id} needs the AWS extra", hint="pip install 'migrator[aws]'") from None
    try:
        answer = boto3.client("secretsmanager").get_secret_value(SecretId=secret_id)
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "unknown")
        hint = "The role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key."
        raise UsageError(f"AWS refuses the secret {secret_id} ({code})", hint=hint) from None
    except BotoCoreError as exc:
        # NoRegionError, NoCredentialsError, EndpointConnectionError: the class says what is wrong
        raise ClusterUnavailable(
            "AWS Secrets Manager", type(exc).__name__, "Check region and credentials of this machine."
        ) from None
    text = answer.get("SecretString")
    if not text:
        raise UsageError(f"the secret {secret_id} holds no text")
    return str(text)


def dsn_from_secret(secret_id: str, text: str, key: str | None) -> str:
    """Return the DSN in a secret's *text*.

    Raises:
        UsageError: naming what the secret lacks, never what it holds.
    """
    try:
        body: Any = json.loads(text)  # any text may be stored
    except ValueError:
        body = None
    if not isinstance(body, dict):
        if key:
            raise UsageError(f"the secret {secret_id} is not JSON, so it has no key {key}")
        return text.strip()
    if key:
        value = body.get(key)
        if not isinstance(value, str) or not value:
            raise UsageError(f"the secret {secret_id} has no key {key}")
        return value
    absent = [name for name in ("host", "username", "password") if not body.get(name)]
    if absent:
        raise UsageError(
            f"the secret {secret_id} lacks {', '.join(absent)}",
            hint="Secrets that RDS manages hold no host: store a whole DSN and name it aws-secret:ID#KEY.",
        )
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=str(body["host"]),
        port=str(body.get("port") or 5432),
        user=str(body["username"]),
        password=str(body["password"]),
        dbname=str(body.get("dbname") or body.get("dbInstanceIdentifier") or "postgres"),
        sslmode=str(body.get("sslmode") or "verify-full"),
    )
