"""What has to be there before a cluster is asked of AWS, as moto plays it; every gap is told at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from migrator.aws.cluster import Wanted
from migrator.aws.ground import Ground, look, problems
from tests.fixtures.aws import client_of

BARE = Wanted("orders", "orders-group", "16.13-limitless", 20, 500, 1)


class Region:
    """The clients, and what was made in it."""

    def __init__(self) -> None:
        self.clients = {name: client_of(name) for name in ("rds", "ec2", "kms", "iam")}
        self.rds = Versions(self.clients["rds"])
        ec2 = self.clients["ec2"]
        self.vpc, self.other_vpc = (ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in (0, 1))
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-central-1{zone}")[
                "Subnet"
            ]["SubnetId"]
            for n, zone in enumerate("abc")
        ]

    def subnet_group(self, name: str, zones: int) -> str:
        self.clients["rds"].create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription="-", SubnetIds=self.subnets[:zones]
        )
        return name

    def security_group(self, name: str, vpc: str | None = None) -> str:
        made = self.clients["ec2"].create_security_group(GroupName=name, Description="-", VpcId=vpc or self.vpc)
        return str(made["GroupId"])

    def open_to_all(self, group: str) -> str:
        everywhere = {"IpProtocol": "tcp", "FromPort": 5000, "ToPort": 6000, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.clients["ec2"].authorize_security_group_ingress(GroupId=group, IpPermissions=[everywhere])
        return group

    def role(self, name: str, trusts: str = "monitoring.rds.amazonaws.com") -> str:
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}]}
        made = self.clients["iam"].create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        return str(made["Role"]["Arn"])

    def key(self, **changes: Any) -> str:
        return str(self.clients["kms"].create_key(**changes)["KeyMetadata"]["Arn"])

    def parameter_group(self, name: str, family: str) -> str:
        self.clients["rds"].create_db_cluster_parameter_group(
            DBClusterParameterGroupName=name, DBParameterGroupFamily=family, Description="-"
        )
        return name

    def problems(self, wanted: Wanted) -> list[str]:
        return problems(wanted, look(wanted, {**self.clients, "rds": self.rds}))


class Versions:
    """moto's RDS, and the engine versions that it does not have."""

    def __init__(self, rds: Any) -> None:
        self._rds = rds
        self.known: dict[str, bool] = {"16.13-limitless": True, "16.13": False}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rds, name)

    def describe_db_engine_versions(self, Engine: str, EngineVersion: str) -> dict[str, Any]:
        assert Engine == "aurora-postgresql"
        found = self.known.get(EngineVersion)
        one = {"EngineVersion": EngineVersion, "SupportsLimitlessDatabase": found}
        return {"DBEngineVersions": [] if found is None else [one]}


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # thousands of images, which no test needs
        with mock_aws():
            yield Region()


def test_all_that_is_named_and_fits(region: Region) -> None:
    wanted = replace(
        BARE,
        subnet_group=region.subnet_group("good", 2),
        security_groups=(region.security_group("good"),),
        parameter_group=region.parameter_group("good", "aurora-postgresql16"),
        kms_key_id=region.key(),
        monitoring_role_arn=region.role("good"),
    )
    found = look(wanted, {**region.clients, "rds": region.rds})

    assert problems(wanted, found) == [] and found.unknown == ()
    assert found.asked == {"version", "subnet_group", "security_groups", "parameter_group", "key", "role"}


def test_all_that_is_named_and_is_not_there(region: Region) -> None:
    wanted = replace(
        BARE,
        engine_version="16.99-limitless",
        subnet_group="none",
        security_groups=("sg-0123456789abcdef0",),
        parameter_group="none",
        kms_key_id="arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000",
        monitoring_role_arn="arn:aws:iam::123456789012:role/none",
    )

    found = region.problems(wanted)

    assert [text.split(":")[0].removesuffix(" arn") for text in found] == [
        "this region has no engine version 16.99-limitless",
        "there is no DB subnet group none",
        "there is no security group sg-0123456789abcdef0",
        "there is no KMS key",
        "there is no role",
        "there is no DB cluster parameter group none",
    ]


def test_all_that_is_there_and_does_not_fit(region: Region) -> None:
    asleep = region.key()
    region.clients["kms"].disable_key(KeyId=asleep.rsplit("/", 1)[-1])
    wanted = replace(
        BARE,
        engine_version="16.13",
        compute_redundancy=2,
        subnet_group=region.subnet_group("small", 2),
        security_groups=(
            region.security_group("elsewhere", region.other_vpc),
            region.open_to_all(region.security_group("open")),
        ),
        parameter_group=region.parameter_group("old", "aurora-postgresql15"),
        kms_key_id=asleep,
        monitoring_role_arn=region.role("untrusted", "ec2.amazonaws.com"),
    )

    text = "\n".join(region.problems(wanted))

    for said in (
        "has no Limitless Database",
        "covers 2 availability zones; 2 standbys per shard need 3",
        f"is of {region.other_vpc}, the DB subnet group of {region.vpc}",
        "lets the whole internet in on port 5432",
        f"KMS key {asleep} is Disabled",
        "does not trust monitoring.rds.amazonaws.com",
        "is of family aurora-postgresql15, the engine of aurora-postgresql16",
    ):
        assert said in text
    assert len(text.splitlines()) == 7


def test_a_key_that_signs_encrypts_no_storage(region: Region) -> None:
    key = region.key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")

    assert region.problems(replace(BARE, kms_key_id=key)) == [
        f"KMS key {key} is RSA_2048; storage needs a symmetric one"
    ]


def test_what_may_not_be_seen_is_unknown_and_no_problem(region: Region) -> None:
    """The right that is missing is named; the call that creates will say what is wrong."""

    class Denied:
        def get_role(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetRole")

    wanted = replace(BARE, monitoring_role_arn="arn:aws:iam::123456789012:role/x")
    found = look(wanted, {**region.clients, "rds": region.rds, "iam": Denied()})

    assert problems(wanted, found) == [] and "role" not in found.asked
    assert found.unknown == ("role: AWS refuses iam:GetRole (AccessDenied): iam:GetRole is missing",)


def test_nothing_asked_is_nothing_judged() -> None:
    assert problems(BARE, Ground()) == []
