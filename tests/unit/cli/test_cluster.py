"""The commands about the cluster on AWS, and Terraform's variables: who may do what, and how each ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migrator.cli.app import app
from migrator.cli.exits import ending_of
from migrator.errors import NoGo
from migrator.plan.load import load
from migrator.provision.aws import AwsProvisioner
from migrator.provision.wanted import wanted_of
from tests.fixtures.aws import Rds, rds

PLAN = """
name = "orders"
[classic]
writer = "env:MIGRATOR_CLASSIC_DSN"
[limitless]
dsn = "env:MIGRATOR_LIMITLESS_DSN"
cluster_id = "orders"
shard_group_id = "orders-group"
[temporal]
address = "temporal.example:7233"
[aws]
managed_by = "MANAGER"
"""


class Shell:
    def __init__(self, home: Path) -> None:
        self.home, self.plan = home, home / "plan.toml"
        self.says("migrator")

    def says(self, manager: str, more: str = "") -> None:
        self.plan.write_text(PLAN.replace("MANAGER", manager) + more)

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--plan", str(self.plan)])

    def code(self, *words: str) -> int:
        """The exit code, also of what `main` would have turned an error into."""
        done = self(*words)
        if done.exception and not isinstance(done.exception, SystemExit):
            return int(ending_of(done.exception).code)
        return done.exit_code


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rds, Any]]:
    with rds() as (service, client):
        monkeypatch.setattr("migrator.provision.aws.rds_client", lambda region=None: client)
        yield service, client


def test_status_tells_what_differs(shell: Shell, aws: tuple[Rds, Any]) -> None:
    """5 while it is not ready, 3 when it differs, 0 when it is as planned; dry run and status say the same."""
    assert shell.code("cluster", "status") == 5

    service, client = aws
    wanted = wanted_of(load(shell.plan))
    made = AwsProvisioner(wanted, client, sleep=lambda _: None)
    service.answer("CreateDBCluster", {"DBClusterIdentifier": "orders", **_created(wanted)})
    made._wait("cluster", lambda: (made.state().cluster == "available", ""))
    made._add_group()
    made._wait_until_settled()
    assert shell.code("cluster", "status") == 0

    shell.says("migrator", "backup_retention_days = 14\n")
    told = shell("cluster", "status")
    assert told.exit_code == 3
    assert "differs: cluster, days of backups: 7 → 14 (migrator cluster create changes it)" in told.output
    assert "days of backups: 7 → 14" in shell("cluster", "create", "--dry-run").output
    assert service.made() == ["CreateDBCluster", "CreateDBShardGroup"], "neither changes anything"


def _created(wanted: Any) -> dict[str, Any]:
    from migrator.aws.cluster import CLUSTER, creation

    return {**creation(CLUSTER, wanted), "Tags": [{"Key": k, "Value": v} for k, v in wanted.tags.items()]}


@pytest.mark.parametrize("words", [("cluster", "create", "--yes"), ("cluster", "delete", "--no-snapshot", "--yes")])
def test_what_terraform_makes_is_left_to_it(shell: Shell, aws: tuple[Rds, Any], words: tuple[str, ...]) -> None:
    shell.says("terraform")

    done = shell(*words)

    assert isinstance(done.exception, NoGo) and "Terraform makes" in str(done.exception)
    assert aws[0].calls == []


def test_variables_are_written_checked_and_written_again(shell: Shell) -> None:
    file = shell.home / "terraform.tfvars.json"
    words = ("plan", "terraform", "--file", str(file))

    assert shell.code(*words, "--check") == 2, "there is none yet"
    assert json.loads(shell(*words, "--dry-run").stdout)["name"] == "orders" and not file.exists()
    assert shell.code(*words) == 0 and shell.code(*words, "--check") == 0
    shell.says("terraform")
    refused = shell(*words, "--check")
    assert isinstance(refused.exception, NoGo)
    assert any(line.startswith("manage_cluster: the file says false") for line in refused.exception.blockers)
    assert shell.code(*words) == 0 and json.loads(file.read_text())["manage_cluster"] is True
    assert sorted(path.name for path in shell.home.iterdir()) == ["plan.toml", "terraform.tfvars.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_a_file_that_is_none_is_one_clear_error(shell: Shell, text: str) -> None:
    file = shell.home / "x.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert shell.code("plan", "terraform", "--file", str(file), "--check") == 2
