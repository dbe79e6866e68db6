"""The rest of what tests/integration/traffic/ asks of both fronts: see test_as_with_threads. Slow tests."""

from __future__ import annotations

import pytest

from tests.conformance.test_as_with_threads import front as front
from tests.conformance.test_as_with_threads import replicated as replicated
from tests.integration.traffic import (
    test_acknowledgement,
    test_hand_over,
    test_replicas,
    test_replicas_in_trouble,
    test_session_tokens,
    test_sessions,
    test_two_processes,
)
from tests.integration.traffic.test_sessions import decoyed as decoyed

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

AGAIN = (
    # levels of acknowledgement
    test_acknowledgement.test_the_plan_names_the_level_of_writes_that_name_none,
    test_acknowledgement.test_a_write_for_everybody_speaks_for_weaker_ones_before_it,
    test_acknowledgement.test_a_deferred_trigger_belongs_to_its_write,
    test_acknowledgement.test_a_write_that_slipped_through_while_writes_were_closed_is_refused,
    # the hand-over
    test_hand_over.test_a_weaker_write_does_not_wait_for_other_processes,
    test_hand_over.test_a_process_that_stays_behind_is_told_past_the_bound,
    test_hand_over.test_a_process_whose_routes_have_run_out_asks_classic_who_answers,
    test_hand_over.test_a_frozen_process_is_waited_for_until_its_routes_have_run_out,
    test_hand_over.test_a_process_that_starts_when_it_is_over_waits_for_the_others,
    # tokens of sessions
    test_session_tokens.test_a_session_sees_its_own_writes_in_every_process,
    test_session_tokens.test_a_read_that_may_wait_is_answered_by_limitless,
    test_session_tokens.test_a_read_waits_no_longer_than_it_may,
    test_session_tokens.test_a_session_sees_what_other_sessions_wrote_when_it_is_told,
    test_session_tokens.test_threads_that_share_a_session_see_each_others_writes,
    # sessions of the server, other processes, replicas
    test_sessions.test_a_write_whose_marks_are_gone_is_seen_while_the_mirror_stands_still,
    test_two_processes.test_a_write_still_waits_while_another_process_may_read_under_the_old_routes,
    test_replicas.test_a_session_reads_its_own_write_on_a_replica_only_once_that_has_it,
    test_replicas_in_trouble.test_a_replica_that_stops_replaying_is_taken_out_before_a_write_returns,
)

globals().update({test.__name__: test for test in AGAIN})
