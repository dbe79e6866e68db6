"""Where Temporal is and how it is talked to: the plan, this process' environment, and profiles of Temporal's SDK.

Address and namespace are the plan's, since the histories are there: `temporal.address` (MIGRATOR_TEMPORAL goes before
it) and `temporal.namespace`. With address = "profile" both come from the SDK's configuration: TEMPORAL_ADDRESS and
TEMPORAL_NAMESPACE, then the profile's. TLS, certificates, API key and headers come from there in any case: TEMPORAL_…
variables, then the profile that the plan or TEMPORAL_PROFILE names. The server of `migrator local up` has none of them.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS
from temporalio.service import TLSConfig

from migrator import settings
from migrator.errors import UsageError
from migrator.plan.schema import PROFILE, Plan

WITH_FILE = ("TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")
"""Without one of them, and without a name in the plan, no file is read: a workstation's own may be for anything."""

PAGE = "See docs/connections.md."


@dataclass(frozen=True)
class Profile:
    """How to reach one Temporal server.

    Attributes:
        tls: True: with the authorities of the system; None: in plain text.
        own_certificate: whether the client shows one.
    """

    address: str
    namespace: str
    tls: bool | TLSConfig | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def encrypted(self) -> bool:
        return self.tls not in (None, False)

    @property
    def own_certificate(self) -> bool:
        return isinstance(self.tls, TLSConfig) and bool(self.tls.client_cert)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the SDK's connect for it."""
        found: dict[str, Any] = {"target_host": self.address, "namespace": self.namespace}
        # Said, since the SDK turns TLS on by itself where there is an API key.
        found["tls"] = self.tls if self.encrypted else False
        if self.api_key:
            found["api_key"] = self.api_key
        if self.headers:
            found["rpc_metadata"] = dict(self.headers)
        return found


def profile(plan: Plan) -> Profile:
    """Return where the plan's Temporal is. Reads files of certificates, and the secret of the API key.

    Raises:
        UsageError: the configuration contradicts itself, or names what is not there; no secret is shown.
        ClusterUnavailable: AWS cannot be asked for the API key.
    """
    variables = settings.temporal_variables()
    wanted = plan.temporal.address
    if wanted == "local" and not settings.temporal_elsewhere():
        return Profile(settings.temporal_address(plan), plan.temporal.namespace)
    found = _loaded(plan, variables)
    api_key = settings.secret(plan.temporal.api_key) if plan.temporal.api_key else found.api_key
    if wanted == PROFILE:
        address = settings.temporal_elsewhere() or found.address
        if not address:
            raise UsageError(
                "neither TEMPORAL_ADDRESS nor the profile says where Temporal is",
                hint=f"Set TEMPORAL_ADDRESS, add address to the profile, or name host:port in the plan. {PAGE}",
            )
        namespace = found.namespace or plan.temporal.namespace
    else:
        address, namespace = settings.temporal_address(plan), plan.temporal.namespace
    tls = found.tls if found.tls is not None else (ClientConfigTLS() if api_key else None)
    return Profile(address, namespace, _tls(tls), api_key, found.grpc_meta)


def _loaded(plan: Plan, variables: Mapping[str, str]) -> ClientConfigProfile:
    flag = variables.get("TEMPORAL_TLS", "")
    if flag and flag.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f"TEMPORAL_TLS is {flag!r}", hint="Set it to true or false.")
    given = variables.get("TEMPORAL_CONFIG_FILE")
    if given and not Path(given).is_file():
        raise UsageError(f"TEMPORAL_CONFIG_FILE names {given}, which does not exist")
    named = plan.temporal.profile
    with_file = bool(named or plan.temporal.address == PROFILE or any(name in variables for name in WITH_FILE))
    try:
        return ClientConfigProfile.load(
            profile=named, disable_file=not with_file, config_file_strict=True, override_env_vars=variables
        )
    except RuntimeError as error:
        # The text of a TOML error quotes a line of the file, which may hold the API key.
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "|" not in line]
        raise UsageError(
            f"the configuration of Temporal's client cannot be used: {'; '.join(lines)}",
            hint=f"Correct the file of profiles (TEMPORAL_CONFIG_FILE) or the TEMPORAL_… variables. {PAGE}",
        ) from None


def _tls(tls: ClientConfigTLS | None) -> bool | TLSConfig | None:
    if tls is None or tls.disabled:
        return None
    for name, found in (
        ("authority's certificate", tls.server_root_ca_cert),
        ("client's certificate", tls.client_cert),
        ("client's key", tls.client_private_key),
    ):
        data, where = _read(name, found)
        if data is not None and b"-----BEGIN " not in data:
            raise UsageError(f"the {name}{where} is not in PEM format")
    if bool(tls.client_cert) != bool(tls.client_private_key):
        lacks = "key" if tls.client_cert else "certificate"
        raise UsageError(f"a client's certificate for Temporal needs its {lacks} as well", hint=PAGE)
    if isinstance(tls.client_cert, Path) and isinstance(tls.client_private_key, Path):
        _belong_together(tls.client_cert, tls.client_private_key)
    return tls.to_connect_tls_config()


def _read(name: str, found: Path | str | bytes | None) -> tuple[bytes | None, str]:
    if not isinstance(found, Path):
        return (found.encode() if isinstance(found, str) else found), ""
    try:
        return found.read_bytes(), f" {found}"
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"the {name} for Temporal cannot be read: {found}: {why}") from None


def _belong_together(certificate: Path, key: Path) -> None:
    try:
        # Without a function that gives one, an encrypted key would ask at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        why = "do not belong together" if "KEY_VALUES_MISMATCH" in str(error) else "cannot be used"
        hint = "The key has to be unencrypted PEM." if why == "cannot be used" else None
        raise UsageError(f"the client's certificate {certificate} and key {key} {why}", hint=hint) from None
