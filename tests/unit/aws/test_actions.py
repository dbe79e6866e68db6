"""The table of calls is what the code asks of AWS, no more and no less; policies and Terraform are made of it."""

from __future__ import annotations

import ast
import json
from functools import cache

import pytest

from migrator.aws.actions import CALLS, IMPLIED, Duty, action_of, actions_of, by_duty
from tests import ROOT
from tests.fixtures.aws import client_of

MARKS = ("boto3", "migrator.aws", "migrator.runway.aws", "migrator.decommission.aws", "migrator.doctor.aws")
ASKING = ("client", "ask", "first", "_insist")
"""Functions that are given the name of a service or of a call."""

ELSEWHERE = {"close", "meta", "verify"}
"""Names of ours that a client has too."""

OTHERWISE = {"GetObjectLockConfiguration": "GetBucketObjectLockConfiguration"}
"""Operations whose right has another name."""


@cache
def operations(service: str) -> dict[str, str]:
    """Methods of a service's client, with the operation that each is."""
    client = client_of(service)
    try:
        return dict(client.meta.method_to_api_mapping)
    finally:
        client.close()


def asked() -> tuple[set[str], set[str]]:
    """Services that the code makes clients of, and every name in it that may be a call, in files that know AWS."""
    services: set[str] = set()
    names: set[str] = set()
    for path in sorted([*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]):
        source = path.read_text()
        if path.name == "actions.py" or not any(mark in source for mark in MARKS):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                if called in ASKING:
                    names.update(texts)
                if called == "client" and texts:
                    services.add(texts[0])
    return services, names


def test_every_call_of_the_code_is_in_the_table() -> None:
    """A new call needs its row in migrator/aws/actions.py; infra/terraform/actions.json is then written anew."""
    services, names = asked()
    known = {call.service for call in CALLS}
    assert services <= known
    called = {(s, name) for s in known for name in operations(s) if name in names and name not in ELSEWHERE}

    assert called == {(call.service, call.method) for call in CALLS}


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.action], ids=lambda call: f"{call.service}.{call.method}"
)
def test_actions_are_what_iam_calls_them(call: object) -> None:
    """Of the services that are used, IAM's action is the operation's name."""
    from migrator.aws.actions import Call

    assert isinstance(call, Call)
    operation = operations(call.service)[call.method]
    assert call.action == f"{call.service}:{OTHERWISE.get(operation, operation)}"


def test_no_row_is_there_twice() -> None:
    assert len({(call.service, call.method) for call in CALLS}) == len(CALLS)
    assert len({(implied.action, implied.duty) for implied in IMPLIED}) == len(IMPLIED)


def test_a_worker_has_no_right_to_make_a_cluster() -> None:
    works = actions_of([duty for duty in Duty if duty is not Duty.MAKE])

    assert "rds:CreateDBCluster" not in works and "iam:PassRole" not in works
    assert action_of("sts", "get_caller_identity") == "sts:get_caller_identity", "it needs no right"


def test_terraform_reads_the_same_table() -> None:
    text = json.dumps(by_duty(), indent=2) + "\n"

    assert (ROOT / "infra" / "terraform" / "actions.json").read_text() == text, f"write it anew:\n{text}"


def test_the_docs_list_all_of_them() -> None:
    """It is where the hint of a refused call leads."""
    text = (ROOT / "docs" / "infrastructure.md").read_text()
    rows = [f"| `{duty}` | {', '.join(f'`{action}`' for action in actions)} |" for duty, actions in by_duty().items()]

    assert [row for row in rows if row not in text] == []
