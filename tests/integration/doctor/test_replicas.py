"""Real standbys: as a reader, in the writer's place, frozen in replay; and servers that are no replica of classic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.postgres import Machines, Servers, fresh_name
from tests.fixtures.replica import Standbys
from tests.fixtures.waiting import eventually
from tests.integration.doctor.conftest import patient_of

pytestmark = [pytest.mark.pg, pytest.mark.routers]  # standbys are made beside embedded servers


def test_what_readers_are(tmp_path: Path, servers: Servers, standbys: Standbys, machines: Machines) -> None:
    """A replica, the writer itself, and a database of another server."""
    standby, database = standbys.make(), fresh_name("elsewhere")
    elsewhere = machines.new_classic(database)
    readers = 'readers = ["env:R1", "env:R2", "env:R3"]'
    patient = patient_of(tmp_path, servers.classic_dsn, servers.limitless_dsn, readers=readers)
    environment = {"R1": standby.dsn, "R2": servers.classic_dsn, "R3": elsewhere}
    eventually(lambda: standby.ask("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
    told = patient("replicas", "clocks", **environment)
    standby.pause()
    paused = patient("replicas", **environment)
    standby.resume()
    machines.drop(classic=database)

    assert "a replica, " in told.of("reader 1", "ok", "replicas")[0]
    assert told.of("reader 2", "warning", "replicas") == ["it is classic's writer itself"]
    assert told.of("reader 3", "problem", "replicas") == ["it is not in recovery: a server of its own, no replica"]
    assert told.of("reader 1", "ok", "clocks") and told.of("classic", "ok", "replicas") == ["takes writes"]
    assert paused.of("reader 1", "warning") == ["its replay is paused"]


def test_a_standby_in_the_writers_place(tmp_path: Path, servers: Servers, standbys: Standbys) -> None:
    """After a failover, or by the reader endpoint: the tool cannot work there, and all the rest is said."""
    standby = standbys.make()
    told = patient_of(tmp_path, standby.dsn, servers.limitless_dsn)()

    assert [t for t in told.of("classic", "problem", "replicas") if "read-only replica" in t]
    assert told.of("classic", "ok", "versions") and told.of("Limitless", "ok", "rights") and told.done.code == 3
