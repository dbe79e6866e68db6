"""What doctor says before anything is installed, and of a migration: plan, workers, configuration, the wrong server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.control import workers
from migrator.control.install import install
from migrator.dataplane.capture.install import install as capture
from migrator.db.connect import connect
from migrator.doctor import check
from migrator.model.route import WriteMode
from migrator.plan.load import digest, dump, load, shim_settings
from migrator.plan.schema import Plan
from migrator.plan.tables import resolve_tables
from migrator.provision import provision
from migrator.traffic.route.write_mode import write_mode
from tests.integration.doctor.conftest import TABLES, Patient, patient_of

pytestmark = pytest.mark.pg

QUEUES = ["incident", "control", "mirror", "bulk"]


@dataclass
class Running:
    """A migration in dual write, without workers."""

    patient: Patient
    plan: Plan
    classic: psycopg.Connection[Any]

    def beat(self, name: str, queues: list[str], *, known: str = "", version: str = "0.1.0") -> None:
        loaded = workers.Loaded(self.plan.name, known or digest(self.plan), version, shim_settings(self.plan))
        workers.beat(self.classic, name, loaded, queues)


@pytest.fixture
def running(patient: Patient, classic_dsn: str, limitless_dsn: str) -> Iterator[Running]:
    plan = load(patient.operator.home / "plan.toml")
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(TABLES)
        install(classic, plan.name, digest(plan), dump(plan), shim_settings(plan))
        tables = resolve_tables(classic, plan.tables)
        assert provision(classic, limitless, tables, plan).verdict.go
        capture(classic, tables, plan.dual_write.parts, plan.dual_write.ring_slots)
        write_mode(classic, WriteMode.DUAL, who="test", reason="")
        yield Running(patient, plan, classic)


def test_before_anything_is_installed(patient: Patient, classic_dsn: str) -> None:
    """Everything is asked, what cannot be there yet does not apply, and nothing is there afterwards."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        conn.execute(TABLES)
        before = conn.execute("SELECT count(*) FROM pg_class").fetchone()
        told = patient()
        after = conn.execute("SELECT count(*) FROM pg_class").fetchone()

    assert told.level("problem") == [p for p in told.level("problem") if p.startswith("Temporal: ")] != []
    assert told.of("workers", "not applicable") == ["no migration was started"]
    assert told.of("classic", "not applicable", "versions") and told.of("Limitless", "not applicable", "versions")
    assert before == after
    assert {f["check"] for f in told.findings} >= {c.name for c in check.every()} - SILENT


SILENT = {"rights.admin", "rights.shims", "temporal.workflows", "workers.workflows", "workers.processes",
          "temporal.queues", "aws.clusters", "aws.rights", "notify.ways"}  # fmt: skip
"""Checks without a finding where nothing was started and Temporal does not answer, or whose group says it already."""


def test_a_migration_that_runs_as_it_should(running: Running) -> None:
    for name in ("one", "two"):
        running.beat(name, QUEUES)
    told = running.patient("plan", "versions", "rights", "workers", "replicas", "clocks")

    assert told.done.code == 0, told.level("problem")
    assert [t for t in told.of("workers", "ok") if t.startswith("2 run, every queue is served")]
    assert told.of("journal", "ok") and told.of("classic", "ok", "replicas") == ["takes writes"]
    (plan,) = told.of(str(running.patient.operator.home / "plan.toml"))
    assert "is the one that runs" in plan


def test_workers_that_are_missing_alone_or_outdated(running: Running) -> None:
    none = running.patient("workers")
    running.beat("first", ["control", "incident", "bulk"])
    some = running.patient("workers")
    running.beat("old\n<b>", QUEUES, known="0" * 64)
    outdated = running.patient("workers")

    assert none.of("workers", "problem") == ["none has been heard of within 45 s"] and none.done.code == 3
    assert some.of("workers", "problem") == ["none of 1 serves the queue mirror"]
    assert some.of("workers", "warning") == ["one worker alone serves incident, control, bulk"]
    (text,) = outdated.of("workers", "problem")
    assert "runs plan digest 000000000000" in text


def test_a_file_that_differs_from_the_stored_plan(running: Running) -> None:
    path = running.patient.operator.home / "plan.toml"
    path.write_text(path.read_text() + "[backfill]\nconcurrency = 9\n")
    told = running.patient("plan")
    path.write_text(path.read_text().replace('name = "shop"', 'name = "other"'))
    other = running.patient("plan")
    path.write_text("nonsense = 1\n[classic]\nwriter = 'postgresql://u:geheim@h/d'")
    invalid = running.patient("plan", "versions", MIGRATOR_CLASSIC_DSN=running.patient.operator.environment["A"])

    assert "1 values differ from the plan that runs: backfill.concurrency" in told.of(str(path), "warning")
    assert "plan other, and plan shop runs on this classic" in other.of(str(path), "problem")
    assert len(invalid.of(str(path), "problem")) > 2 and "geheim" not in invalid.done.out
    assert invalid.of("classic", "ok", "versions"), "classic is asked all the same"


def test_rollback_would_act_on_another_classic(running: Running) -> None:
    told = running.patient("plan", MIGRATOR_CLASSIC_DSN="postgresql://u:geheim@elsewhere:5432/shop")

    (text,) = told.of("MIGRATOR_CLASSIC_DSN", "warning")
    assert "names elsewhere:5432/shop, the plan" in text and "geheim" not in told.done.out


def test_the_wrong_server_in_either_place(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> None:
    swapped = patient_of(tmp_path, limitless_dsn, classic_dsn)("versions", "replicas")
    same = patient_of(tmp_path, classic_dsn, classic_dsn)("versions", "replicas")

    assert "a Limitless cluster" in swapped.of("classic", "problem")[0]
    assert "no Limitless cluster" in swapped.of("Limitless", "problem")[0]
    assert [t for t in same.of("Limitless", "problem") if "same database as classic.writer" in t]


def test_tables_of_another_release(running: Running) -> None:
    """Only what does not depend on them is asked, and said."""
    running.classic.execute("UPDATE migrator.installed SET version = 99")
    told = running.patient()

    assert [t for t in told.of("classic", "problem", "versions") if "version 99" in t] and told.done.code == 3
    assert told.of("classic", "ok", "rights")


def test_what_stands_in_classics_way(running: Running) -> None:
    running.classic.execute("CREATE FUNCTION app.veto() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    running.classic.execute("CREATE EVENT TRIGGER veto ON ddl_command_start EXECUTE FUNCTION app.veto()")
    running.classic.execute("ALTER EVENT TRIGGER migrator_guard_drop ENABLE")
    told = running.patient("settings")

    assert [t for t in told.of("classic", "warning") if "event triggers of others fire on commands: veto" in t]
    assert [t for t in told.of("classic", "problem") if "migrator_guard_drop" in t]


def test_a_group_that_does_not_exist_and_an_environment_with_slips(patient: Patient) -> None:
    unknown = patient.operator("doctor", "--only", "right")
    told = patient("machine", MIGRATOR_CLASIC_DSN="x", MIGRATOR_INCIDENT_TOKEN="short")

    assert unknown.code == 2 and "did you mean rights?" in unknown.err
    assert told.of("environment", "warning") == [
        "MIGRATOR_CLASIC_DSN is set, and nothing reads it; did you mean MIGRATOR_CLASSIC_DSN?"
    ]
    assert told.of("environment", "problem") == ["MIGRATOR_INCIDENT_TOKEN has 5 characters (at least 16)"]
    assert told.done.code == 3


def test_what_people_read(patient: Patient) -> None:
    """Groups, one line each, and what to do; quiet leaves out what is as it should be."""
    whole = patient.operator("doctor", "--only", "versions", "--only", "temporal")
    quiet = patient.operator("doctor", "--only", "versions", "--quiet")

    assert whole.code == 3 and "\nversions\n" in f"\n{whole.out}" and "PROBLEM  Temporal: " in whole.out
    assert "do: Check temporal.address in the plan" in whole.out
    assert quiet.code == 0 and quiet.out.startswith("doctor: ")
