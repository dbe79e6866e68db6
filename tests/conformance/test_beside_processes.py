"""As test_as_with_threads.py, with what starts other processes and replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance.front import FRONTS
from tests.fixtures.replica import Standbys
from tests.integration.traffic import test_hand_over, test_replicas, test_replicas_in_trouble, test_two_processes
from tests.integration.traffic.replicated import Replicated
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

AGAIN = (
    test_hand_over.test_a_frozen_process_is_waited_for_until_its_routes_have_run_out,
    test_two_processes.test_a_write_still_waits_while_another_process_may_read_under_the_old_routes,
    test_replicas.test_a_session_reads_its_own_write_on_a_replica_only_once_that_has_it,
    test_replicas_in_trouble.test_a_replica_that_stops_replaying_is_taken_out_before_a_write_returns,
)

globals().update({test.__name__: test for test in AGAIN})


@pytest.fixture
def front() -> Callable[..., Any]:
    return FRONTS["asyncio"]


@pytest.fixture
def replicated(breakable: World, standbys: Standbys) -> Iterator[Replicated]:
    with ExitStack() as stack:
        yield Replicated(breakable, standbys, stack)
