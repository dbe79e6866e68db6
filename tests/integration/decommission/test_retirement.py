"""Classic's last copy is restored and compared on real servers; its retirement is stored on Limitless, step by step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.stub import Stubber

from migrator.control import drill, retirement
from migrator.control.install import install, install_limitless
from migrator.control.tables import store_tables
from migrator.db.connect import connect
from migrator.decommission import fingerprint, restore, retire
from migrator.decommission.aws import AwsReleaser
from migrator.errors import NoGo
from migrator.local.stack import Stack, down, up
from migrator.model.retirement import FinalTable, Retirement
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.poll import until

pytestmark = pytest.mark.pg
Connection = psycopg.Connection[Any]

ROWS = """
CREATE SCHEMA "Größe";
CREATE TABLE "Größe"."select" (tenant_id text, id int, body jsonb, PRIMARY KEY (tenant_id, id));
INSERT INTO "Größe"."select" SELECT 't' || n % 7, n, jsonb_build_object('n', n, 'x', NULL)
  FROM generate_series(1, 999) n;
CREATE TABLE "Größe".few (tenant_id text PRIMARY KEY);
INSERT INTO "Größe".few VALUES ('a'), ('b'), ('c');
CREATE TABLE "Größe".gone (tenant_id text PRIMARY KEY);
"""
ALTERED = """
UPDATE "Größe"."select" SET body = '{}' WHERE id = 500;
DELETE FROM "Größe".few WHERE tenant_id = 'b';
DROP TABLE "Größe".gone;
"""
PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "local:classic"},
        "limitless": {"dsn": "local:limitless"},
        "tables": {"schemas": ["Größe"]},
    }
)
AWS = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "env:A", "cluster_id": "orders"},
        "limitless": {"dsn": "env:B"},
        "decommission": {"keep_classic_days": 0, "keep_snapshot_days": 30},
    }
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="migrator-tests-"))
    path.chmod(0o755)
    yield path
    down(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def stack(home: Path, request: pytest.FixtureRequest) -> Stack:
    made = up(home, temporal=False, pg_bin=request.config.getoption("pg_bin"))
    with psycopg.connect(made.classic_dsn, autocommit=True) as conn:
        install(conn, "shop", "digest", {}, {})
        conn.execute(ROWS)
    return made


@pytest.fixture
def limitless(limitless_dsn: str) -> Iterator[Connection]:
    with connect(limitless_dsn, "test") as conn:
        install_limitless(conn)
        yield conn


@pytest.mark.once
def test_the_last_copy_is_restored_and_compared(stack: Stack, home: Path, limitless: Connection) -> None:
    """While classic runs it is read; stopped, it is compared; one altered row, and one lost one, are found."""
    with connect(stack.classic_dsn, "test") as classic:
        tables = resolve_tables(classic, PLAN.tables)
        before = restore.practise(limitless, PLAN, "classic as it is now", restore.local(home))
        assert (before.passed, before.exact, before.tables, before.rows) == (True, False, 3, 1002)

        retirement.begin(limitless, "local")
        assert fingerprint.keep(classic, limitless, tables) == 3
        assert fingerprint.keep(classic, limitless, tables) == 0
    stack.classic.stop()
    done = restore.practise(limitless, PLAN, "the data directory", restore.local(home))
    assert done.passed and done.exact and done.tables == 3, done.problems
    restore.keep(None, limitless, "ana", done)
    known = retirement.read(limitless)
    assert known is not None and known.restored["passed"] and known.restored["who"] == "ana"

    stack.classic.start()
    with psycopg.connect(stack.classic_dsn, autocommit=True) as conn:
        conn.execute(ALTERED)
    stack.classic.stop()
    wrong = restore.practise(limitless, PLAN, "the data directory", restore.local(home))
    assert wrong.problems == (
        "table Größe.gone is missing",
        "table Größe.few has 2 rows, classic had 3",
        "table Größe.select has as many rows as classic had (999), and other ones",
    )
    assert not (stack.classic.data.parent / "classic-drill").exists()
    stack.classic.start()
    with connect(stack.classic_dsn, "test") as classic:
        restore.keep(classic, None, "ana", wrong)
        (line,) = drill.newest(classic)
    assert not line.newest.passed and line.passed_s is None


@pytest.mark.once
def test_a_copy_that_cannot_be_restored_does_not_pass(limitless: Connection, tmp_path: Path) -> None:
    gone = restore.given(lambda: "host=127.0.0.1 port=9 dbname=app connect_timeout=2")

    done = restore.practise(limitless, PLAN, "a copy", gone)

    assert not done.passed and "could not be restored and read" in done.problems[0]


@pytest.mark.once
def test_what_a_schema_change_added_is_kept_and_compared_too(
    classic_dsn: str, limitless_dsn: str, limitless: Connection
) -> None:
    """What was captured counts: the plan that a worker was started with knows nothing of a table that came later."""
    with connect(classic_dsn, "test") as classic:
        install(classic, "shop", "digest", {}, {})
        classic.execute(ROWS)
        later = 'CREATE TABLE "Größe".later (tenant_id text, id int PRIMARY KEY, of_one text)'
        classic.execute(later)
        store_tables(classic, resolve_tables(classic, PLAN.tables))
        fingerprint.remember_tables(classic)
        classic.execute("DELETE FROM migrator.captured_table")  # as capture leaves it when it is removed
        fingerprint.remember_tables(classic)  # again, by a run that was killed in between
        classic.execute('ALTER TABLE "Größe".later DROP COLUMN tenant_id')  # now nothing says what it is
        classic.execute("UPDATE migrator.switch SET write_mode = 'limitless_only'")
        retirement.begin(limitless, "local")

        done = retire.fingerprint(lambda: connect(classic_dsn, "test"), lambda: connect(limitless_dsn, "test"), PLAN)
        copy = restore.practise(limitless, PLAN, "a copy", restore.given(lambda: classic_dsn))

    assert done == "4 tables read"
    assert (copy.passed, copy.exact, copy.tables) == (True, True, 4), copy.problems


def test_nothing_known_is_nothing_compared() -> None:
    assert fingerprint.differences({}, {}, lambda table: FinalTable("", 0, "")) != []


# -- AWS: what botocore's stubber checks against AWS' own description of its API ------------------------------------


class Account:
    """What AWS answers, in order."""

    def __init__(self) -> None:
        self.rds = boto3.client("rds", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
        self.stub = Stubber(self.rds)
        self.stub.activate()
        self.releaser = AwsReleaser("orders", datetime(2020, 1, 1, tzinfo=UTC), self.rds, sleep=lambda _: None)

    def cluster(self, status: str | None) -> None:
        name = {"DBClusterIdentifier": "orders"}
        if status is None:
            self.stub.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", http_status_code=404)
            return
        found = {"Status": status, "DBClusterMembers": [{"DBInstanceIdentifier": "orders-1"}]}
        self.stub.add_response("describe_db_clusters", {"DBClusters": [found]}, name)

    def copy(self) -> None:
        taken = {
            "Status": "available", "DBClusterIdentifier": "orders", "SnapshotCreateTime": datetime.now(UTC),
            "DBClusterSnapshotIdentifier": "orders-before-decommission",
        }  # fmt: skip
        self.stub.add_response("describe_db_cluster_snapshots", {"DBClusterSnapshots": [taken]})

    def does(self, call: str, **wanted: Any) -> None:
        self.stub.add_response(
            call, {}, {"DBClusterIdentifier": "orders", **wanted} if "instance" not in call else wanted
        )


@pytest.fixture
def account() -> Iterator[Account]:
    made = Account()
    yield made
    made.stub.assert_no_pending_responses()


@pytest.fixture
def look(limitless: Connection, account: Account) -> Callable[[], tuple[str, Retirement]]:
    retirement.begin(limitless, "aws", "orders")
    retirement.extend(limitless, "decommission", "last copy", copy="orders-before-decommission")
    retirement.stamp(limitless, "copied_at")

    def once() -> tuple[str, Retirement]:
        text = retire.look(limitless, AWS, account.releaser).text
        known = retirement.read(limitless)
        assert known is not None
        return text, known

    return once


Look = Callable[[], tuple[str, Retirement]]


def test_classic_is_stopped_again_when_aws_has_started_it(look: Look, account: Account) -> None:
    account.cluster("available")
    account.cluster("available")
    account.does("stop_db_cluster")
    account.cluster("stopping")
    _, known = look()
    assert known.stopped_at and known.starts == 0

    account.cluster("stopped")
    text, known = look()
    assert "waits for an approval" in text

    account.cluster("available")
    account.cluster("available")
    account.does("stop_db_cluster")
    account.cluster("stopping")
    _, known = look()
    assert known.starts == 1 and [e["what"] for e in known.events][-2] == "classic was found running"


def test_a_cluster_that_cannot_be_stopped_stays_and_says_so(look: Look, account: Account) -> None:
    account.cluster("available")
    account.cluster("available")
    account.stub.add_client_error("stop_db_cluster", "InvalidDBClusterStateFault")
    text, known = look()

    assert "was not stopped" in text and known.stop_problem and known.stopped_at is None
    account.cluster("available")
    text, _ = look()
    assert "waits for an approval" in text


def test_deletion_is_approved_for_this_copy_and_done_once(look: Look, account: Account, limitless: Connection) -> None:
    with pytest.raises(NoGo, match="not stopped"):
        retire.approve(limitless, AWS, "ana")
    retirement.stamp(limitless, "stopped_at")
    with pytest.raises(NoGo, match="was not restored"):
        retire.approve(limitless, AWS, "ana")
    restored = {"passed": True, "copy": "orders-before-decommission"}
    retirement.extend(limitless, "ana", "restored", restored=restored)
    assert retire.approve(limitless, AWS, "ana").approved_by == "ana"
    assert retire.approve(limitless, AWS, "ana").approved_at
    assert retire.withdraw(limitless, "bob").approved_by == ""
    account.cluster("stopped")
    assert "waits for an approval" in look()[0]
    retire.approve(limitless, AWS, "ana")

    account.cluster("stopped")
    account.does("start_db_cluster")
    assert "started" in look()[0]
    account.cluster("available")
    account.cluster("available")
    account.copy()
    account.does("delete_db_instance", DBInstanceIdentifier="orders-1", SkipFinalSnapshot=True)
    account.does("delete_db_cluster", SkipFinalSnapshot=True)
    account.cluster("deleting")
    assert "is being deleted" in look()[0]
    account.cluster(None)
    account.copy()
    _, known = look()
    assert known.deleted_at and [e["who"] for e in known.events][-1] == "ana"
    text, known = look()
    assert "is kept until" in text and known.copy_deleted_at is None
    with pytest.raises(NoGo, match="is deleted"):
        retire.withdraw(limitless, "ana")

    past = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    retirement.extend(limitless, "test", "a month later", deleted_at=past)
    account.stub.add_response(
        "delete_db_cluster_snapshot", {}, {"DBClusterSnapshotIdentifier": "orders-before-decommission"}
    )
    _, known = look()
    assert known.copy_deleted_at
    assert retire.look(limitless, AWS, account.releaser).done


def test_a_cluster_that_is_not_found_elsewhere_is_not_deleted(look: Look, account: Account) -> None:
    """A worker with another region, or account: AWS knows neither cluster nor last copy there."""
    account.cluster(None)
    account.stub.add_client_error("describe_db_cluster_snapshots", "DBClusterSnapshotNotFoundFault")

    text, known = look()

    assert "check region and account" in text and known.deleted_at is None


def test_two_who_approve_and_one_who_withdraws_come_one_after_the_other(
    look: Look, limitless: Connection, limitless_dsn: str
) -> None:
    """Neither may write back what it read before the other: an approval would be lost, or come back withdrawn."""
    retirement.stamp(limitless, "stopped_at")
    copy = "orders-before-decommission"
    retirement.extend(limitless, "ana", "restored", restored={"passed": True, "copy": copy})
    retire.approve(limitless, AWS, "ana")
    with connect(limitless_dsn, "test") as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            retire.withdraw(other, "bob")  # and has not committed yet
            late = pool.submit(retire.approve, limitless, AWS, "cleo")
            blocked = "SELECT FROM pg_locks WHERE NOT granted AND pid = %s"
            assert until(lambda: bool(other.execute(blocked, (limitless.info.backend_pid,)).rowcount), 60, 0.01)
        known = late.result(60)

    assert [one["approver"] for one in known.approvals] == ["cleo"]
    assert known.approved_by == "cleo"


def test_events_are_bounded(limitless: Connection) -> None:
    retirement.begin(limitless, "aws", "orders")
    for number in range(205):
        retirement.extend(limitless, "test", f"event {number}")

    known = retirement.read(limitless)
    assert known is not None and len(known.events) == 200
    assert known.events[-1]["what"] == "event 204"
