"""Reads connection strings, addresses and the operator's defaults from the environment.

The only module that reads the environment. Values are read when asked for, so that `migrator rollback` works
with nothing but MIGRATOR_CLASSIC_DSN set. Errors name what is missing and never a value.

* MIGRATOR_HOME            working directory of local servers and reports (default ./.migrator)
* MIGRATOR_PLAN            the plan file a command uses without --plan
* MIGRATOR_CLASSIC_DSN     classic, for commands that find their plan in its control schema: a connection string, or
                           file:PATH, aws-secret:ID, rds-iam:…
* MIGRATOR_TEMPORAL        host:port of Temporal as seen from here, in place of the plan's
* MIGRATOR_INCIDENT_TOKEN  shared secret of the incident webhook
* MIGRATOR_BOARD_TOKEN     lets people sign in to the board and act
* MIGRATOR_BOARD_READ_TOKEN  without it nothing of the board may be read
* MIGRATOR_APPROVER_TOKEN  the token of the person who approves
* MIGRATOR_OPERATOR        the name decisions are recorded under (default: the login name)
* MIGRATOR_LOG             log level of workers and servers (default info); set, commands log as well
* MIGRATOR_LOG_FORMAT      json or console (default: console on a terminal)
* MIGRATOR_DEBUG           1 shows the trace of an unexpected error

The variables of Temporal's SDK (TEMPORAL_*) are handed to it as they are. Of OpenTelemetry's own variables it asks
whether OTEL_EXPORTER_OTLP_* and OTEL_SDK_DISABLED are set.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import unquote

from migrator.errors import UsageError
from migrator.login.source import Dsn, Source
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
    """Return classic's connection string from MIGRATOR_CLASSIC_DSN, which may hold a reference in its place.

    Raises as `resolve`, for a reference.
    """
    return resolve(f"env:{CLASSIC_DSN}") if os.environ.get(CLASSIC_DSN) else None


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
    """Return the connection string that *reference* names; who connects with it reads the reference anew.

    References are env:NAME, file:PATH, aws-secret:ID, aws-secret:ID#KEY, either with ?dbname=NAME&host=HOST… for what
    the secret lacks, local:classic, local:limitless, and rds-iam: before one of them or before //USER@HOST/DATABASE.

    Raises:
        UsageError: naming what is missing.
        ClusterUnavailable: if AWS cannot be asked.
    """
    return Dsn.of(source(reference))


def source(reference: str) -> Source:
    """Return what reads *reference* for each connection. Raises UsageError when it is none."""
    kind, _, name = reference.partition(":")
    match kind:
        case "env" | "local":
            return _Reference(reference)
        case "file":
            return _FileReference(reference)
        case "aws-secret":
            from migrator.login.secret import SecretDsn  # with psycopg, which `migrator --help` does not wait for

            return SecretDsn(name)
        case "rds-iam":
            from migrator.login import iam

            return iam.from_url(name) if name.startswith("//") else iam.IamToken(source(name))
    hint = "Use env:NAME, file:PATH, aws-secret:ID, rds-iam://USER@HOST/DATABASE or local:SIDE."
    raise UsageError("not a reference to a connection string", hint=hint)


class _Reference(Source):
    def __init__(self, reference: str) -> None:
        self._kind, _, self._name = reference.partition(":")

    def __call__(self) -> str:
        if self._kind == "local":
            return _from_local(self._name)
        dsn = os.environ.get(self._name)
        if dsn:
            return source(dsn)() if _NAMES_ANOTHER.match(dsn) else dsn
        near = nearest(self._name, (other for other, value in os.environ.items() if value))
        meant = f"; did you mean {near}, which is?" if near else ""
        raise UsageError(
            f"the environment variable {self._name} is not set{meant}", hint=f"export {self._name}=postgresql://…"
        )


_NAMES_ANOTHER = re.compile(r"^(file|aws-secret|rds-iam):")
"""A variable may hold a reference in the place of a connection string: a process' variables stay as they are."""


class _FileReference(Source):
    """A file that is replaced is empty or gone for a moment: what it held last is used meanwhile."""

    _held: ClassVar[dict[str, str]] = {}

    def __init__(self, reference: str) -> None:
        self._path = reference.removeprefix("file:")

    def __call__(self) -> str:
        try:
            found = self._held[self._path] = _from_file(self._path)
        except UsageError:
            if (held := self._held.get(self._path)) is None:
                raise
            return held
        return found

    def forget(self) -> None:
        self._held.pop(self._path, None)


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
            from migrator.login.secret import named, text_of, value_in

            asked = named(name)
            if asked.more:
                raise UsageError(f"aws-secret:{asked.secret_id} names parts of a connection string; it is none")
            text = text_of(asked.secret_id)
            return value_in(asked.secret_id, text, asked.key) if asked.key else text.strip()
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
    address = temporal_elsewhere() or plan.temporal.address
    if address != "local":
        return address
    found = local_file().get("temporal")
    if not found:
        raise UsageError("the local Temporal server has not been started", hint=LOCAL_HINT)
    return str(found)


def temporal_elsewhere() -> str | None:
    """Return host:port of MIGRATOR_TEMPORAL, which goes before the plan's."""
    return os.environ.get("MIGRATOR_TEMPORAL") or None


def temporal_variables() -> dict[str, str]:
    """Return the variables of Temporal's SDK, TEMPORAL_ADDRESS, TEMPORAL_TLS_… and so on; they may hold secrets."""
    found = {name: value for name, value in os.environ.items() if name.startswith("TEMPORAL_") and value}
    homes = ("HOME", "XDG_CONFIG_HOME", "APPDATA")  # where its file of profiles is looked for
    return found | {name: os.environ[name] for name in homes if name in os.environ}


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
