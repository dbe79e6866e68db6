"""A program that is no client of the contract is told as that, with what it wrote, and without passwords."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

import pytest

from migrator.contract import client
from migrator.contract.client import Client, ClientNotStarted, ClientUnusable
from tests.fixtures.waiting import TIMEOUT_S

DSN = "postgresql://shop:hunter2@127.0.0.1:1/shop"
STARTS = "import json, os, sys, time\nasked = json.loads(input())\n"
OK = STARTS + "print(json.dumps({'id': asked['id'], 'ok': True}), flush=True)\n"

DUMB = {
    "import sys; sys.exit('no driver')": "it ended with exit code 1 .*\n.*it wrote: no driver",
    "import os; input(); os.kill(os.getpid(), 9)": "it ended by signal 9 without an answer",
    "print('hello')": "its line is no JSON: hello",
    'print(\'{"id": 7, "ok": true}\')': "its line is no answer to command 1",
    "print('[' * 100000)": "its line is no JSON",
    'print(\'{"id": 1, "ok": false, "error": "other", "text": "no driver"}\')': "it answered error other .no driver",
    STARTS + "print(asked['classic']['password'], file=sys.stderr); what": "it wrote: [*]{3}\n.*NameError",
    STARTS + "os.close(1); time.sleep(60)": "it closed its output without an answer",
}
"""Programs, and what is said of them."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not end by itself is not waited for."""
    monkeypatch.setattr(client, "STOP_S", 0.5)


def start(program: str) -> Client:
    return Client(shlex.join([sys.executable, "-c", program]), DSN, DSN, "client")


@pytest.mark.parametrize("program", DUMB)
def test_one_that_does_not_start_says_why(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sleep" not in program:
        monkeypatch.setattr(client, "STOP_S", 30.0)  # on a busy machine, an interpreter ends late
    with pytest.raises(ClientNotStarted) as told:
        start(program)

    assert re.search(f"the client did not start: .*{DUMB[program]}", str(told.value), re.DOTALL), told.value
    assert "hunter2" not in str(told.value)


def test_what_one_said_that_ended_before_it_was_asked_is_told() -> None:
    class Late(Client):
        def send(self, do: str, **values: Any) -> None:
            self._process.wait(TIMEOUT_S)
            super().send(do, **values)

    with pytest.raises(ClientNotStarted, match="its line is no JSON: hello"):
        Late(shlex.join([sys.executable, "-c", "print('hello')"]), DSN, DSN, "client")


def test_one_that_says_nothing_is_waited_for_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "START_S", 0.1)
    with pytest.raises(ClientNotStarted, match=r"no answer to start within 0\.1 s"):
        start("import time; time.sleep(600)")


def test_one_that_ends_later_is_told_as_ended_however_often_it_is_asked() -> None:
    with start(OK) as made:
        for _ in range(2):
            with pytest.raises(ClientUnusable, match=r"it ended with exit code 0|it closed its output"):
                made.ask("read", tenant="t1", key=1)
