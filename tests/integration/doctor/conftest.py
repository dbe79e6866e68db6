"""An operator whose plan names two servers of the run, and how findings are found in what doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.operator import Done, Operator
from tests.fixtures.postgres import Servers

PLAN = """
name = "shop"
[classic]
writer = "env:A"
{readers}
[limitless]
dsn = "env:B"
[tables]
schemas = ["app"]
[temporal]
address = "{temporal}"
"""

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, name text);
INSERT INTO app.users SELECT i % 3, i, 'u' || i FROM generate_series(1, 30) i;
"""


@dataclass(frozen=True)
class Patient:
    """Asks `migrator doctor`, and finds what it says."""

    operator: Operator

    def __call__(self, *groups: str, **environment: str) -> Told:
        only = [word for group in groups for word in ("--only", group)]
        return Told(self.operator("doctor", "--json", *only, **environment))


@dataclass(frozen=True)
class Told:
    done: Done

    def of(self, subject: str, level: str | None = None, group: str | None = None) -> list[str]:
        """Texts about *subject*, of one level and of one group where they are named."""
        return [
            f["text"]
            for f in self.findings
            if f["subject"] == subject and level in (None, f["level"]) and group in (None, f["group"])
        ]

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.done.json["findings"]
        return found

    def level(self, level: str) -> list[str]:
        return [f"{f['subject']}: {f['text']}" for f in self.findings if f["level"] == level]

    def advice(self, subject: str) -> str:
        return " ".join(f["do"] for f in self.findings if f["subject"] == subject)


def patient_of(
    home: Path, classic: str, limitless: str, *, readers: str = "", temporal: str = "127.0.0.1:1"
) -> Patient:
    path = home / "plan.toml"
    path.write_text(PLAN.format(readers=readers, temporal=temporal))
    return Patient(Operator(home, {"A": classic, "B": limitless, "MIGRATOR_PLAN": str(path)}))


@pytest.fixture
def patient(tmp_path: Path, classic_dsn: str, limitless_dsn: str) -> Patient:
    """Two servers with nothing on them, and a Temporal that does not answer."""
    return patient_of(tmp_path, classic_dsn, limitless_dsn)


@pytest.fixture
def broken(tmp_path: Path, servers: Servers) -> Patient:
    """The same on servers that the test may break."""
    return patient_of(tmp_path, servers.classic_dsn, servers.limitless_dsn)
