"""What infra/terraform is told of a plan: its variables as JSON, and where a file of them says otherwise. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from migrator.errors import NoGo, UsageError
from migrator.plan.load import dump
from migrator.plan.schema import Plan
from migrator.plan.toml import to_toml
from migrator.provision.wanted import tags_of, wanted_of

FILE = "terraform.tfvars.json"
"""Terraform reads it by itself. What the plan does not say stands in another file of the same folder."""

_TOKEN = "rds-iam:"

_ALWAYS = ("MIGRATOR_CLASSIC_DSN",)
"""Read by every process beside what the plan names: commands find the stored plan by it."""


def variables(plan: Plan) -> dict[str, Any]:
    """Return the variables of infra/terraform/variables_plan.tf for this plan. No value is a secret.

    Raises:
        UsageError: the plan names no cluster on AWS.
        NoGo: it names what no container on AWS reaches.
    """
    wanted = wanted_of(plan)
    body = {key: value for key, value in dump(plan).items() if key != "aws"}  # tags may look like anything
    references = sorted(set(_references(body)))
    if blockers := _unreachable(plan, references):
        raise NoGo("plan terraform", blockers)
    inner = [_without_token(text) for text in references]
    names = {text.partition(":")[2] for text in inner if text.startswith("env:")}
    return {
        "name": plan.name,
        "region": plan.aws.region,
        "tags": tags_of(plan),
        "manage_cluster": plan.aws.managed_by == "terraform",
        "cluster_id": wanted.cluster_id,
        "shard_group_id": wanted.shard_group_id,
        "engine_version": wanted.engine_version,
        "min_acu": wanted.min_acu,
        "max_acu": wanted.max_acu,
        "compute_redundancy": wanted.compute_redundancy,
        "subnet_group": wanted.subnet_group,
        "security_groups": list(wanted.security_groups),
        "parameter_group": wanted.parameter_group,
        "kms_key_id": wanted.kms_key_id,
        "monitoring_role_arn": wanted.monitoring_role_arn,
        "monitoring_interval_s": wanted.monitoring_interval_s,
        "master_username": wanted.master_username,
        "deletion_protection": wanted.deletion_protection,
        "auto_minor_version_upgrade": wanted.auto_minor_version_upgrade,
        "backup_retention_days": wanted.backup_retention_days,
        "classic_cluster_id": plan.classic.cluster_id,
        "release_classic": plan.decommission.release_classic,
        "acu_pct": plan.pace.acu_pct,
        "dossier": plan.decommission.dossier if (plan.decommission.dossier or "").startswith("s3://") else None,
        "dossier_key": _kms_key(plan.decommission.dossier_key),
        "dossier_kms_key_id": plan.decommission.dossier_kms_key_id,
        "secret_ids": sorted({_secret_id(text) for text in inner if text.startswith("aws-secret:")}),
        "iam_database_users": sorted({_user(text) for text in references if text.startswith(_TOKEN)}),
        "environment_secrets": sorted(names | set(_ALWAYS)),
        "notify_topic_arns": sorted({r.topic for r in plan.notify.receiver.values() if r.topic}),
        "plan_toml": to_toml(_given(plan)),
    }


def text_of(values: Mapping[str, Any]) -> str:
    """Return the file's text."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A variable on which file and plan disagree. found, wanted: as JSON; None: it is not there."""

    name: str
    found: str | None
    wanted: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.name}: the file has none, the plan says {self.wanted}"
        if self.wanted is None:
            return f"{self.name}: the file says {self.found}, the plan knows no such variable"
        return f"{self.name}: the file says {self.found}, the plan {self.wanted}"


def disagreements(text: str, plan: Plan, source: str) -> list[Disagreement]:
    """Return where the file's *text* and the plan disagree.

    Raises:
        UsageError: the text is no file of variables.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is no JSON: {error}", hint="Write it again with: migrator plan terraform") from None
    if not isinstance(found, dict):
        raise UsageError(f"{source} holds no variables", hint="Write it again with: migrator plan terraform")
    wanted = variables(plan)
    absent = object()
    return [
        Disagreement(
            name,
            _shown(found[name]) if name in found else None,
            _shown(wanted[name]) if name in wanted else None,
        )
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name, absent) != wanted.get(name, absent)
    ]


def _shown(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _given(plan: Plan) -> dict[str, Any]:
    """Return the plan's sections without those that are all defaults: a task definition has room for 64 KB."""
    return {key: value for key, value in plan.model_dump(mode="json", exclude_defaults=True).items() if value != {}}


def _references(value: Any) -> Iterator[str]:
    """Every reference to a connection string or a secret; a plan has no other text that begins so."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, str) and value.partition(":")[0] in ("env", "file", "aws-secret", "rds-iam", "local"):
        yield value


def _unreachable(plan: Plan, references: list[str]) -> list[str]:
    found = [
        f"{text.partition('#')[0]} is on this machine: name env:NAME or aws-secret:ID"
        for text in references
        if _without_token(text).startswith(("file:", "local:"))
    ]
    host = plan.temporal.address.rpartition(":")[0] or plan.temporal.address
    if host in ("local", "localhost", "127.0.0.1", "[::1]"):
        found.append(f"temporal.address {plan.temporal.address} is on this machine: name a server that ECS reaches")
    return found


def _kms_key(reference: str | None) -> str | None:
    """Return the key of AWS KMS that a reference names; None for another one."""
    return reference.removeprefix("aws-kms:") if reference and reference.startswith("aws-kms:") else None


def _without_token(reference: str) -> str:
    """Return the reference that one for tokens of IAM goes before; rds-iam://USER@HOST names none."""
    return reference.removeprefix(_TOKEN)


def _user(reference: str) -> str:
    """Return whom a token is for; * where only the connection string tells it."""
    rest = reference.removeprefix(_TOKEN)
    return unquote(urlsplit(rest).username or "*") if rest.startswith("//") else "*"


def _secret_id(reference: str) -> str:
    """Return the id of aws-secret:ID, without #KEY and ?options."""
    return reference.partition(":")[2].partition("#")[0].partition("?")[0]
