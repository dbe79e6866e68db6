"""What settings are told about."""

from __future__ import annotations

from typing import Any

import pytest

from migrator.django.findings import Finding, Severity, without
from migrator.django.options import ENGINE
from migrator.django.settings_findings import MIDDLEWARE, Project, settings_findings

GOOD: dict[str, Any] = {"ENGINE": ENGINE, "NAME": "shop", "MIGRATOR": {"limitless": "dbname=x"}}
READS: dict[str, Any] = {"ENGINE": ENGINE, "MIGRATOR": {"reads_of": "default"}, "TEST": {"MIRROR": "default"}}


def ids(databases: dict[str, Any], **more: Any) -> list[str]:
    project = Project(databases=databases, middleware=more.pop("middleware", (MIDDLEWARE,)), **more)
    return [finding.id.removeprefix("migrator.") for finding in settings_findings(project)]


def test_good_settings_are_told_nothing() -> None:
    assert ids({"default": GOOD, "reads": READS, "other": {"ENGINE": "django.db.backends.sqlite3"}}) == []
    assert ids({"default": {"ENGINE": "django.db.backends.postgresql", "ATOMIC_REQUESTS": True}}, middleware=()) == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"MIGRATOR": {}}, ["E001"]),
        ({"OPTIONS": {"pool": True, "isolation_level": 1, "prepare_threshold": 5}}, ["E002", "E003", "W004"]),
        ({"AUTOCOMMIT": False}, ["W001"]),
        ({"ATOMIC_REQUESTS": True}, ["W002"]),
        ({"CONN_MAX_AGE": 60}, ["I001"]),
    ],
)
def test_each_setting_that_fares_otherwise(wrong: dict[str, Any], expected: list[str]) -> None:
    assert ids({"default": {**GOOD, **wrong}}) == expected


@pytest.mark.parametrize("of", ["nothing", "reads", "plain", "other_reads"])
def test_reads_are_of_an_alias_that_writes(of: str) -> None:
    databases = {
        "default": GOOD,
        "plain": {"ENGINE": "django.db.backends.sqlite3"},
        "other_reads": READS,
        "reads": {**READS, "MIGRATOR": {"reads_of": of}},
    }
    assert ids(databases) == ["E004"]
    assert ids({"default": GOOD, "reads": {**READS, "TEST": {}}}) == ["W003"]


def test_of_the_project() -> None:
    assert ids({"default": GOOD}, middleware=()) == ["W005"]
    assert ids({"default": GOOD}, of_request="it is missing") == ["E005"]
    assert ids({"default": GOOD}, session_engine="django.contrib.sessions.backends.db") == ["W006"]
    caches = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache"}}
    assert ids({"default": GOOD}, caches=caches) == ["W007"]
    past = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}
    assert ids({"default": GOOD, "schema": past}) == ["I002"]


def test_findings_are_accepted_by_id_or_subject_too() -> None:
    found = [Finding("migrator.M008", Severity.ERROR, name, "x") for name in ("shop.A", "shop.B")]

    def left(*accepted: str) -> list[str]:
        return [f"{f.id.removeprefix('migrator.')} {f.subject}" for f in without(found, accepted)]

    assert left() == ["M008 shop.A", "M008 shop.B"]
    assert left("M008:shop.A") == ["M008 shop.B"]
    assert left("migrator.M008") == left("M008", "M008:shop.A") == []
    assert left("M008:shop.C", "M00") == ["M008 shop.A", "M008 shop.B", "W008 M008:shop.C", "W008 M00"]
