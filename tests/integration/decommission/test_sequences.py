"""Sequences at the hand-over: whatever they feed, reading them fails nowhere, and the pause reads what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.db.connect import connect
from migrator.decommission import sequences
from migrator.decommission.sequences import SequenceFacts
from migrator.model.tenant import TenantId
from tests.fixtures.shop import Shop

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]

SEQUENCES = (
    "inv", "plain", "small", "two", "one", "other", "shared", "by_trigger", "unused", "cast_text", "domained",
    "listed", "owned", "odd name", "down", "numbered",
)  # fmt: skip

SCHEMA = """
CREATE DOMAIN app.number AS bigint CHECK (VALUE > 0);
CREATE FUNCTION app.next() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('app.by_trigger') $$;
CREATE TABLE app.doc (
    tenant_id bigint NOT NULL,
    id bigint PRIMARY KEY DEFAULT nextval('app.plain'),
    no text DEFAULT 'INV-' || nextval('app.inv'),
    tiny smallint DEFAULT nextval('app.small')::smallint,
    pair bigint DEFAULT nextval('app.one') * 1000 + nextval('app.other'),
    called bigint DEFAULT app.next(),
    label varchar(20) DEFAULT nextval('app.cast_text')::text,
    held app.number DEFAULT nextval('app.domained'),
    list bigint[] DEFAULT ARRAY[nextval('app.listed')],
    mine bigint,
    odd bigint DEFAULT nextval('app."odd name"'),
    fall bigint DEFAULT nextval('app.down'),
    exact numeric DEFAULT nextval('app.numbered'));
ALTER SEQUENCE app.owned OWNED BY app.doc.mine;
CREATE TABLE app.left_one (tenant_id bigint, id bigint PRIMARY KEY DEFAULT nextval('app.shared'));
CREATE TABLE app.right_one (tenant_id bigint, id bigint PRIMARY KEY DEFAULT nextval('app.shared'));
"""


@pytest.fixture
def both(classic_dsn: str, limitless_dsn: str) -> Iterator[tuple[Connection, Connection]]:
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        for conn in (classic, limitless):
            conn.execute("CREATE SCHEMA app")
            for name in SEQUENCES:
                how = " INCREMENT BY -1" if name == "down" else ""
                conn.execute(f'CREATE SEQUENCE app."{name}"{how}')
        classic.execute(SCHEMA)
        classic.execute("INSERT INTO app.doc (tenant_id) SELECT g % 3 FROM generate_series(1, 30) g")
        yield classic, limitless


def facts(both: tuple[Connection, Connection]) -> dict[str, SequenceFacts]:
    return {f.name: f for f in sequences.read(*both, ["app"])}


def test_only_plain_integer_columns_count(both: tuple[Connection, Connection]) -> None:
    """Text, expressions, arrays, functions, several sequences in one default: the last number handed out decides."""
    found = facts(both)

    for name in ("inv", "one", "other", "by_trigger", "cast_text", "listed", "numbered"):
        assert (found[name].used, found[name].column_max) == (30, None), name
    for name in ("plain", "small", "domained", "odd name"):
        assert (found[name].used, found[name].column_max) == (30, 30), name
    assert (found["down"].used, found["down"].column_max) == (-30, -30)
    assert (found["unused"].used, found["unused"].column_max) == (None, None)


def test_what_was_written_by_hand_counts_wherever_the_sequence_goes(both: tuple[Connection, Connection]) -> None:
    """The larger of two tables; a column that owns it and has no default; far values in every direction."""
    classic, limitless = both
    classic.execute("INSERT INTO app.left_one VALUES (1, 70)")
    classic.execute("INSERT INTO app.right_one VALUES (1, 900)")
    classic.execute("UPDATE app.doc SET mine = 4000, fall = -5000 WHERE id = 7")

    found = facts(both)
    first = {name: sequences.restart(limitless, found[name], 100) for name in ("shared", "owned", "down", "inv")}

    assert (found["shared"].column_max, found["owned"].column_max, found["down"].column_max) == (900, 4000, -5000)
    assert first == {"shared": 1001, "owned": 4101, "down": -5101, "inv": 131}


def test_in_the_pause_rows_of_changed_tenants_are_read_and_no_others(shop: Shop) -> None:
    """A far value of a changed tenant counts; one of a tenant that nobody called changed is not even looked at."""
    for conn in (shop.classic, shop.limitless):
        conn.execute("CREATE SEQUENCE shop.ticket")
    shop.classic.execute("ALTER TABLE shop.purchase ALTER slot SET DEFAULT nextval('shop.ticket')")
    before = {f.qualified: f.column_max for f in sequences.read(shop.classic, shop.limitless, ["shop"])}
    for tenant, slot in ((1, 9_000), (2, 50_000)):
        shop.limitless.execute("INSERT INTO shop.tenant VALUES (%s, 'x')", (tenant,))
        shop.limitless.execute(
            "INSERT INTO shop.purchase (tenant_id, id, slot) VALUES (%s, %s, %s)", (tenant, slot, slot)
        )

    def again(*tenants: str) -> int | None:
        changed = [TenantId(t) for t in tenants]
        found = sequences.read_again(
            shop.classic, shop.limitless, ["shop"], before, shop.tables, changed, reference=False
        )
        return found[0].column_max

    assert again() == before["shop.ticket"]
    assert again("1") == 9_000
    assert again("1", "2") == 50_000
