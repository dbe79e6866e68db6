"""The writer's runway, what the tool costs, its pace: unknown is no yes, nothing is negative, nothing starves. And the
bill of Limitless: nothing is left out, nothing is guessed where it was measured."""

from __future__ import annotations

from tests.mutation.mutation import Mutation

JUDGE = "tests/unit/runway/test_judge.py"
LOOK = "tests/integration/capacity/test_look.py"

OF_CAPACITY = (
    Mutation(
        "runway-unknown",
        "migrator/runway/judge.py",
        "    if runway.closes:\n        return ()\n",
        "    if runway.closes is not False:\n        return ()\n",
        (f"{JUDGE}::test_an_unknown_cpu_is_no_yes",),
        "a writer of which nothing is known does not close the runway",
        says="ValueError",
    ),
    Mutation(
        "runway-worst",
        "migrator/runway/judge.py",
        "    closes = worst >= facts.needed_weeks\n",
        "    closes = likely >= facts.needed_weeks\n",
        (f"{JUDGE}::test_the_worse_end_of_what_is_known_decides",),
        "the highest growth and the dearest capture have to fit",
    ),
    Mutation(
        "runway-gate",
        "migrator/gates.py",
        "    blocking += forecast.blockers(conn, plan)\n",
        "",
        ("tests/integration/runway/test_gate.py::test_dual_write_waits_for_a_writer_that_lasts",),
        "dual write is not left on a writer that does not last",
    ),
    Mutation(
        "rates-went-back",
        "migrator/runway/rates.py",
        "        elif later < earlier:\n",
        "        elif False:\n",
        ("tests/unit/runway/test_rates.py::test_what_cannot_be_said_is_left_out_alone",),
        "a counter that went back counts nothing",
    ),
    Mutation(
        "pace-floor",
        "migrator/model/pace.py",
        "        return Pace(max(pace.share * LESS, floor), str(worst), over)\n",
        "        return Pace(pace.share * LESS, str(worst), over)\n",
        ("tests/unit/model/test_pace.py::test_it_is_bounded_and_never_nothing",),
        "however slow the sides are, copies go on",
    ),
    Mutation(
        "bill-price-then",
        "migrator/control/cost.sql",
        "width_bucket(at, %(changes)s::timestamptz[])",
        "width_bucket(clock_timestamp(), %(changes)s::timestamptz[])",
        (f"{LOOK}::test_hours_are_added_up_by_day_and_by_price",),
        "an hour has the price that was in force when it began",
    ),
    Mutation(
        "bill-measured-stays",
        "migrator/control/cost.sql",
        " WHERE EXCLUDED.basis = 'cloudwatch' OR h.basis = 'model'",
        "",
        (f"{LOOK}::test_what_aws_measured_goes_before_the_model",),
        "a model replaces nothing that was measured",
    ),
    Mutation(
        "bill-missing-hours",
        "migrator/capacity/bill.py",
        "    left = missing + hours_between(now, end)\n",
        "    left = hours_between(now, end)\n",
        ("tests/unit/capacity/test_bill.py::test_a_gap_changes_nothing_where_the_load_stays",),
        "hours that nobody saw cost something all the same",
    ),
    Mutation(
        "bill-burst",
        "migrator/capacity/bill.py",
        " if known_hours >= ENOUGH_HOURS else certain",
        "",
        ("tests/unit/capacity/test_bill.py::test_what_is_over_the_projection",),
        "a burst of a few hours is no bill",
    ),
)
