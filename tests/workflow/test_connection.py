"""Temporal behind TLS that wants a client's certificate, with an API key, with histories that nobody else can read."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from migrator.errors import ClusterUnavailable, MigratorError, UsageError
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan
from tests.fixtures.tls import NAME, Front, TlsWorld
from tests.fixtures.waiting import until
from tests.workflow.fakes import World, fakes
from tests.workflow.serving import serving
from workflows import names
from workflows.breaker import BreakerWorkflow, RollbackWorkflow
from workflows.codec import ENCODING, KEY_ID, EncryptionCodec, key, keys
from workflows.connection import connect, keep_api_key
from workflows.look import TemporalLook
from workflows.messages import PlanInput, RollbackInput
from workflows.profile import profile

pytestmark = pytest.mark.temporal


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("MIGRATOR_TEMPORAL", raising=False)
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def plan_at(address: str, **temporal: Any) -> Plan:
    return small_plan(temporal={"address": address, **temporal}, rehearsal=None)


async def refusal(plan: Plan) -> MigratorError:
    with pytest.raises(MigratorError) as refused:
        await connect(plan)
    text = f"{refused.value} {refused.value.hint}"
    assert "\n" not in text and "tonic" not in text and "hyper" not in text
    return refused.value


# -- TLS -------------------------------------------------------------------------------------------------


async def test_commands_and_workers_connect_with_certificates(
    tls: TlsWorld, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: connect, start, work, look. MIGRATOR_TEMPORAL goes before the plan's address."""
    front = tls.temporal(temporal_address)
    given(monkeypatch, **tls.variables(front))
    plan = plan_at("127.0.0.1:1")
    client = await connect(plan)

    assert await rolled_back(client, plan) == 1
    found = await asyncio.to_thread(lambda: looked(plan))
    assert found.address == front.address and found.version
    assert front.refused == 0 and len(front.heard) >= 2


def looked(plan: Plan) -> Any:
    look = TemporalLook(plan)
    try:
        return look.found()
    finally:
        look.close()


async def rolled_back(client: Client, plan: Plan, reason: str = "drill") -> int:
    world = World()
    async with serving(client, plan.name, fakes(world)):
        handle = await client.start_workflow(
            RollbackWorkflow.run,
            RollbackInput(plan=plan.name, all=True, who="ana", reason=reason),
            id=f"rollback/{plan.name}",
            task_queue=names.queue(plan.name, names.Queue.INCIDENT),
        )
        return int((await handle.result()).changed)


async def test_a_profile_gives_address_namespace_and_certificates(
    tls: TlsWorld, temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = tls.temporal(temporal_address)
    file = tmp_path / "temporal.toml"
    file.write_text(
        f'[profile."prod eu"]\naddress = "{front.address}"\nnamespace = "default"\n[profile."prod eu".tls]\n'
        f'server_ca_cert_path = "{tls.authority.path}"\nclient_cert_path = "{tls.client.path}"\n'
        f'client_key_path = "{tls.client.key}"\n'
    )
    given(monkeypatch, TEMPORAL_CONFIG_FILE=str(file))
    plan = small_plan(temporal={"profile": "prod eu"}, rehearsal=None)

    client = await connect(plan)

    assert client.service_client.config.target_host == front.address and client.namespace == "default"
    other = await refusal(small_plan(temporal={"profile": "prod"}, rehearsal=None))
    assert isinstance(other, UsageError) and "Profile 'prod' not found" in str(other)


WRONG = {
    "no certificate": "wants a client's certificate",
    "a stranger's certificate": "refuses the client's certificate",
    "an expired certificate": "refuses the client's certificate",
    "another authority": "signed by an authority that is not trusted here",
    "no authority": "signed by an authority that is not trusted here",
    "another name": "is for another name",
    "an expired server": "has expired",
    "plain text": "wants TLS, and this process is configured without it",
    "a plain server": "answers without TLS, and this process wants TLS",
    "nobody": "no answer from",
}


@pytest.mark.parametrize("case", WRONG)
async def test_each_mistake_is_one_error_of_its_own(
    tls: TlsWorld, temporal_address: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    expired = tls.authority.issue(NAME, days=-1) if case == "an expired server" else None
    front = tls.temporal(temporal_address, expired, mutual=case != "no authority")
    variables = tls.variables(front)
    if case in ("no certificate", "plain text"):
        del variables["TEMPORAL_TLS_CLIENT_CERT_PATH"], variables["TEMPORAL_TLS_CLIENT_KEY_PATH"]
    if case == "plain text":
        variables = {"MIGRATOR_TEMPORAL": front.address}
    if case == "a stranger's certificate":
        variables = tls.variables(front, tls.stranger.issue("worker"))
    if case == "an expired certificate":
        variables = tls.variables(front, tls.authority.issue("worker", days=-1))
    if case == "another authority":
        variables["TEMPORAL_TLS_SERVER_CA_CERT_PATH"] = str(tls.stranger.path)
    if case == "no authority":
        variables = {"MIGRATOR_TEMPORAL": front.address, "TEMPORAL_TLS": "true"}
    if case == "another name":
        variables["MIGRATOR_TEMPORAL"] = f"127.0.0.1:{front.port}"
    if case == "a plain server":
        variables["MIGRATOR_TEMPORAL"] = temporal_address
    if case == "nobody":
        variables["MIGRATOR_TEMPORAL"] = "127.0.0.1:1"
    given(monkeypatch, **variables)

    error = await refusal(plan_at("127.0.0.1:1"))

    assert isinstance(error, ClusterUnavailable) and WRONG[case] in str(error)
    assert variables["MIGRATOR_TEMPORAL"] in str(error) and error.hint


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/nowhere/ca.pem"}, "cannot be read: /nowhere/ca.pem"),
        ({"TEMPORAL_TLS_SERVER_CA_CERT_DATA": "nothing"}, "is not in PEM format"),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "{client}"}, "needs its key"),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "{client}", "TEMPORAL_TLS_CLIENT_KEY_PATH": "{other}"}, "belong together"),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "{client}", "TEMPORAL_TLS_CLIENT_KEY_PATH": "{client}"}, "cannot be used"),
        ({"TEMPORAL_TLS": "perhaps"}, "TEMPORAL_TLS is 'perhaps'"),
        ({"TEMPORAL_CONFIG_FILE": "/nowhere.toml"}, "/nowhere.toml, which does not exist"),
        ({"TEMPORAL_CONFIG_FILE": "{toml}"}, "unknown field `adress`"),
        ({"MIGRATOR_TEMPORAL": "no address"}, "is not the address of a Temporal server"),
    ],
)
async def test_a_configuration_that_cannot_be_used_says_why(
    tls: TlsWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    toml = tmp_path / "t.toml"
    toml.write_text('[profile.default]\nadress = "sesame"\n')
    files = {"client": tls.client.path, "other": tls.server.key, "toml": toml}
    given(monkeypatch, **{name: value.format(**files) for name, value in variables.items()})

    error = await refusal(plan_at("127.0.0.1:1"))

    assert isinstance(error, UsageError) and said in str(error)
    assert "sesame" not in f"{error} {error.hint}"


# -- precedence ------------------------------------------------------------------------------------------


def test_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The plan says which server; the environment, then the profile, how it is talked to."""
    file = tmp_path / "temporal.toml"
    file.write_text(
        '[profile.default]\naddress = "d:1"\napi_key = "default\'s"\n'
        '[profile.prod]\naddress = "p:1"\nnamespace = "p"\napi_key = "prod\'s"\n'
    )
    (tmp_path / "key").write_text("the plan's\n")

    def of(**temporal: Any) -> tuple[str, str, str | None, bool]:
        found = profile(small_plan(temporal=temporal, rehearsal=None))
        return found.address, found.namespace, found.api_key, found.encrypted

    plain = of(address="h:1", namespace="n")
    assert plain == ("h:1", "n", None, False), "no file is read unless it is named"
    given(monkeypatch, TEMPORAL_CONFIG_FILE=str(file))
    assert of(address="h:1", namespace="n") == ("h:1", "n", "default's", True)
    assert of(address="h:1", namespace="n", profile="prod") == ("h:1", "n", "prod's", True)
    assert of(profile="prod") == of(profile="prod", address="profile") == ("p:1", "p", "prod's", True)
    assert of(address="profile", namespace="n") == ("d:1", "n", "default's", True)
    given(monkeypatch, TEMPORAL_PROFILE="prod")
    assert of(address="profile") == ("p:1", "p", "prod's", True)
    given(monkeypatch, TEMPORAL_ADDRESS="e:1", TEMPORAL_NAMESPACE="e", TEMPORAL_API_KEY="the environment's")
    assert of(address="profile") == ("e:1", "e", "the environment's", True)
    assert of(address="h:1", namespace="n") == ("h:1", "n", "the environment's", True)
    assert of(address="h:1", api_key=f"file:{tmp_path / 'key'}")[2] == "the plan's"
    given(monkeypatch, TEMPORAL_TLS="false")
    assert of(address="h:1")[3] is False
    given(monkeypatch, MIGRATOR_TEMPORAL="m:1")
    assert of(address="h:1")[0] == of(profile="prod")[0] == of(address="local")[0] == "m:1"


def test_the_local_server_has_no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text('{"temporal": "127.0.0.1:7"}')
    given(monkeypatch, TEMPORAL_TLS="true", TEMPORAL_API_KEY="of another server")

    found = profile(small_plan(temporal={"address": "local"}, rehearsal=None))

    assert (found.address, found.api_key, found.encrypted) == ("127.0.0.1:7", None, False)


def test_a_profile_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="neither TEMPORAL_ADDRESS nor the profile says where Temporal is"):
        profile(small_plan(temporal={"address": "profile"}, rehearsal=None))


# -- API keys --------------------------------------------------------------------------------------------

HUFFMAN = {"B": "1011101", "e": "00101", "a": "00011", "r": "101100", " ": "010100", "s": "01000", "m": "101001"}
"""RFC 7541, appendix B: how HTTP/2 writes these letters in a header."""


def in_a_header(text: str) -> bytes:
    bits = "".join(HUFFMAN[letter] for letter in text)
    bits += "1" * (-len(bits) % 8)
    return bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))


def heard(front: Front, api_key: str) -> bool:
    return in_a_header(f"Bearer {api_key}") in b"".join(front.heard)


async def test_an_api_key_is_sent_over_tls_and_replaced_while_a_worker_runs(
    tls: TlsWorld, temporal_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = tls.temporal(temporal_address, mutual=False)
    given(monkeypatch, TEMPORAL_TLS_SERVER_CA_CERT_PATH=str(tls.authority.path))
    path = tmp_path / "key"
    path.write_text("sesame\n")
    plan = plan_at(front.address, api_key=f"file:{path}")
    monkeypatch.setattr("workflows.connection.KEY_READ_EVERY_S", 0.01)

    client = await connect(plan)
    assert heard(front, "sesame") and not heard(front, "massarese")
    keeping = asyncio.create_task(keep_api_key(client, plan))
    path.unlink()  # for a moment; the last one is used
    path.write_text("massarese\n")

    async def replaced() -> bool:
        await client.service_client.check_health()
        return heard(front, "massarese")

    await until(replaced, "calls carry the new key")
    keeping.cancel()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (RPCStatusCode.UNAUTHENTICATED, "refuses the API key for namespace default"),
        (RPCStatusCode.PERMISSION_DENIED, "refuses access to namespace default"),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
async def test_a_key_that_has_expired_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode, said: str, quoted: bool
) -> None:
    """As a status, and as the text in which the SDK quotes the one that its own first question had."""

    async def refused(*_: object, **__: object) -> Client:
        if quoted:
            code = "".join(part.title() for part in status.name.split("_"))
            raise RuntimeError(f"Failed client connect: `get_system_info` call error: Status {{ code: {code}, … }}")
        raise RPCError("Request unauthorized. sesame", status, b"")

    monkeypatch.setattr(Client, "connect", refused)
    given(monkeypatch, TEMPORAL_API_KEY="sesame")

    error = await refusal(plan_at("cloud.example:7233"))

    assert said in str(error) and "cloud.example:7233" in str(error) and "sesame" not in f"{error} {error.hint}"


# -- encryption ------------------------------------------------------------------------------------------

SAID = "Größe of the incident at 3 a.m."


@activity.defn(name="watch_breakers")
async def fails(_: PlanInput) -> None:
    raise ApplicationError(SAID)


def key_file(tmp_path: Path, name: str) -> str:
    path = tmp_path / name
    path.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    return f"file:{path}"


async def history(client: Client, plan: Plan) -> bytes:
    """All that the server keeps of a rollback, as it keeps it."""
    found = await client.get_workflow_handle(f"rollback/{plan.name}").fetch_history()
    return b"".join(event.SerializeToString() for event in found.events)


async def test_histories_hold_ciphertext_alone(temporal_address: str, tmp_path: Path) -> None:
    plain = plan_at(temporal_address)
    client = await connect(plain)
    await rolled_back(client, plain, SAID)
    assert SAID.encode() in await history(client, plain), "without keys they are legible"

    one, two = key_file(tmp_path, "one"), key_file(tmp_path, "two")
    secret = plan_at(temporal_address, encryption_keys=[one])
    sealed = await connect(secret)
    assert await rolled_back(sealed, secret, SAID) == 1
    stored = await history(sealed, secret)
    assert SAID.encode() not in stored and b"ana" not in stored and ENCODING in stored
    assert keys(secret)[0].id.encode() in stored and keys(secret)[0].bytes not in stored

    turned = await connect(plan_at(temporal_address, encryption_keys=[two, one]))
    handle = turned.get_workflow_handle(f"rollback/{secret.name}")
    assert (await handle.result())["changed"] == 1, "the old key still reads"
    for other in (client, await connect(plan_at(temporal_address, encryption_keys=[two]))):
        with pytest.raises(UsageError, match="encrypted with key"):
            await other.get_workflow_handle(f"rollback/{secret.name}").result()
    assert await turned.get_workflow_handle(f"rollback/{plain.name}").result(), "what was written before is read"


async def test_what_a_step_failed_of_is_encrypted_and_doctor_reads_it(temporal_address: str, tmp_path: Path) -> None:
    plan = plan_at(temporal_address, encryption_keys=[key_file(tmp_path, "one")])
    client = await connect(plan)
    async with serving(client, plan.name, [fails]):
        handle = await client.start_workflow(
            BreakerWorkflow.run,
            PlanInput(plan=plan.name),
            id=names.breaker_id(plan.name),
            task_queue=names.queue(plan.name, names.Queue.INCIDENT),
        )

        def running() -> Any:
            look = TemporalLook(plan)
            try:
                return look.running()
            finally:
                look.close()

        async def tried() -> Any:
            found = await asyncio.to_thread(running)
            return found if found and found[0].failure else None

        (breaker,) = await until(tried, "the activity has failed")
        raw = (await handle.describe()).raw_description.SerializeToString()
        await handle.terminate()

    assert SAID in breaker.failure
    assert SAID.encode() not in raw


async def test_an_altered_payload_is_found() -> None:
    codec = EncryptionCodec([key(base64.b64encode(b"k" * 32).decode(), "env:K")])
    (sealed,) = await codec.encode([Payload(metadata={"encoding": b"json/plain"}, data=b'"x"')])
    assert (await codec.decode([sealed]))[0].data == b'"x"'
    again = (await codec.encode([Payload(data=b"x")]))[0].data
    assert again != (await codec.encode([Payload(data=b"x")]))[0].data, "each payload has its own nonce"

    for at in range(len(sealed.data)):
        data = bytearray(sealed.data)
        data[at] ^= 1
        with pytest.raises(ValueError, match="was altered"):
            await codec.decode([Payload(metadata=sealed.metadata, data=bytes(data))])
    with pytest.raises(UsageError, match="encrypted with key none-of-ours"):
        await codec.decode([Payload(metadata={"encoding": ENCODING, KEY_ID: b"none-of-ours"}, data=b"x")])


@pytest.mark.parametrize("text", ["", "short", "hunter2" * 9, base64.b64encode(b"x" * 31).decode()])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError, match="env:K holds no key") as wrong:
        key(text, "env:K")
    assert not text or text not in f"{wrong.value} {wrong.value.hint}"


def test_a_key_may_be_hexadecimal() -> None:
    found = key("ab" * 32, "env:K")

    assert found.bytes == b"\xab" * 32 and "ab" * 8 not in repr(found) and len(found.id) == 16
