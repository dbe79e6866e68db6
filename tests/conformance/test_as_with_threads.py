"""What tests/integration/traffic/ asks of the front for threads, asked of the one for asyncio.

They are the same tests, in worlds whose processes run on event loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance.front import FRONTS
from tests.fixtures.replica import Standbys
from tests.integration.traffic.replicated import Replicated
from tests.integration.traffic.test_replicas import (
    test_a_session_reads_its_own_write_on_a_replica_only_once_that_has_it as test_a_session_waits_for_its_replica,
)
from tests.integration.traffic.test_replicas_in_trouble import (
    test_a_replica_that_stops_replaying_is_taken_out_before_a_write_returns as test_a_replica_that_stops_is_taken_out,
)
from tests.integration.traffic.test_sessions import decoyed as decoyed
from tests.integration.traffic.test_sessions import (
    test_a_write_whose_marks_are_gone_is_seen_while_the_mirror_stands_still as test_a_write_without_marks_is_seen,
)
from tests.integration.traffic.test_sessions import (
    test_another_transaction_than_the_one_begun_is_refused as test_another_transaction_is_refused,
)
from tests.integration.traffic.test_two_processes import (
    test_a_write_still_waits_while_another_process_may_read_under_the_old_routes as test_a_write_waits_for_old_routes,
)
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]

__all__ = [
    "decoyed",
    "test_a_replica_that_stops_is_taken_out",
    "test_a_session_waits_for_its_replica",
    "test_a_write_waits_for_old_routes",
    "test_a_write_without_marks_is_seen",
    "test_another_transaction_is_refused",
]


@pytest.fixture
def front() -> Callable[..., Any]:
    return FRONTS["asyncio"]


@pytest.fixture
def replicated(breakable: World, standbys: Standbys) -> Iterator[Replicated]:
    with ExitStack() as stack:
        yield Replicated(breakable, standbys, stack)
