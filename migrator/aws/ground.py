"""What has to be there before a cluster is made: engine version, network, key, roles. It reads, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from migrator.aws.answers import asking, client
from migrator.aws.cluster import Wanted
from migrator.errors import ClusterUnavailable, PreconditionFailed

PORT = 5432
MONITORING = "monitoring.rds.amazonaws.com"
_NOT_THERE = frozenset(
    (
        "DBSubnetGroupNotFoundFault", "DBParameterGroupNotFound", "DBClusterParameterGroupNotFound",
        "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound", "NotFoundException",
        "NoSuchEntity",
    )
)  # fmt: skip
_WORLD = ("0.0.0.0/0", "::/0")

Described = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ground:
    """What AWS tells of each. None: AWS has none of that name; absent from `asked`: it was not asked, or not told.

    Attributes:
        unknown: what could not be asked, each with what is missing for it.
    """

    version: Described | None = None
    subnet_group: Described | None = None
    security_groups: tuple[Described, ...] = ()
    key: Described | None = None
    role: Described | None = None
    parameter_group: Described | None = None
    asked: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


def problems(wanted: Wanted, ground: Ground) -> list[str]:
    """Return everything that keeps the cluster from being made. Pure."""
    checks: tuple[tuple[str, Callable[[Wanted, Ground], Iterable[str]]], ...] = (
        ("version", _version),
        ("subnet_group", _subnets),
        ("security_groups", _security_groups),
        ("key", _key),
        ("role", _role),
        ("parameter_group", _parameter_group),
    )
    return [problem for what, check in checks if what in ground.asked for problem in check(wanted, ground)]


def _version(wanted: Wanted, ground: Ground) -> Iterable[str]:
    if ground.version is None:
        yield f"this region has no engine version {wanted.engine_version}: set limitless.engine_version"
    elif ground.version.get("SupportsLimitlessDatabase") is False:
        yield f"engine version {wanted.engine_version} has no Limitless Database"


def _subnets(wanted: Wanted, ground: Ground) -> Iterable[str]:
    group = ground.subnet_group
    if group is None:
        yield f"there is no DB subnet group {wanted.subnet_group}"
        return
    zones = {subnet["SubnetAvailabilityZone"]["Name"] for subnet in group.get("Subnets", ())}
    needed = max(2, wanted.compute_redundancy + 1)
    if len(zones) < needed:
        yield (
            f"DB subnet group {wanted.subnet_group} covers {len(zones)} availability zones; "
            f"{wanted.compute_redundancy} standbys per shard need {needed}"
        )


def _security_groups(wanted: Wanted, ground: Ground) -> Iterable[str]:
    present = {group["GroupId"]: group for group in ground.security_groups}
    for name in wanted.security_groups:
        if name not in present:
            yield f"there is no security group {name}"
            continue
        group, vpc = present[name], (ground.subnet_group or {}).get("VpcId")
        if vpc and group.get("VpcId") not in (None, vpc):
            yield f"security group {name} is of {group['VpcId']}, the DB subnet group of {vpc}"
        if _open(group):
            yield f"security group {name} lets the whole internet in on port {PORT}"


def _open(group: Described) -> bool:
    for rule in group.get("IpPermissions", ()):
        covers = rule.get("IpProtocol") == "-1" or rule.get("FromPort", 0) <= PORT <= rule.get("ToPort", 65535)
        ranges = [r.get("CidrIp") for r in rule.get("IpRanges", ())] + [
            r["CidrIpv6"] for r in rule.get("Ipv6Ranges", ())
        ]
        if covers and any(cidr in _WORLD for cidr in ranges):
            return True
    return False


def _key(wanted: Wanted, ground: Ground) -> Iterable[str]:
    if ground.key is None:
        yield f"there is no KMS key {wanted.kms_key_id}"
    elif ground.key.get("KeyState", "Enabled") != "Enabled":
        yield f"KMS key {wanted.kms_key_id} is {ground.key['KeyState']}"
    elif ground.key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        yield f"KMS key {wanted.kms_key_id} is {ground.key['KeySpec']}; storage needs a symmetric one"


def _role(wanted: Wanted, ground: Ground) -> Iterable[str]:
    if ground.role is None:
        yield f"there is no role {wanted.monitoring_role_arn}"
        return
    trusted = ground.role.get("AssumeRolePolicyDocument", {})
    text = unquote(trusted) if isinstance(trusted, str) else json.dumps(trusted)
    if MONITORING not in text:
        yield f"role {wanted.monitoring_role_arn} does not trust {MONITORING}"


def _parameter_group(wanted: Wanted, ground: Ground) -> Iterable[str]:
    family = f"aurora-postgresql{wanted.engine_version.split('.')[0]}"
    if ground.parameter_group is None:
        yield f"there is no DB cluster parameter group {wanted.parameter_group}"
    elif ground.parameter_group.get("DBParameterGroupFamily") != family:
        found = ground.parameter_group.get("DBParameterGroupFamily")
        yield f"DB cluster parameter group {wanted.parameter_group} is of family {found}, the engine of {family}"


@dataclass
class Asker:
    """Asks AWS; *clients* by service: rds, and others that are made when they are needed, in its Region."""

    clients: dict[str, Any]
    unknown: list[str] = field(default_factory=list)

    def ask(self, service: str, method: str, **arguments: Any) -> Described | None:
        """Return AWS' answer, None where it has nothing of that name.

        Raises:
            ClusterUnavailable, PreconditionFailed: it does not answer.
        """
        if service not in self.clients:
            self.clients[service] = client(service, self.clients["rds"].meta.region_name)
        with asking(service, method, fine=_NOT_THERE):
            answer: Described = getattr(self.clients[service], method)(**arguments)
            return answer
        return None

    def first(self, service: str, method: str, key: str, **arguments: Any) -> Described | None:
        answer = self.ask(service, method, **arguments)
        found = (answer or {}).get(key) or None
        return found[0] if isinstance(found, list) else found


def look(wanted: Wanted, clients: dict[str, Any]) -> Ground:
    """Ask AWS for all that *wanted* names. What this identity may not see is unknown, and said so."""
    asker = Asker(clients)
    found: dict[str, Any] = {}

    def note(what: str, ask: Callable[[], Any]) -> None:
        try:
            found[what] = ask()
        except (ClusterUnavailable, PreconditionFailed) as error:
            asker.unknown.append(f"{what.replace('_', ' ')}: {error}")

    note(
        "version",
        lambda: asker.first(
            "rds", "describe_db_engine_versions", "DBEngineVersions",
            Engine="aurora-postgresql", EngineVersion=wanted.engine_version,
        ),
    )  # fmt: skip
    if name := wanted.subnet_group:
        note(
            "subnet_group",
            lambda: asker.first("rds", "describe_db_subnet_groups", "DBSubnetGroups", DBSubnetGroupName=name),
        )
    if wanted.security_groups:
        note("security_groups", lambda: _groups(asker, wanted.security_groups))
    if key := wanted.kms_key_id:
        note("key", lambda: asker.first("kms", "describe_key", "KeyMetadata", KeyId=key))
    if arn := wanted.monitoring_role_arn:
        note("role", lambda: asker.first("iam", "get_role", "Role", RoleName=arn.rsplit("/", 1)[-1]))
    if group := wanted.parameter_group:
        note(
            "parameter_group",
            lambda: asker.first(
                "rds", "describe_db_cluster_parameter_groups", "DBClusterParameterGroups",
                DBClusterParameterGroupName=group,
            ),
        )  # fmt: skip
    return Ground(**found, asked=frozenset(found), unknown=tuple(asker.unknown))


def _groups(asker: Asker, names: tuple[str, ...]) -> tuple[Described, ...]:
    """Return the groups that are there; asked one by one, since AWS names none when one of several is absent."""
    found = [asker.first("ec2", "describe_security_groups", "SecurityGroups", GroupIds=[name]) for name in names]
    return tuple(group for group in found if group is not None)
