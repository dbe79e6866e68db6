"""A Temporal that cannot be used is one message: what is wrong, at which address, in which namespace, what to do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.service import RPCStatusCode

from tests.fixtures.operator import Done, Operator
from workflows.refusal import answered

pytestmark = pytest.mark.temporal

PLAN = """
name = "lab"
[classic]
writer = "env:C"
[limitless]
dsn = "env:L"
[temporal]
address = "{address}"
namespace = "{namespace}"
"""
COMMANDS = (
    ("worker",),
    ("pause", "--reason", "x"),
    ("validation", "schedule", "show"),
    ("approve", "audit", "--as", "A"),
)


@pytest.fixture
def mute() -> Iterator[str]:
    """A service that takes connections and answers like a web server, or like one that wants TLS: not in gRPC."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def run(tmp_path: Path, address: str, words: tuple[str, ...], namespace: str = "default") -> Done:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(address=address, namespace=namespace))
    return Operator(tmp_path, {"C": "host=/nowhere", "L": "host=/nowhere"})(*words, "--plan", str(path))


def test_a_namespace_that_does_not_exist_is_named(tmp_path: Path, temporal_address: str) -> None:
    """Whichever command asks, the worker included, which would otherwise poll without end."""
    for words in COMMANDS:
        done = run(tmp_path, temporal_address, words, "nope")

        assert done.code == 5, words
        assert f"{temporal_address} has no namespace nope" in done.err
        assert "hint: Correct temporal.namespace in the plan, or create it" in done.err
        assert len(done.err.strip().splitlines()) == 2 and "bug" not in done.err


def test_nobody_at_an_address_and_somebody_else_are_told_apart(tmp_path: Path, mute: str) -> None:
    nobody = run(tmp_path, "127.0.0.1:1", ("worker",))
    other = run(tmp_path, mute, ("worker",))
    rubbish = run(tmp_path, "127.0.0.1:99999", ("worker",))

    assert (nobody.code, other.code, rubbish.code) == (5, 5, 2)
    assert "no answer from 127.0.0.1:1" in nobody.err
    assert f"{mute} accepts connections and does not answer in Temporal's protocol" in other.err
    assert "Does it hang" in other.err and "TLS" in other.err
    assert "the port must be 1 to 65535" in rubbish.err


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (RPCStatusCode.PERMISSION_DENIED, "refuses access to namespace shop"),
        (RPCStatusCode.UNAUTHENTICATED, "refuses access to namespace shop"),
        (RPCStatusCode.UNIMPLEMENTED, "is not a Temporal server"),
        (RPCStatusCode.RESOURCE_EXHAUSTED, "answered resource_exhausted"),
    ],
)
def test_every_refusal_says_what_to_do(status: RPCStatusCode, said: str) -> None:
    why, hint = answered(status, "temporal:7233", "shop")

    assert said in why and "temporal:7233" in why
    assert hint.endswith(".")
