"""A change of one bit in a value of any type is found, and named exactly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migrator.consistency.run import validate
from tests.fixtures.world import World, plan_of
from tests.integration.consistency.kinds import KINDS, SCHEMA, corruption, fill

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


@pytest.fixture
def kinds(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    with World.made(classic_dsn, limitless_dsn, plan_of("kinds"), SCHEMA + fill(len(KINDS) + 20)) as made:
        yield made


async def test_the_smallest_change_of_every_type_is_named(kinds: World) -> None:
    """One row is changed per type, all in a column of its own: those are named, with that column, and no other."""
    await kinds.start()
    async with kinds.mirrors():
        await kinds.copy_all()
        clean = await validate(kinds.classic_dsn, kinds.limitless_dsn)
        for number in range(len(KINDS)):
            assert kinds.limitless.execute(corruption(number).encode()).rowcount == (1 if number else 0)
        last = len(KINDS) + 19
        kinds.limitless.execute("UPDATE kinds.sample SET c_smallint = 13 WHERE id = %s", (last,))
        kinds.limitless.execute("ALTER TABLE kinds.sample ALTER n_integer DROP NOT NULL")
        kinds.limitless.execute("UPDATE kinds.sample SET n_integer = NULL WHERE id = %s", (last - 1,))
        hashed = await validate(kinds.classic_dsn, kinds.limitless_dsn, sample=1000)
        clear = await validate(kinds.classic_dsn, kinds.limitless_dsn, sample=1000, show_values=True)

    expected = {(str(number), (KINDS[number][0],)) for number in range(1, len(KINDS))}
    expected |= {(str(last), ("c_smallint",)), (str(last - 1), ("n_integer",))}
    assert clean.clean and clean.rows == clean.limitless_rows == len(KINDS) + 20
    assert {(d.key[0][1], d.columns) for d in hashed.sample} == expected
    assert hashed.divergent_rows == len(hashed.sample) == len(expected)

    shown = {d.columns[0]: d.values[0] for d in clear.sample}
    assert shown["c_numeric"] == ("c_numeric", "1.1", "1.10")
    assert shown["c_json"] == ("c_json", '{"a":1}', '{"a": 1}')
    assert shown["c_null"] == ("c_null", None, "")
    assert shown["c_zero"] == ("c_zero", "0", "-0")
    secret = [text for d in hashed.sample for _, *both in d.values for text in both if text is not None]
    assert secret and all(text.startswith("#") and len(text) == 13 for text in secret)
    again = {d.columns[0]: d.values for d in hashed.sample}
    other = await _values_of_another_run(kinds)
    assert again["c_text"] != other, "hashes are salted: nobody can look up the hash of a guess"


async def _values_of_another_run(kinds: World) -> object:
    async with kinds.mirrors():
        report = await validate(kinds.classic_dsn, kinds.limitless_dsn, sample=1000)
    return next(d.values for d in report.sample if d.columns == ("c_text",))
