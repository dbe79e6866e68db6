"""Whoever names a workflow, update, query or signal by text names one that exists, on the workflow it is sent to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio import workflow

from tests import ROOT
from workflows import names
from workflows.worker import CONTROL_WORKFLOWS, INCIDENT_WORKFLOWS

FOLDER = ROOT / "workflows"
DEFINITIONS: dict[str, Any] = {
    str(found.name): found
    for found in (workflow._Definition.must_from_class(c) for c in (*CONTROL_WORKFLOWS, *INCIDENT_WORKFLOWS))
}
OF_ID = {
    id_of.removesuffix("_id"): name
    for id_of in dir(names)
    if id_of.endswith("_id")
    for name in DEFINITIONS
    if name.lower() == id_of.removesuffix("_id").replace("_", "").replace("validate", "validation")
}
"""By `names.NAME_id`: the workflow that runs under it."""


def trees(*files: str) -> list[tuple[str, ast.Module]]:
    paths = [FOLDER / file for file in files] or sorted(FOLDER.rglob("*.py"))
    return [(path.name, ast.parse(path.read_text())) for path in paths]


def texts(call: ast.Call) -> list[str]:
    return [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def calls(tree: ast.AST, *functions: str) -> Iterator[ast.Call]:
    """Calls of functions or methods so named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in functions:
                yield node


def targets(node: ast.AST) -> list[str]:
    """The workflows whose ids stand in an expression: names.cutover_id(plan) is Cutover."""
    return [
        OF_ID[n.func.attr.removesuffix("_id")]
        for n in ast.walk(node)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr.endswith("_id")
    ]


def signals() -> Iterator[tuple[str, str, str]]:
    """Every signal by text: file, workflow, signal."""
    for file, tree in trees():
        for call in calls(tree, "send", "signal"):
            aimed_at = [*targets(call.func), *(t for argument in call.args for t in targets(argument))]
            for text in texts(call):
                yield from ((file, of, text) for of in aimed_at)
        for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.AsyncFor)):
            for call in calls(loop, "send", "signal"):
                for text in texts(call):
                    yield from ((file, of, text) for of in targets(loop.iter))


def test_every_workflow_that_is_started_by_text_exists() -> None:
    found = {
        (file, text)
        for file, tree in trees()
        for call in calls(tree, "start_workflow", "ScheduleActionStartWorkflow")
        for text in texts(call)[:1]
    }

    assert {text for _, text in found} >= {"Migration", "Validation"}, "the search finds what there is"
    assert [one for one in found if one[1] not in DEFINITIONS] == []


@pytest.mark.parametrize(
    ("function", "kind", "some"), [("_update", "updates", "approve"), ("query", "queries", "status")]
)
def test_every_update_and_query_of_the_client_exists(function: str, kind: str, some: str) -> None:
    found = {text for _, tree in trees("client.py") for call in calls(tree, function) for text in texts(call)[:1]}

    assert some in found
    assert sorted(found - set(getattr(DEFINITIONS["Migration"], kind))) == []


def test_every_signal_is_known_to_the_workflow_it_is_sent_to() -> None:
    found = set(signals())

    assert {("client.py", "Cutover", "look"), ("migration.py", "Backfill", "retry")} <= found
    assert [one for one in sorted(found) if one[2] not in DEFINITIONS[one[1]].signals] == []


def test_the_client_offers_nothing_that_no_command_uses() -> None:
    """Its public functions are called from the commands."""
    offered = {node.name for _, tree in trees("client.py") for node in tree.body if isinstance(node, ast.FunctionDef)}
    commands = "".join(path.read_text() for path in (ROOT / "migrator" / "cli").glob("*.py"))

    assert [name for name in sorted(offered) if not name.startswith("_") and f"client.{name}(" not in commands] == []
