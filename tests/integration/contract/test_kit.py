"""The kit tells clients that keep the contract from those that break one rule of it.

Trials mostly wait, so each has its own pair of databases and they run side by side.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrator.contract.promise import Finding, Promise
from migrator.contract.run import conformance
from tests.fixtures.postgres import Machines, fresh_name
from tests.integration.contract.client import BROKEN

pytestmark = [pytest.mark.pg, pytest.mark.once]

SHIM = f"{sys.executable} -m migrator.contract.speaker"
CLIENT = f"{sys.executable} -m tests.integration.contract.client"
AT_ONCE = 4


def try_one(machines: Machines, command: str, promise: Promise, application: bool) -> Finding:
    dsns = machines.new_classic(fresh_name("classic")), machines.new_limitless(fresh_name("limitless"))
    try:
        (found,) = conformance(command, *dsns, [promise], application=application)
        return found
    finally:
        machines.drop_pair(dsns)


def not_kept(
    machines: Machines, command: str, promises: Iterable[Promise] = Promise, *, application: bool = False
) -> list[Finding]:
    """Try all promises, or those given; return what was not kept."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda promise: try_one(machines, command, promise, application), promises))
    return [finding for finding in found if not finding.kept]


@pytest.mark.slow
def test_the_shim_keeps_every_promise(machines: Machines) -> None:
    assert not_kept(machines, SHIM, application=True) == []


OFTEN = (Promise.ACKNOWLEDGED, Promise.CONFIRMED, Promise.SESSION, Promise.HAND_OVER)
"""What is tried in each run of the tests, not in the slow ones alone."""


@pytest.mark.parametrize(
    "promises", [OFTEN, pytest.param([p for p in Promise if p not in OFTEN], marks=pytest.mark.slow)]
)
def test_a_client_that_follows_the_rules_keeps_every_promise(machines: Machines, promises: Iterable[Promise]) -> None:
    """With the right to call the contract's functions, and no other on the tool's tables."""
    assert not_kept(machines, CLIENT, promises) == []


@pytest.mark.slow
def test_the_node_example_keeps_every_promise(machines: Machines, node: str) -> None:
    assert not_kept(machines, node) == []


@pytest.mark.slow
def test_the_java_example_keeps_every_promise(machines: Machines, java: str) -> None:
    assert not_kept(machines, java) == []


@pytest.mark.slow
def test_a_client_that_breaks_a_rule_is_found_by_that(machines: Machines) -> None:
    def tried(what: str) -> Finding:
        return try_one(machines, f"{CLIENT} --broken {shlex.quote(what)}", Promise(BROKEN[what][0]), False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(BROKEN, pool.map(tried, BROKEN), strict=True))

    missed = {
        what: finding
        for what, finding in found.items()
        if finding.kept is not False or not re.search(BROKEN[what][1], "; ".join(finding.evidence))
    }
    assert missed == {}
    assert {Promise(promise) for promise, _ in BROKEN.values()} == set(Promise), "each promise is broken by one of them"


DUMB = {
    "import sys; sys.stdin.readline()": "ended without an answer",
    "print('hello')": "no JSON",
    'print(\'{"id": 7, "ok": true}\')': "no answer to command 1",
    'print(\'{"id": 1, "ok": false, "error": "other", "text": "no driver"}\')': "did not start: other: no",
}


def test_a_program_that_does_not_speak_the_protocol_keeps_nothing(machines: Machines) -> None:
    def tried(program: str) -> Finding:
        return try_one(machines, shlex.join([sys.executable, "-c", program]), Promise.BOUNDED, False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(DUMB, pool.map(tried, DUMB), strict=True))

    assert {p: f.kept is False and DUMB[p] in f.evidence[0] for p, f in found.items()} == dict.fromkeys(DUMB, True), (
        found
    )
