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
from tests.integration.traffic import test_acknowledgement, test_hand_over, test_session_tokens, test_sessions
from tests.integration.traffic.replicated import Replicated
from tests.integration.traffic.test_sessions import decoyed as decoyed
from tests.integration.traffic.world import World

pytestmark = [pytest.mark.pg, pytest.mark.once]

AGAIN = (  # one of each kind here, the others in test_more_as_with_threads
    test_acknowledgement.test_an_error_that_was_swallowed_is_not_committed,
    test_hand_over.test_a_write_returns_when_every_live_process_has_heard_of_the_hand_over,
    test_session_tokens.test_a_session_of_several_tenants_sees_all_its_writes,
    test_sessions.test_another_transaction_than_the_one_begun_is_refused,
)

globals().update({test.__name__: test for test in AGAIN})


@pytest.fixture
def front() -> Callable[..., Any]:
    return FRONTS["asyncio"]


@pytest.fixture
def replicated(breakable: World, standbys: Standbys) -> Iterator[Replicated]:
    with ExitStack() as stack:
        yield Replicated(breakable, standbys, stack)
