"""`migrator log`: what was decided, whether it is as it was written, and what a person does after a restore."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import sealing
from migrator.control.install import install, install_limitless
from migrator.control.log import decide
from migrator.db.connect import connect
from migrator.plan.load import digest, dump, load, shim_settings
from tests.fixtures.operator import PLAN, Operator
from tests.fixtures.waiting import eventually
from workflows.activities import incident
from workflows.activities.base import Context

pytestmark = pytest.mark.pg


@pytest.fixture
def classic(classic_dsn: str, tmp_path: Path) -> Iterator[psycopg.Connection[Any]]:
    (tmp_path / "plan.toml").write_text(PLAN)
    plan = load(tmp_path / "plan.toml")
    with connect(classic_dsn, "test") as conn:
        install(conn, plan.name, digest(plan), dump(plan), shim_settings(plan))
        for n in range(3):
            decide(conn, "ann", "tenant.held", f"tenant/{n}", "slow")
        yield conn


@pytest.fixture
def operator(classic: psycopg.Connection[Any], classic_dsn: str, limitless_dsn: str, tmp_path: Path) -> Operator:
    environment = {"A": classic_dsn, "B": limitless_dsn, "MIGRATOR_PLAN": str(tmp_path / "plan.toml")}
    return Operator(tmp_path, environment)


def test_the_log_is_shown_verified_and_held_to_anchors(
    operator: Operator, classic: psycopg.Connection[Any], limitless_dsn: str
) -> None:
    shown = operator("log", "--json").json
    assert [(line["entry"]["subject"], line["seal"]) for line in shown] == [(f"tenant/{n}", None) for n in range(3)]
    head = operator("log", "head", "--json").json
    with connect(limitless_dsn, "test") as limitless:
        install_limitless(limitless)
        sealing.anchor(classic, limitless)
    fine = operator("log", "--verify", "--anchor", head["hash"].upper(), "--json")
    assert (fine.code, fine.json["sealed"], fine.json["anchors"], fine.json["head"]) == (0, 3, 2, head["hash"])
    assert operator("log", "--anchor", "0" * 64).code == 3
    assert operator("log", "--verify", "--anchor", "not a hash").code == 2

    classic.execute("ALTER TABLE migrator.decision DISABLE TRIGGER USER")
    classic.execute("UPDATE migrator.decision SET reason = 'fast' WHERE subject = 'tenant/1'")
    altered = operator("log", "--verify")
    assert altered.code == 3
    assert "seal 2: entry 2 was altered: tenant.held" in altered.out


def test_a_restore_is_accepted_by_name_and_for_good(
    operator: Operator, classic: psycopg.Connection[Any], limitless_dsn: str
) -> None:
    """Until then the log counts as altered; what an auditor wrote down counts ever after."""
    sealing.seal_all(classic)
    with connect(limitless_dsn, "test") as limitless:
        install_limitless(limitless)
        sealing.anchor(classic, limitless)
        (lost,) = sealing.anchors(limitless)
    for table in ("decision", "decision_seal"):
        classic.execute(f"ALTER TABLE migrator.{table} DISABLE TRIGGER USER".encode())
    classic.execute("DELETE FROM migrator.decision_seal WHERE seq = 3")
    classic.execute("DELETE FROM migrator.decision WHERE id = 3")
    assert operator("log", "--verify").code == 3

    assert operator("log", "accept", "f" * 64, "-r", "x", "--yes").code == 2
    assert operator("log", "accept", lost.hash, "-r", "restored", "--dry-run").code == 0
    assert operator("log", "--verify").code == 3, "a dry run accepts nothing"
    assert operator("log", "accept", lost.hash, "-r", "restored", "--as", "Ada", "--yes").code == 0

    after = operator("log", "--verify", "--json")
    assert (after.code, [a["hash"] for a in after.json["accepted"]]) == (0, [lost.hash])
    assert "nothing to do" in operator("log", "accept", lost.hash, "-r", "again", "--yes").out
    assert operator("log", "--verify", "--anchor", lost.hash).code == 3
    told = classic.execute("SELECT who, reason FROM migrator.decision WHERE kind = 'log.restored'").fetchall()
    assert told == [("Ada", "restored")]


def test_without_limitless_the_chain_is_verified_and_that_is_said(operator: Operator) -> None:
    done = operator("log", "--verify", B="host=127.0.0.1 port=1 connect_timeout=2")
    assert done.code == 0
    assert "not held to any" in done.err


async def test_a_worker_seals_and_anchors_by_itself(
    classic: psycopg.Connection[Any], classic_dsn: str, limitless_dsn: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And gives a log that was written anew no anchor, but says so."""
    monkeypatch.setenv("A", classic_dsn)
    monkeypatch.setenv("B", limitless_dsn)
    for name in ("SEAL_S", "ANCHOR_S"):
        monkeypatch.setattr(incident, name, 0.1)
    told: list[dict[str, Any]] = []

    def tell(name: str, **said: Any) -> None:
        told.append({"name": name, **said})

    def altered() -> list[int]:
        return [one["seal"] for one in told if one["name"] == "log.altered"]

    monkeypatch.setattr(incident, "tell", tell)
    with connect(limitless_dsn, "test") as limitless:
        install_limitless(limitless)
        keeping = asyncio.create_task(incident.IncidentActivities(Context(load(tmp_path / "plan.toml")))._keep())
        try:
            await asyncio.to_thread(eventually, lambda: [a.seq for a in sealing.anchors(limitless)] == [3])
            for table in ("decision", "decision_seal"):
                classic.execute(f"ALTER TABLE migrator.{table} DISABLE TRIGGER USER".encode())
            with classic.transaction():
                classic.execute("UPDATE migrator.decision SET who = 'eve' WHERE id = 1")
                classic.execute("DELETE FROM migrator.decision_seal")
            await asyncio.to_thread(eventually, lambda: bool(altered()))
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
        assert [a.seq for a in sealing.anchors(limitless)] == [3]
    assert altered() == [3], "once"
