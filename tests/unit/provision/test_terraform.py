"""infra/terraform makes of a plan what this tool makes of it: same cluster, same tags, rights of the same calls.

The real Terraform validates and plans it, its AWS provider played by the provider's own schema; without Terraform the
files are parsed and held to that schema."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hcl2
import pytest

from migrator.aws.actions import Duty, actions_of
from migrator.aws.cluster import CLUSTER, SHARD_GROUP
from migrator.decommission.aws_restore import TAG as DRILL
from migrator.errors import NoGo, UsageError
from migrator.plan.load import dump, from_body, load
from migrator.plan.schema import Plan
from migrator.provision.terraform import disagreements, text_of, variables
from migrator.provision.wanted import tags_of, wanted_of
from tests import ROOT
from tests.fixtures.terraform.provider import SCHEMA, provider
from tests.fixtures.terraform.run import PROGRAM, TREE, WHY_NOT, Made, Terraform, made

needs_terraform = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The example's plan, as far as it matters here: it may change."""
    body = dump(load(ROOT / "plans" / "adr.example.toml"))
    changes: dict[str, dict[str, Any]] = {
        "decommission": {
            "release_classic": True,
            "dossier": "s3://audit-evidence/migrations/",
            "dossier_key": "aws-kms:alias/dossier",
            "dossier_kms_key_id": "arn:aws:kms:eu-central-1:123456789012:key/2",
        },
        "notify": {"receiver": {}},
        "limitless": {"dsn": "rds-iam://migrator@limitless.example/postgres_limitless"},
        "aws": {"managed_by": "terraform", "project": "orders", "owner": "data-platform@example.com"},
    }
    return Plan.model_validate({**body, **{name: {**body[name], **values} for name, values in changes.items()}})


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    scratch = tmp_path_factory.mktemp("tf")
    with provider(scratch) as environment:
        yield Terraform(environment, scratch)


@pytest.fixture(scope="module")
def tested(terraform: Terraform, plan: Plan) -> tuple[str, dict[str, Made]]:
    """The output of Terraform's own tests, and what their runs made."""
    terraform.init()
    done = terraform.test(text_of(variables(plan)), "-json", "-verbose")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, made(done.stdout)


@pytest.fixture
def all_of_it(tested: tuple[str, dict[str, Made]]) -> Made:
    return tested[1]["all"]


# -- with Terraform --------------------------------------------------------------------------------------------------


@needs_terraform
def test_the_files_are_formatted(terraform: Terraform) -> None:
    done = terraform.run("fmt", "-check", "-recursive", "-no-color")

    assert (done.returncode, done.stdout) == (0, "")


@needs_terraform
def test_terraforms_own_tests_pass(tested: tuple[str, dict[str, Made]]) -> None:
    summary = next(
        message["test_summary"] for line in tested[0].splitlines() if (message := json.loads(line)).get("test_summary")
    )

    assert summary["status"] == "pass" and summary["passed"] >= 7 and summary["skipped"] == 0


@needs_terraform
def test_the_cluster_is_the_one_that_the_tool_makes(all_of_it: Made, plan: Plan) -> None:
    """Every setting of the table, but for those that name something Terraform makes first."""
    ground = {
        "subnet_group": all_of_it.one("aws_db_subnet_group")["name"],
        "parameter_group": all_of_it.one("aws_rds_cluster_parameter_group")["name"],
    }
    wanted = replace(wanted_of(plan), **ground)
    cluster, group = all_of_it.one("aws_rds_cluster"), all_of_it.one("aws_rds_shard_group")

    compared = 0
    for settings, as_made in ((CLUSTER, cluster), (SHARD_GROUP, group)):
        for setting in settings:
            value = setting.value(wanted)
            if value is not None:
                assert as_made[setting.argument] == value, setting.argument
                compared += 1
    assert compared > 20
    assert cluster["cluster_identifier"] == group["db_cluster_identifier"] == wanted.cluster_id
    assert group["db_shard_group_identifier"] == wanted.shard_group_id
    assert cluster["kms_key_id"] == all_of_it.one("aws_kms_key")["arn"]
    assert cluster["vpc_security_group_ids"] == [
        one["id"] for name, one in all_of_it.of("aws_security_group").items() if one["name"].endswith("-limitless")
    ]
    assert cluster["skip_final_snapshot"] is False


@needs_terraform
def test_no_plan_holds_the_master_password(tested: tuple[str, dict[str, Made]]) -> None:
    """Terraform was given one, and it is in neither arguments nor outputs nor messages."""
    assert "only-for-this-test" in (TREE / "tests" / "site.tftest.hcl").read_text()
    assert "only-for-this-test" not in tested[0]
    assert tested[1]["all"].one("aws_rds_cluster")["master_password_wo"] is None


def statements(policy: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["Sid"]: one for one in json.loads(policy["policy"])["Statement"]}


@needs_terraform
def test_workers_have_the_rights_of_their_calls_and_no_others(all_of_it: Made, plan: Plan) -> None:
    """Of this plan: it names no secret of Secrets Manager and no topic, and the decommission deletes classic."""
    policy = statements(all_of_it.of("aws_iam_role_policy")["task"])
    allowed = [action for one in policy.values() for action in one["Action"]]

    duties = (Duty.OBSERVE, Duty.EXPLAIN, Duty.RETIRE, Duty.DRILL, Duty.EVIDENCE, Duty.LOGIN)
    assert sorted(allowed) == sorted(action for duty in duties for action in actions_of([duty]))
    assert policy["Drill"]["Resource"][0] == f"arn:aws:rds:eu-central-1:123456789012:cluster:orders-classic-{DRILL}"
    rds = "arn:aws:rds:eu-central-1:123456789012"
    assert policy["RetireInstances"]["Resource"] == [f"{rds}:db:orders-classic-1"]
    assert f"{rds}:cluster:orders-classic" in policy["RetireClassic"]["Resource"]
    assert policy["Dossier"]["Resource"] == ["arn:aws:s3:::audit-evidence/migrations/*"]
    assert policy["DossierSignature"]["Condition"]["ForAnyValue:StringEquals"]["kms:ResourceAliases"] == [
        "alias/dossier"
    ]
    everything = [sid for sid, one in policy.items() if "*" in one["Resource"]]
    assert everything == ["ObserveRegion"], "CloudWatch knows no rights by resource"
    assert all(
        one["Effect"] == "Allow" and not any("*" in action for action in one["Action"]) for one in policy.values()
    )


@needs_terraform
def test_who_makes_the_cluster_by_hand_has_the_rights_of_that(tested: tuple[str, dict[str, Made]]) -> None:
    policy = statements(tested[1]["another_makes_the_cluster"].one("aws_iam_policy"))
    allowed = [action for one in policy.values() for action in one["Action"]]

    assert sorted(allowed) == sorted(actions_of([Duty.MAKE, Duty.OBSERVE]))
    assert policy["GiveMonitoringItsRole"]["Resource"] != ["*"]


@needs_terraform
def test_a_task_runs_the_plan(all_of_it: Made, plan: Plan) -> None:
    """The plan reaches it whole, its secrets by reference, its queues each with a worker."""
    import base64

    served: list[str] = []
    for task in all_of_it.of("aws_ecs_task_definition").values():
        prepare, process = json.loads(task["container_definitions"])
        text = base64.b64decode(prepare["environment"][0]["value"]).decode()
        assert dump(from_body(tomllib.loads(text))) == dump(plan)
        assert process["dependsOn"] == [{"containerName": "plan", "condition": "SUCCESS"}]
        assert (
            process["readonlyRootFilesystem"]
            and {"name": "MIGRATOR_PLAN", "value": "/state/plan.toml"} in process["environment"]
        )
        names = {secret["name"] for secret in process["secrets"]}
        assert names >= set(variables(plan)["environment_secrets"])
        assert names.isdisjoint(entry["name"] for entry in process["environment"])
        assert len(task["container_definitions"]) < 64 * 1024
        if process["name"] == "worker":
            assert "MIGRATOR_BOARD_TOKEN" not in names
            served += process["command"][2].split(",")
    assert sorted(served) == ["bulk", "control", "incident", "mirror"]


@needs_terraform
def test_what_prepares_a_task_writes_the_plan(all_of_it: Made, plan: Plan, tmp_path: Path) -> None:
    """The small script is run as it stands, in another directory."""
    import subprocess
    import sys

    prepare = json.loads(all_of_it.of("aws_ecs_task_definition")['serve["serve"]']["container_definitions"])[0]
    script = prepare["command"][0].replace("/state", str(tmp_path))
    environment = {entry["name"]: entry["value"] for entry in prepare["environment"]}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)

    assert dump(load(tmp_path / "plan.toml")) == dump(plan) and (tmp_path / "tmp").is_dir()


@needs_terraform
def test_nothing_is_open_to_the_world_but_what_is_said(all_of_it: Made) -> None:
    ways_in = all_of_it.of("aws_vpc_security_group_ingress_rule").values()

    assert {rule["cidr_ipv4"] for rule in ways_in} == {None, "198.51.100.0/24"}
    assert all(rule["from_port"] == rule["to_port"] for rule in ways_in)
    assert all(rule["cidr_ipv6"] is None for rule in ways_in)


@needs_terraform
@pytest.mark.parametrize(
    ("file", "line", "other", "said"),
    [
        ("cluster/main.tf", "cluster_scalability_type", "cluster_scaleability_type", "Unsupported argument"),
        ("cluster/main.tf", 'engine                   = "aurora-postgresql"', "", "Missing required argument"),
        ("workers/main.tf", "assign_public_ip = false", 'assign_public_ip = "perhaps"', "Inappropriate value"),
        ("alarms/main.tf", "aws_sns_topic.this.arn", "aws_sns_topic.this.anr", "Unsupported attribute"),
    ],
)
def test_a_mistake_is_found(terraform: Terraform, tmp_path: Path, file: str, line: str, other: str, said: str) -> None:
    """The stand-in knows the provider's schema well enough to refuse what the provider refuses."""
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    source = tree / "modules" / file
    assert line in source.read_text()
    source.write_text(source.read_text().replace(line, other, 1))
    terraform.init(tree)

    done = terraform.run("validate", "-no-color", tree=tree)

    assert done.returncode == 1 and said in done.stderr, done.stderr


# -- without Terraform -----------------------------------------------------------------------------------------------


def bare(name: str) -> str:
    return name.strip('"')


def arguments(body: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what the provider knows no such argument or block of, down to the innermost block."""
    known, blocks = schema.get("attributes", {}), schema.get("block_types", {})
    for name, value in body.items():
        name = bare(name)
        if name.startswith("__") or name in ("count", "for_each", "depends_on", "lifecycle", "provider"):
            continue
        if name in blocks:
            for inner in value if isinstance(value, list) else [value]:
                yield from arguments(inner, blocks[name]["block"], f"{where}.{name}")
        elif name not in known or not (known[name].get("optional") or known[name].get("required")):
            yield f"{where}.{name}"
    yield from (
        f"{where}.{name} is required"
        for name, attribute in known.items()
        if attribute.get("required") and name not in {bare(key) for key in body}
    )


def test_every_argument_is_one_of_the_providers() -> None:
    """Names of arguments, blocks within blocks, and what is required: read without Terraform."""
    schema = json.loads(SCHEMA.read_text())
    wrong: list[str] = []
    seen: set[str] = set()
    for path in sorted(TREE.rglob("*.tf")):
        parsed = hcl2.loads(path.read_text())
        for kind, schemas in (("resource", "resource_schemas"), ("data", "data_source_schemas")):
            for block in parsed.get(kind, []):
                for resource, named in block.items():
                    if bare(resource).startswith("__"):
                        continue
                    seen.add(bare(resource))
                    for name, body in named.items():
                        wrong += arguments(body, schema[schemas][bare(resource)]["block"], f"{resource}.{name}")
    assert wrong == []
    assert seen == {*schema["resource_schemas"], *schema["data_source_schemas"]}, "the schema has what is used"


def test_the_variables_of_the_plan_are_those_that_are_written(plan: Plan) -> None:
    declared = re.findall(r'^variable "(\w+)"', (TREE / "variables_plan.tf").read_text(), re.MULTILINE)

    assert sorted(declared) == sorted(variables(plan))


# -- the variables ---------------------------------------------------------------------------------------------------


def changed(plan: Plan, **sections: dict[str, Any]) -> Plan:
    body = dump(plan)
    return Plan.model_validate({**body, **{name: {**body[name], **values} for name, values in sections.items()}})


def test_secrets_are_named_each_once_and_none_is_told(plan: Plan) -> None:
    named = changed(
        plan,
        classic={
            "writer": "aws-secret:prod/Größe#classic",
            "readers": ["aws-secret:prod/Größe?dbname=app#reader", "env:R", "rds-iam:aws-secret:other"],
        },
        limitless={"dsn": "rds-iam://the%20tool@limitless.example/postgres_limitless"},
        board={"token": "env:BOARD"},
        aws={"tags": {"odd": "env:prod"}},
    )

    told = variables(named)

    assert told["secret_ids"] == ["other", "prod/Größe"]
    assert told["environment_secrets"] == ["BOARD", "MIGRATOR_CLASSIC_DSN", "R"]
    assert told["iam_database_users"] == ["*", "the tool"]


def test_the_plan_is_carried_whole(plan: Plan) -> None:
    """Odd names, lists of tables, sections in sections."""
    odd = changed(
        plan,
        tables={"schemas": ["app", "select"], "table": {"app.Größe of it": {"kind": "reference"}}},
        waves={"canaries": ['it\'s "one"', "zwei\\drei"]},
        alarms={"cloudwatch": {"topics": ["arn:aws:sns:eu-central-1:123456789012:x"]}},
    )

    assert dump(from_body(tomllib.loads(variables(odd)["plan_toml"]))) == dump(odd)


def test_what_no_container_reaches_is_refused_all_at_once(plan: Plan) -> None:
    local = changed(
        plan,
        classic={"writer": "file:/etc/dsn"},
        limitless={"dsn": "rds-iam:file:/etc/other"},
        temporal={"address": "localhost:7233"},
    )

    with pytest.raises(NoGo) as refused:
        variables(local)
    assert len(refused.value.blockers) == 3
    with pytest.raises(UsageError, match="names no cluster"):
        variables(changed(plan, limitless={"cluster_id": None}))


def test_disagreement_is_told_variable_by_variable(plan: Plan) -> None:
    file = {**variables(plan), "max_acu": 64, "image": "x"}
    del file["min_acu"]

    found = [str(one) for one in disagreements(json.dumps(file), plan, "file")]

    assert found == [
        'image: the file says "x", the plan knows no such variable',
        "max_acu: the file says 64, the plan 500.0",
        "min_acu: the file has none, the plan says 20.0",
    ]
    assert disagreements(text_of(variables(plan)), plan, "file") == []


@pytest.mark.parametrize("text", ["", "[]", "{", "not json", "1"])
def test_a_file_that_is_none_is_one_clear_error(plan: Plan, text: str) -> None:
    with pytest.raises(UsageError, match="the-file"):
        disagreements(text, plan, "the-file")


def test_everything_made_says_whose_it_is(plan: Plan) -> None:
    assert tags_of(plan) == {
        "project": "orders",
        "owner": "data-platform@example.com",
        "migrator-plan": "adr-example",
        "migrator-managed-by": "terraform",
    }
