"""Limitless comes to hold what it should, and loses exactly that again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.db.connect import connect
from migrator.errors import NoGo, UsageError
from migrator.model.table import Table
from migrator.plan.load import from_body
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision import actions, finalize, finalize_actions, provision, undo, undo_actions, verify
from migrator.provision.apply import Stage
from migrator.provision.compare import differences, foreign_key_differences
from migrator.provision.ddl_sql import foreign_key_steps
from migrator.provision.read import read
from tests.fixtures.postgres import Machines, with_parts
from tests.fixtures.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.pg

SHOP = """
CREATE SCHEMA app;
CREATE EXTENSION pg_trgm WITH SCHEMA public;
CREATE TYPE app.order_state AS ENUM ('open', 'paid', 'it''s gone');
CREATE TYPE app.address AS (street text, zip text);
CREATE DOMAIN app.amount AS numeric(12, 2) DEFAULT 0 NOT NULL CONSTRAINT positive CHECK (VALUE >= 0);
CREATE DOMAIN app.small_amount AS app.amount CONSTRAINT small CHECK (VALUE < 1000000 AND VALUE::text <> 'VALUE');
CREATE SEQUENCE app.invoice_number START 1000 INCREMENT 2;

CREATE TABLE app.currencies (code char(3) PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE app.accounts (
    tenant_id bigint PRIMARY KEY,
    name text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    home app.address
);
CREATE TABLE app.users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES app.accounts ON DELETE CASCADE,
    email text NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    lower_email text GENERATED ALWAYS AS (lower(email)) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, email)
);
CREATE INDEX users_email_trgm ON app.users USING gin (email gin_trgm_ops) WITH (fastupdate = off);
CREATE TABLE app.orders (
    id bigserial PRIMARY KEY,
    tenant_id bigint NOT NULL,
    user_id bigint REFERENCES app.users (id) MATCH FULL ON DELETE SET NULL,
    currency char(3) NOT NULL REFERENCES app.currencies ON UPDATE CASCADE,
    state app.order_state NOT NULL DEFAULT 'open',
    total app.small_amount,
    placed_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    note text COLLATE "C",
    CONSTRAINT sane CHECK (total < 100000 OR note IS NOT NULL),
    FOREIGN KEY (tenant_id) REFERENCES app.accounts
);
CREATE UNIQUE INDEX orders_one_open ON app.orders (tenant_id, user_id) WHERE state = 'open';
CREATE INDEX orders_by_time ON app.orders (tenant_id, placed_at DESC) INCLUDE (total);
CREATE TABLE app.order_items (
    id bigserial PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES app.orders ON DELETE CASCADE,
    line int NOT NULL,
    price app.amount,
    UNIQUE NULLS NOT DISTINCT (order_id, line) INCLUDE (price)
);
CREATE TABLE app.events (
    tenant_id bigint NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE app.events_rest PARTITION OF app.events DEFAULT;
CREATE INDEX events_by_tenant ON app.events (tenant_id, at);
CREATE INDEX events_odd ON app.events_2026 (at);
CREATE TABLE app."Odd Name" ("Key" int PRIMARY KEY, tenant_id bigint NOT NULL, "select" text DEFAULT 'x"y');
CREATE TABLE app.jobs (id int PRIMARY KEY, parent int REFERENCES app.jobs);
CREATE TABLE app.left_alone (id int PRIMARY KEY);

CREATE FUNCTION app.order_total(wanted bigint) RETURNS numeric LANGUAGE sql STABLE AS
    $$ SELECT coalesce(sum(price), 0) FROM app.order_items WHERE order_id = wanted $$;
CREATE PROCEDURE app.pay(wanted bigint) LANGUAGE plpgsql AS
    $$ BEGIN UPDATE app.orders SET state = 'paid' WHERE id = wanted; END $$;
CREATE FUNCTION app.touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touched();
CREATE VIEW app.open_orders AS SELECT * FROM app.big_orders_base() LIMIT 0;
"""
SHOP = SHOP.replace(
    "CREATE VIEW app.open_orders AS SELECT * FROM app.big_orders_base() LIMIT 0;",
    "CREATE VIEW app.all_orders AS SELECT id, tenant_id, state FROM app.orders;"
    "CREATE VIEW app.a_first AS SELECT * FROM app.all_orders WHERE state = 'open';",
)

BODY: dict[str, Any] = {
    "name": "shop",
    "classic": {"writer": "local:classic"},
    "limitless": {"dsn": "local:limitless"},
    "tables": {
        "schemas": ["app"],
        "table": {
            "app.currencies": {"kind": "reference"},
            "app.order_items": {"kind": "sharded", "via": "order_id -> app.orders.id"},
            "app.jobs": {"kind": "standard"},
            "app.left_alone": {"kind": "excluded"},
        },
    },
}


@dataclass
class World:
    classic: psycopg.Connection
    limitless: psycopg.Connection
    plan: Plan
    tables: tuple[Table, ...]

    @property
    def all(self) -> tuple[psycopg.Connection, psycopg.Connection, tuple[Table, ...], Plan]:
        return self.classic, self.limitless, self.tables, self.plan

    def fingerprint(self) -> object:
        """Everything provisioning may have touched on Limitless."""
        rows = self.limitless.execute(
            "SELECT 'class', relnamespace::regnamespace::text, relname::text FROM pg_class"
            " WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
            " UNION ALL SELECT 'type', typnamespace::regnamespace::text, typname FROM pg_type"
            " WHERE typnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
            " UNION ALL SELECT 'proc', pronamespace::regnamespace::text, oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'"
            " UNION ALL SELECT 'schema', nspname, '' FROM pg_namespace WHERE nspname !~ '^pg_'"
            " UNION ALL SELECT 'extension', extname, '' FROM pg_extension ORDER BY 1, 2, 3"
        )
        return rows.fetchall()


@pytest.fixture
def make_world(classic_dsn: str, limitless_dsn: str) -> Iterator[Callable[..., World]]:
    opened: list[psycopg.Connection] = []

    def make(ddl: str = SHOP, **changes: object) -> World:
        with psycopg.connect(classic_dsn, autocommit=True) as conn:
            conn.execute(ddl)
        opened.extend((connect(classic_dsn, "test"), connect(limitless_dsn, "test")))
        plan = from_body({**BODY, **changes})
        return World(opened[0], opened[1], plan, resolve_tables(opened[0], plan.tables))

    yield make
    for conn in opened:
        conn.close()


def test_provisioning_goes_there_and_back_again(make_world: Callable[..., World]) -> None:
    """Entering twice is entering once, undo leaves nothing behind, and it can be entered again."""
    world = make_world()
    before = world.fingerprint()
    announced = actions(*world.all)

    first = provision(*world.all)
    second = provision(*world.all)

    assert first.verdict.blockers == ()
    assert [a.id for a in first.made] == [a.id for a in announced], "a dry run announces what is done"
    assert second.made == () and second.verdict.go, "the second run finds nothing to do"
    assert actions(*world.all) == ()

    assert undo(world.limitless) == ()
    assert undo(world.limitless) == () == undo_actions(world.limitless)
    assert world.fingerprint() == before, "undo leaves nothing behind"

    assert provision(*world.all).verdict.go
    done = finalize(*world.all)
    again = finalize(*world.all)
    assert done.verdict.blockers == () and again.made == () == finalize_actions(*world.all)
    final = finalize(*world.all, stage="final")
    assert final.verdict.blockers == () and finalize(*world.all, stage="final").made == ()
    assert undo(world.limitless) == ()
    assert world.fingerprint() == before


def test_every_shape_arrives(make_world: Callable[..., World]) -> None:
    """Keys gain the tenant, domains become base types with checks, identity becomes a default, leaves are merged."""
    world = make_world()
    provision(*world.all)

    found = read(world.limitless, ["app"]).tables
    kinds = {name: (t.kind, t.shard_key, t.primary_key) for name, t in found.items()}
    assert kinds == {
        "app.Odd Name": ("sharded", ("tenant_id",), ("tenant_id", "Key")),
        "app.accounts": ("sharded", ("tenant_id",), ("tenant_id",)),
        "app.currencies": ("reference", (), ("code",)),
        "app.events": ("sharded", ("tenant_id",), ("tenant_id", "id", "at")),
        "app.jobs": ("standard", (), ("id",)),
        "app.order_items": ("sharded", ("tenant_id",), ("tenant_id", "id")),
        "app.orders": ("sharded", ("tenant_id",), ("tenant_id", "id")),
        "app.users": ("sharded", ("tenant_id",), ("tenant_id", "id")),
    }
    assert len({t.group for t in found.values() if t.kind == "sharded"}) == 1, "all are collocated"
    total = found["app.orders"].column("total")
    assert (total.type, total.not_null, total.default) == ("numeric(12,2)", True, "0")
    assert {c.name for c in found["app.orders"].checks} == {
        "sane",
        "orders_total_small",
        "orders_total_positive",
    }
    assert found["app.users"].column("id").default == "nextval('app.users_id_seq'::regclass)"
    assert found["app.users"].column("lower_email").generated == "s"
    assert {i.name for i in found["app.order_items"].indexes} == {
        "order_items_migrator_key",
        "order_items_migrator_parent",
        "order_items_order_id_line_price_key",
    }


def test_what_is_left_out_is_said(make_world: Callable[..., World]) -> None:
    """Triggers, trigger functions, leaf indexes, impossible foreign key actions: each has its warning."""
    world = make_world()

    warnings = "\n".join(provision(*world.all).warnings)

    for part in (
        "trigger touched on app.users: Limitless has no triggers",
        "function app.touched() is not copied: Limitless has no triggers",
        "index app.events_odd of partition app.events_2026",
        "ON DELETE SET NULL becomes NO ACTION",
        "ON UPDATE CASCADE becomes NO ACTION",
        "app.users.lower_email is generated (stored)",
    ):
        assert part in warnings


def test_foreign_keys_check_only_at_commit_until_the_end(make_world: Callable[..., World]) -> None:
    """While Limitless follows classic its foreign keys have no actions; at the end the application's come back."""
    world = make_world()
    provision(*world.all)
    finalize(*world.all)
    mirrored = {k.name: k for k in read(world.limitless, ["app"]).foreign_keys}
    finalize(*world.all, stage="final")
    final = {k.name: k for k in read(world.limitless, ["app"]).foreign_keys}

    assert {(k.on_delete, k.on_update, k.deferred) for k in mirrored.values()} == {("NO ACTION", "NO ACTION", True)}
    items = final["order_items_order_id_fkey"]
    assert (items.columns, items.parent_columns) == (("tenant_id", "order_id"), ("tenant_id", "id"))
    assert (items.on_delete, items.deferred) == ("CASCADE", False)
    assert final["orders_user_id_fkey"].on_delete == "NO ACTION"
    assert (
        final.keys()
        == mirrored.keys()
        == {
            "jobs_parent_fkey",
            "order_items_order_id_fkey",
            "orders_currency_fkey",
            "orders_tenant_id_fkey",
            "orders_user_id_fkey",
            "users_tenant_id_fkey",
        }
    )


def test_a_deadlock_with_the_mirror_is_no_refusal(
    make_world: Callable[..., World], machines: Machines, limitless_dsn: str
) -> None:
    """A foreign key locks two tables, and so does a mirror, perhaps the other way round: the key is tried again."""
    world = make_world()
    provision(*world.all)
    finalize(*world.all)
    name = world.limitless.info.dbname
    with psycopg.connect(machines.limitless_admin, autocommit=True) as admin:
        # Longer than the mirror needs to ask for its second lock; it waits far longer itself.
        admin.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '5s'").format(sql.Identifier(name)))
    asking = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
    asking += " WHERE datname = current_database())"
    deadlocks = "SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()"

    def the_key_gives_up() -> bool:
        """Whether the key was who the deadlock ended: it looks for one only once, perhaps before the mirror asks."""
        world.limitless.execute("ALTER TABLE app.order_items DROP CONSTRAINT IF EXISTS order_items_order_id_fkey")
        with (
            psycopg.connect(with_parts(machines.limitless_admin, dbname=name)) as mirror,
            psycopg.connect(limitless_dsn, autocommit=True) as looking,
            connect(limitless_dsn, "test") as other,
            ThreadPoolExecutor(1) as pool,
        ):
            mirror.execute("SET deadlock_timeout = '20s'")  # only a superuser may
            mirror.execute("LOCK TABLE app.orders IN ROW EXCLUSIVE MODE")
            finalizing = pool.submit(finalize, world.classic, other, world.tables, world.plan)
            eventually(lambda: looking.execute(asking).fetchone() == (1,), "the key waits for its second table")
            gave_up = True
            try:
                mirror.execute("LOCK TABLE app.order_items IN ROW EXCLUSIVE MODE")  # until the deadlock is resolved
                mirror.commit()
            except psycopg.errors.DeadlockDetected:
                mirror.rollback()
                gave_up = False
            assert finalizing.result(TIMEOUT_S).verdict.blockers == ()
        return gave_up

    eventually(the_key_gives_up, "the deadlock ends the key's transaction")
    eventually(lambda: world.limitless.execute(deadlocks).fetchone() == (True,), "the deadlock is counted")


def test_indexes_can_wait_for_the_copy(make_world: Callable[..., World]) -> None:
    """Deferred indexes are made by finalize; unique keys and what the mirror needs never wait."""
    world = make_world()

    made = {a.id for a in provision(*world.all, indexes="after").made}
    assert verify(*world.all, indexes="after").go and not verify(*world.all).go
    late = {a.id for a in finalize(*world.all).made}

    assert "provision/index/app/users_email_trgm" not in made and "provision/index/app/users_email_trgm" in late
    assert {"provision/index/app/orders_one_open", "provision/index/app/order_items_migrator_key"} <= made


def test_a_unique_key_without_the_tenant_needs_a_decision(make_world: Callable[..., World]) -> None:
    """Nothing is made while a blocker stands; accepted, the key becomes unique per tenant."""
    ddl = SHOP + "CREATE UNIQUE INDEX users_email_everywhere ON app.users (lower(email));"
    world = make_world(ddl)
    before = world.fingerprint()

    refused = provision(*world.all)
    assert [b for b in refused.verdict.blockers if "users_email_everywhere" in b]
    assert refused.made == () and world.fingerprint() == before, "nothing is made while a blocker stands"
    with pytest.raises(NoGo):
        actions(*world.all)

    accepted = from_body({**BODY, "gates": {"acknowledged": ["unique/app.users.users_email_everywhere"]}})
    assert provision(world.classic, world.limitless, world.tables, accepted).verdict.go
    there = {i.name: i for i in read(world.limitless, ["app"]).tables["app.users"].indexes}
    assert there["users_email_everywhere"].columns == ("tenant_id", None)


def test_a_unique_key_that_was_added_is_no_foreign_key(make_world: Callable[..., World]) -> None:
    """Made by this tool, recorded as a constraint: a second run still expects no foreign keys before the copy."""
    world = make_world()
    provision(*world.all)
    world.limitless.execute("ALTER TABLE app.users DROP CONSTRAINT users_tenant_id_email_key")

    again = provision(*world.all)

    assert [a.id for a in again.made] == ["provision/constraint/app/users"]
    assert again.verdict.go, again.verdict.blockers


def test_what_was_not_built_to_the_end_is_not_there(make_world: Callable[..., World]) -> None:
    """An index that holds nothing, and a foreign key that was never checked, are differences; the key is made again."""
    world = make_world()
    provision(*world.all)
    finalize(*world.all)
    there = read(world.limitless, ["app"])
    key, name = there.foreign_keys[0], "app.orders"
    unchecked = replace(key, validated=False)
    table = there.tables[name]
    broken = replace(table, indexes=tuple(replace(i, valid=i.name != "orders_by_time") for i in table.indexes))

    found = differences(there, replace(there, tables={**there.tables, name: broken}))

    assert ["orders_by_time is not valid on Limitless" in line for line in found] == [True]
    assert "NOT VALID on Limitless" in "".join(foreign_key_differences([key], [unchecked], [".".join(key.table)]))
    assert len(foreign_key_steps([key], [unchecked])) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("ALTER TABLE app.users ADD COLUMN nick text", None),
        ("ALTER TABLE app.users ADD COLUMN nick text NOT NULL", "column app.users.nick is NOT NULL on Limitless"),
        ("ALTER TABLE app.users DROP COLUMN tags", "column app.users.tags is missing"),
        ("ALTER TABLE app.orders ALTER COLUMN note SET NOT NULL", "column app.orders.note is NOT NULL"),
        ("ALTER TABLE app.orders ALTER COLUMN placed_at SET DEFAULT '2020-01-01'", "placed_at: default"),
        ("ALTER TABLE app.orders DROP CONSTRAINT sane", "table app.orders: CHECK sane is missing"),
        (
            "DO $$ DECLARE text text := pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conname = 'sane' AND conrelid = 'app.orders'::regclass; BEGIN"
            " ALTER TABLE app.orders DROP CONSTRAINT sane;"
            " EXECUTE 'ALTER TABLE app.orders ADD CONSTRAINT sane ' || text || ' NOT VALID'; END $$",
            "CHECK sane is NOT VALID on Limitless",
        ),
        (
            "ALTER TABLE app.orders DROP CONSTRAINT sane;"
            " ALTER TABLE app.orders ADD CONSTRAINT sane CHECK ((total < 100000 OR note IS NOT NULL) IS TRUE)",
            "CHECK sane is ",
        ),
        ("""ALTER TABLE app."Odd Name" ALTER "select" SET DEFAULT 'x"y '""", "select: default"),
        ("ALTER TABLE app.users ALTER email DROP NOT NULL", "column app.users.email is nullable"),
        (
            "ALTER TABLE app.users DROP CONSTRAINT users_tenant_id_email_key;"
            " CREATE UNIQUE INDEX users_tenant_id_email_key ON app.users (tenant_id, email)",
            "unique key users_tenant_id_email_key is an index on Limitless, should be a UNIQUE constraint",
        ),
        (
            "DROP INDEX app.orders_one_open;"
            " CREATE INDEX orders_one_open ON app.orders (tenant_id, user_id) WHERE state = 'open'",
            "unique key orders_one_open is btree",
        ),
        ("CREATE UNIQUE INDEX wide ON app.orders (tenant_id, id, placed_at)", None),
        ("ALTER TABLE app.orders ADD CONSTRAINT mine CHECK (id > 0)", "CHECK mine exists on Limitless only"),
        ("DROP INDEX app.orders_by_time", "table app.orders: index orders_by_time is missing"),
        ("CREATE UNIQUE INDEX extra ON app.orders (tenant_id, placed_at)", "unique key extra exists on Limitless only"),
        ("DROP TABLE app.order_items", "table app.order_items is missing"),
        ("DROP FUNCTION app.order_total", "function app.order_total(bigint) is missing"),
        ("ALTER TYPE app.order_state ADD VALUE 'late'", "type app.order_state"),
        ("ALTER SEQUENCE app.invoice_number INCREMENT 3", "sequence app.invoice_number: bigint by 3"),
    ],
)
def test_every_difference_is_found(make_world: Callable[..., World], change: str, expected: str | None) -> None:
    """Whatever was changed on Limitless by hand, verification names it; a harmless extra column is let be."""
    world = make_world()
    provision(*world.all)

    world.limitless.execute(change)
    blockers = verify(*world.all).blockers

    assert [bool(expected) and str(expected) in b for b in blockers] == ([True] if expected else [])


def test_an_index_that_is_not_valid_is_not_there(
    make_world: Callable[..., World], machines: Machines, classic_dsn: str, limitless_dsn: str
) -> None:
    """A build that failed leaves one behind: on Limitless it is a difference, on classic nothing to be made there."""
    world = make_world()
    provision(*world.all)
    for admin, dsn in ((machines.classic_admin, classic_dsn), (machines.limitless_admin, limitless_dsn)):
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(with_parts(admin, dbname=str(name)), autocommit=True) as conn:
            conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.orders_by_time'::regclass")
            if admin == machines.classic_admin:
                assert verify(*world.all).blockers == ()
                assert world.limitless.execute("DROP INDEX app.orders_by_time") and actions(*world.all) == ()
                conn.execute("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'app.orders_by_time'::regclass")
                assert provision(*world.all).verdict.go

    (blocker,) = verify(*world.all).blockers
    assert blocker.startswith("table app.orders: index orders_by_time is not valid on Limitless")


def test_a_unique_constraint_is_no_foreign_key(make_world: Callable[..., World]) -> None:
    """One that a later run adds says nothing about whether foreign keys were made; those that were are known again."""
    world = make_world()
    provision(*world.all)
    world.limitless.execute("ALTER TABLE app.users DROP CONSTRAINT users_tenant_id_email_key")

    for run, made in (
        (provision, ["Create unique key users_tenant_id_email_key on app.users"]),
        (provision, []),
    ):
        again = run(*world.all)
        assert ([a.summary for a in again.made], again.verdict.blockers) == (made, ())
    stages: tuple[Stage, ...] = ("mirrored", "final")
    for stage in stages:
        assert finalize(*world.all, stage=stage).verdict.blockers == ()
        assert provision(*world.all).verdict.blockers == ()
    world.limitless.execute("ALTER TABLE app.orders DROP CONSTRAINT orders_tenant_id_fkey")
    assert provision(*world.all).verdict.blockers


def test_an_interrupted_run_is_continued(make_world: Callable[..., World]) -> None:
    """Killed after any step, the next run makes the rest and nothing twice."""
    world = make_world()
    everything = len(actions(*world.all))

    class Killed(Exception):
        pass

    for stop in (1, 9, 17, everything - 1):
        seen: list[object] = []

        def count(action: object, seen: list[object] = seen, stop: int = stop) -> None:
            seen.append(action)
            if len(seen) == stop:
                raise Killed

        with pytest.raises(Killed):
            provision(*world.all, on_step=count)
        rest = provision(*world.all)
        assert rest.verdict.go and len(rest.made) in (everything - stop, everything - stop - 1)
        undo(world.limitless)


def test_a_function_limitless_refuses_is_a_blocker_until_accepted(make_world: Callable[..., World]) -> None:
    """Best effort is not silence: the server's reason is shown, and a person may accept it."""
    broken = SHOP + (
        "CREATE TABLE app.elsewhere (id int PRIMARY KEY);"
        "CREATE FUNCTION app.uses_row(app.elsewhere) RETURNS int LANGUAGE sql AS 'SELECT 1';"
    )
    tables = {**BODY["tables"]["table"], "app.elsewhere": {"kind": "excluded"}}
    world = make_world(broken, tables={**BODY["tables"], "table": tables})

    found = provision(*world.all)
    assert [
        b.startswith("function app.uses_row(app.elsewhere) is missing, Limitless refuses it: ")
        for b in found.verdict.blockers
    ] == [True]

    accepted = world.plan.model_copy(
        update={"gates": world.plan.gates.model_copy(update={"acknowledged": ["function app.uses_row(app.elsewhere)"]})}
    )
    assert provision(world.classic, world.limitless, world.tables, accepted).verdict.go


def test_undo_keeps_rows_and_what_others_built(make_world: Callable[..., World]) -> None:
    """Undo refuses while tables hold rows, and leaves what something of somebody else depends on."""
    world = make_world()
    provision(*world.all)
    world.limitless.execute("INSERT INTO app.accounts (tenant_id, name) VALUES (1, 'a')")
    world.limitless.execute("CREATE TABLE app.theirs (state app.order_state)")

    with pytest.raises(NoGo) as refused:
        undo(world.limitless)
    kept = undo(world.limitless, with_rows=True)

    assert refused.value.blockers == ("table app.accounts holds rows",)
    assert kept == (
        "type app.order_state is used by something this tool did not make",
        "schema app is used by something this tool did not make",
    )


def test_an_ordinary_server_is_refused(make_world: Callable[..., World]) -> None:
    """On a server that is not Limitless every sharded table would silently be an ordinary one."""
    world = make_world()

    with pytest.raises(UsageError, match="not Aurora Limitless"):
        provision(world.classic, world.classic, world.tables, world.plan)
