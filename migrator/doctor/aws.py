"""Asks AWS what `migrator doctor` wants to know: by reading, and by simulating rights. It changes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from migrator.aws.actions import CALLS, Duty, actions_of
from migrator.aws.answers import client
from migrator.errors import ClusterUnavailable, UsageError
from migrator.plan.schema import Plan

_GONE = ("DBClusterNotFoundFault", "DBShardGroupNotFound", "DBShardGroupNotFoundFault")
_ASSUMED = re.compile(r"arn:(?P<partition>[\w-]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.*")

READ = actions_of([Duty.OBSERVE])
RETIRE = tuple(call.action for call in CALLS if call.duty is Duty.RETIRE and call.action)
SECRETS = tuple(call.action for call in CALLS if call.duty is Duty.SECRETS and call.action)
NOTIFY = actions_of([Duty.NOTIFY])
LOGIN = actions_of([Duty.LOGIN])

_TOKEN = "rds-iam:"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials these are. arn holds no secret."""

    arn: str
    region: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster or shard group that the plan names. status: None where AWS has none of that name."""

    what: str
    name: str
    status: str | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """An action of AWS, and whether this identity may do it."""

    action: str
    allowed: bool


def wanted(plan: Plan) -> tuple[str, ...]:
    """Return the actions that this plan needs, each once. Pure."""
    actions: list[str] = []
    if _references(plan):
        actions += SECRETS
    if _users(plan):
        actions += LOGIN
    if plan.classic.cluster_id or plan.limitless.cluster_id:
        actions += READ
    if plan.classic.cluster_id and plan.decommission.release_classic:
        actions += RETIRE
    if any(receiver.topic for receiver in plan.notify.receiver.values()):
        actions += NOTIFY
    return tuple(actions)


def resources(plan: Plan, action: str, arn: str, region: str) -> tuple[str, ...]:
    """Return what *action* is simulated on: a policy of least privilege allows nothing on everything. Pure.

    Args:
        arn: the identity's, for partition and account.
    """
    partition, account = arn.split(":")[1], arn.split(":")[4]
    rds = f"arn:{partition}:rds:{region}:{account}"
    classic, limitless = plan.classic.cluster_id, plan.limitless.cluster_id
    match action:
        case "rds:DescribeDBClusters":
            return tuple(f"{rds}:cluster:{name}" for name in (classic, limitless) if name)
        case "rds:CreateDBClusterSnapshot" | "rds:DeleteDBCluster" | "rds:StopDBCluster" | "rds:StartDBCluster":
            return (f"{rds}:cluster:{classic}",)
        case "rds:DescribeDBClusterSnapshots" | "rds:DeleteDBClusterSnapshot":
            return (f"{rds}:cluster-snapshot:{classic}-before-decommission",)
        case "rds:DescribeDBShardGroups":
            return (f"{rds}:shard-group:*",)
        case "rds:DescribeDBInstances":
            return (f"{rds}:db:*",)
        case "sns:Publish":
            return tuple(sorted({receiver.topic for receiver in plan.notify.receiver.values() if receiver.topic}))
        case "rds-db:connect":
            return tuple(f"arn:{partition}:rds-db:{region}:{account}:dbuser:*/{user}" for user in _users(plan))
        case "secretsmanager:GetSecretValue":
            return tuple(sorted({_secret(text, partition, region, account) for text in _references(plan)}))
    return ("*",)


def _references(plan: Plan) -> list[str]:
    references = (plan.classic.writer, plan.limitless.dsn, *plan.classic.readers)
    inner = [text.removeprefix(_TOKEN) for text in references]
    return [text for text in inner if text.startswith("aws-secret:")]


def _users(plan: Plan) -> list[str]:
    """Return whom tokens of IAM are for; * where only the connection string tells it."""
    references = (plan.classic.writer, plan.limitless.dsn, *plan.classic.readers)
    rests = [text.removeprefix(_TOKEN) for text in references if text.startswith(_TOKEN)]
    return sorted({unquote(urlsplit(rest).username or "*") if rest.startswith("//") else "*" for rest in rests})


def _secret(reference: str, partition: str, region: str, account: str) -> str:
    """Return a secret's ARN; AWS ends it in six characters of its own."""
    name = reference.removeprefix("aws-secret:").partition("#")[0].partition("?")[0]
    whole = f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-AAAAAA"
    return name if name.startswith("arn:") else whole


def principal(arn: str) -> str:
    """Return what rights are simulated for: a session's role, else the identity itself. Pure."""
    found = _ASSUMED.fullmatch(arn)
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}" if found else arn


class Aws:
    """Clients with short bounds; *clients* are replaced in tests."""

    def __init__(self, plan: Plan | None, clients: dict[str, Any] | None = None) -> None:
        if plan is None:
            raise UsageError("without a plan it is not known what AWS is asked for")
        self.plan, self.clients = plan, clients or {}

    def client(self, service: str) -> Any:
        if service not in self.clients:
            made = client(service, self.plan.aws.region, connect_s=2, read_s=3, attempts=1)
            self.clients[service] = made
        return self.clients[service]

    def ask(self, service: str, call: str, **arguments: Any) -> Any:
        """Return AWS' answer; None where there is nothing of that name.

        Raises:
            ClusterUnavailable: it does not answer, or refuses; by its code alone.
        """
        asked = self.client(service)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(asked, call)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if code in _GONE:
                return None
            raise ClusterUnavailable("AWS", f"it answered {code} to {service}:{call}") from None
        except BotoCoreError as error:
            hint = "Check region, credentials and the network of this machine."
            raise ClusterUnavailable("AWS", type(error).__name__, hint) from None

    def caller(self) -> Caller:
        answer = self.ask("sts", "get_caller_identity")
        return Caller(str(answer["Arn"]), str(self.client("sts").meta.region_name))

    def clusters(self) -> list[Cluster]:
        found = []
        for name in (self.plan.classic.cluster_id, self.plan.limitless.cluster_id):
            if name:
                answer = self.ask("rds", "describe_db_clusters", DBClusterIdentifier=name)
                described = (answer or {}).get("DBClusters") or [{}]
                engine = described[0].get("EngineVersion", "")
                found.append(Cluster("cluster", name, described[0].get("Status"), engine))
        if group := self.plan.limitless.shard_group_id:
            answer = self.ask("rds", "describe_db_shard_groups", DBShardGroupIdentifier=group)
            described = (answer or {}).get("DBShardGroups") or [{}]
            acu = f"{described[0]['MaxACU']:g} ACU at most" if "MaxACU" in described[0] else ""
            found.append(Cluster("shard group", group, described[0].get("Status"), acu))
        return found

    def rights(self) -> list[Right]:
        """Return what a simulation says of the actions that the plan needs."""
        actions: Sequence[str] = wanted(self.plan)
        if not actions:
            return []
        caller = self.caller()
        groups: dict[tuple[str, ...], list[str]] = {}
        for action in actions:
            groups.setdefault(resources(self.plan, action, caller.arn, caller.region), []).append(action)
        allowed: dict[str, bool] = {}
        for on, names in groups.items():
            answer = self.ask(
                "iam",
                "simulate_principal_policy",
                PolicySourceArn=principal(caller.arn),
                ActionNames=names,
                ResourceArns=list(on),
            )
            for result in answer["EvaluationResults"]:
                each = [one["EvalResourceDecision"] for one in result.get("ResourceSpecificResults") or ()]
                decided = all(decision == "allowed" for decision in each or [result["EvalDecision"]])
                allowed[result["EvalActionName"]] = allowed.get(result["EvalActionName"], True) and decided
        return [Right(action, allowed[action]) for action in actions if action in allowed]
