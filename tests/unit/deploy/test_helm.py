"""The chart renders to what Kubernetes takes, holds no secret, and stops workers gracefully."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from migrator import __version__
from tests import ROOT
from tests.unit.deploy.render import CHART
from workflows.names import Queue
from workflows.worker import END

pytestmark = pytest.mark.skipif(
    find_spec("helm_python") is None or find_spec("kubernetes_validate") is None,
    reason="Helm's library is not installed: pip install -e '.[chart]'",
)

EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.com/migrator", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "plan": (ROOT / "plans" / "adr.example.toml").read_text(),
    "temporal": {"address": "temporal.internal:7233"},
    "secretFiles": [{"secret": "temporal-tls", "mountPath": "/etc/migrator/temporal"}],
    "serviceAccount": {"name": "mover", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1"}},
    "workers": {"everything": {"replicas": 3, "queues": ["incident", "control", "mirror", "bulk"]}},
    "serve": {
        "replicas": 2,
        "args": ["--root-path", "/x: y"],
        "secretEnv": {"MIGRATOR_BOARD_TOKEN": {"secret": "b", "key": "t"}},
    },
    "networkPolicy": {
        "serveFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "metricsFrom": [{"namespaceSelector": {}}],
        "egress": [{"cidr": "10.1.0.0/16", "ports": [5432, 7233]}, {"cidr": "0.0.0.0/0", "ports": [443]}],
    },
    "priorityClassName": "high",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
}  # fmt: skip

NOTHING: dict[str, Any] = {
    "serviceAccount": {"create": False},
    "serve": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
}


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.deploy.render"],
        input=json.dumps(values), cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def objects(values: dict[str, Any]) -> list[dict[str, Any]]:
    answer = rendered(values)
    assert answer["error"] == ""
    texts = [text for name, text in answer["manifests"].items() if name.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


@pytest.fixture(scope="module", params=[{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])
def made(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return objects(request.param)


def pods(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in made if o["kind"] == "Deployment"}


def test_helm_has_nothing_against_it() -> None:
    findings = rendered({})["lint"]

    assert [m for m in findings["messages"] if m["error"] != "icon is recommended"] == []
    assert findings["errors"] == []


@pytest.mark.parametrize("version", ["1.27", "1.34"])
def test_kubernetes_takes_every_object(made: list[dict[str, Any]], version: str) -> None:
    """By its own schemas, without a field that is not in them."""
    import kubernetes_validate

    assert made
    for found in made:
        kubernetes_validate.validate(found, version, strict=True)


def test_a_worker_has_longer_to_end_than_it_takes(made: list[dict[str, Any]]) -> None:
    for name, pod in pods(made).items():
        if not name.endswith("-serve"):
            assert pod["terminationGracePeriodSeconds"] > END.total_seconds(), name


def test_every_queue_is_served(made: list[dict[str, Any]]) -> None:
    words = [c["args"] for pod in pods(made).values() for c in pod["containers"] if c["name"] == "worker"]
    served = {queue for args in words for queue in args[args.index("--queues") + 1].split(",")}

    assert served == {queue.value for queue in Queue}
    assert all(args[0] == "worker" for args in words)


def test_a_pod_may_do_next_to_nothing(made: list[dict[str, Any]]) -> None:
    for name, pod in pods(made).items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"] and not allowed["allowPrivilegeEscalation"], name
            assert allowed["capabilities"] == {"drop": ["ALL"]}, name


def test_a_disruption_leaves_one_of_each() -> None:
    made = objects({})
    budgets = {o["metadata"]["name"]: o["spec"] for o in made if o["kind"] == "PodDisruptionBudget"}
    several = {o["metadata"]["name"] for o in made if o["kind"] == "Deployment" and o["spec"]["replicas"] > 1}

    assert budgets.keys() == several
    for name, budget in budgets.items():
        [deployment] = [o for o in made if o["kind"] == "Deployment" and o["metadata"]["name"] == name]
        assert budget["selector"] == deployment["spec"]["selector"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()


def test_the_plan_arrives_as_it_was_given() -> None:
    """And without one none is mounted: workers take the one that is stored on classic."""
    made = objects(EVERYTHING)
    [config] = [o for o in made if o["kind"] == "ConfigMap"]
    without = pods(objects({}))

    assert config["data"]["plan.toml"] == EVERYTHING["plan"]
    assert all(any(v["name"] == "plan" for v in pod["volumes"]) for pod in pods(made).values())
    assert not any(v["name"] == "plan" for pod in without.values() for v in pod["volumes"])


def test_tokens_of_the_board_are_not_given_to_workers() -> None:
    for name, pod in pods(objects(EVERYTHING)).items():
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        assert ("MIGRATOR_BOARD_TOKEN" in names) is name.endswith("-serve")
        assert {"MIGRATOR_CLASSIC_DSN", "MIGRATOR_LIMITLESS_DSN", "MIGRATOR_TEMPORAL", "MIGRATOR_PLAN"} <= names


def test_only_who_is_named_gets_in() -> None:
    closed, opened = (
        next(o["spec"] for o in objects(values) if o["kind"] == "NetworkPolicy") for values in ({}, EVERYTHING)
    )

    assert closed["ingress"] == [] and closed["policyTypes"] == ["Ingress"]
    assert {rule["ports"][0]["port"] for rule in opened["ingress"]} == {8099, 9464}
    assert [rule["ports"][0]["port"] for rule in opened["egress"]] == [53, 5432, 443]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"env": {"MIGRATOR_CLASSIC_DSN": "x"}}, "'MIGRATOR_CLASSIC_DSN'"),
        ({"env": {"OTHER": "postgresql://u:p@h/d"}}, "env"),
        ({"plan": 'writer = "postgresql://u:p@h/d"'}, "plan"),
        ({"secretEnv": {"A": {"secret": "s", "key": "k", "value": "v"}}}, "secretEnv"),
        ({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds"),
        ({"workers": {"mirror": {"replicas": 1, "queues": ["mirrors"]}}}, "queues"),
        ({"workers": {"serve": {"replicas": 1, "queues": ["mirror"]}}}, "'serve'"),
        ({"workres": {}}, "workres"),
        ({"networkPolicy": {"egress": [{"cidr": "10.0.0.0/8", "ports": []}]}}, "egress"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], word: str) -> None:
    """A secret among them, a name that does not exist, less time than a worker takes."""
    assert word in rendered(values)["error"]


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == __version__
