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
from migrator.errors import UsageError
from tests.fixtures.postgres import Machines, fresh_name
from tests.integration.contract.client import BROKEN

pytestmark = [pytest.mark.pg, pytest.mark.once]

SHIM = f"{sys.executable} -m migrator.contract.speaker"
CLIENT = f"{sys.executable} -m tests.integration.contract.client"
AT_ONCE = 4


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


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


OFTEN = (Promise.CONFIRMED, Promise.SESSION)
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


def test_of_a_program_that_does_not_start_nothing_is_judged(machines: Machines) -> None:
    judged: list[Finding] = []
    dsns = machines.new_classic(fresh_name("classic")), machines.new_limitless(fresh_name("limitless"))
    try:
        with pytest.raises(UsageError, match="the client did not start: it ended with exit code 1 ") as told:
            conformance(python("import sys; sys.exit('no driver')"), *dsns, on_finding=judged.append)
    finally:
        machines.drop_pair(dsns)

    assert (judged, told.value.problems) == ([], ("it wrote: no driver",))
    assert told.value.hint.startswith("No promise was tried.")


SPOILT = {
    "sys.exit('out of memory')": ("it ended with exit code 1 without an answer", "it wrote: out of memory"),
    "print('oops', flush=True)": ("its line is no JSON: oops",),
}


@pytest.mark.parametrize(
    "spoils", [next(iter(SPOILT)), *(pytest.param(s, marks=pytest.mark.slow) for s in [*SPOILT][1:])]
)
def test_a_client_that_breaks_down_in_the_middle_is_told_as_that(machines: Machines, spoils: str) -> None:
    """It started, and is no longer one: neither kept nor broken; the other promises are tried all the same."""
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        f"    if asked['do'] != 'start': {spoils}\n"
        "    print(json.dumps({'id': asked['id'], 'ok': True}), flush=True)\n"
    )
    dsns = machines.new_classic(fresh_name("classic")), machines.new_limitless(fresh_name("limitless"))
    try:
        found = conformance(python(program), *dsns, [Promise.CLOSED, Promise.LOST_ANSWER])
    finally:
        machines.drop_pair(dsns)

    assert [(f.word, f.evidence) for f in found] == [("not shown", SPOILT[spoils])] * 2
