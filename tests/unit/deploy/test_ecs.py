"""The task definitions are what the API takes once their places are filled, and give workers time to end."""

from __future__ import annotations

import json
import re
from string import Template
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from migrator.cli.app import app
from tests import ROOT
from workflows.names import Queue
from workflows.worker import END

FILES = sorted((ROOT / "deploy" / "ecs").glob("*.json"))
PLACES = {
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/migrator:0.1.0",
    "queue": "mirror",
    "region": "eu-central-1",
    "log_group": "/migrator",
    "temporal_address": "temporal.internal:7233",
    "execution_role_arn": "arn:aws:iam::123456789012:role/execution",
    "task_role_arn": "arn:aws:iam::123456789012:role/task",
    "classic_dsn_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:classic",
    "limitless_dsn_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:limitless",
    "board_token_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:board",
    "board_read_token_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:read",
    "incident_token_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:incident",
}
FARGATE_STOP_S = 120
"""The longest stopTimeout that Fargate takes (AWS: ECS task definition parameters)."""


def filled(name: str, **places: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        Template((ROOT / "deploy" / "ecs" / name).read_text()).substitute(PLACES | places)
    )
    return body


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_the_api_takes_it(path: Any) -> None:
    """By botocore's model of RegisterTaskDefinition: every name known, every value of its kind."""
    shape = (
        botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    )
    assert shape is not None
    body = filled(path.name)
    report = ParamValidator().validate(body, shape)

    assert not report.has_errors(), report.generate_report()
    members: dict[str, Any] = shape.members
    assert body.keys() <= members.keys()
    [container] = body["containerDefinitions"]
    assert container.keys() <= members["containerDefinitions"].member.members.keys()


def test_every_place_is_named_in_the_documentation() -> None:
    """Whoever registers them finds what to fill in; Terraform's templatefile takes the same places."""
    used = {name for path in FILES for name in re.findall(r"\$\{(\w+)\}", path.read_text())}

    assert used == PLACES.keys()
    text = (ROOT / "docs" / "deployment.md").read_text()
    assert [name for name in sorted(used) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("queue", list(Queue))
def test_a_worker_has_longer_to_end_than_it_takes(queue: Queue) -> None:
    [container] = filled("worker.json", queue=queue.value)["containerDefinitions"]

    assert END.total_seconds() < container["stopTimeout"] <= FARGATE_STOP_S
    assert container["command"][:3] == ["worker", "--queues", queue.value]
    assert container["linuxParameters"]["initProcessEnabled"], "Python as process 1 has no default action for signals"


def test_commands_and_options_exist() -> None:
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for path in FILES:
        [container] = filled(path.name)["containerDefinitions"]
        name, *words = container["command"]
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_secrets_are_references() -> None:
    for path in FILES:
        [container] = filled(path.name)["containerDefinitions"]
        assert all(secret["valueFrom"].startswith("arn:aws:secretsmanager:") for secret in container["secrets"])
        assert not {e["name"] for e in container["environment"] if re.search("DSN|TOKEN|PASSWORD", e["name"])}
        assert container["readonlyRootFilesystem"] and container["user"] == "10001"
