"""Whose credentials are these, are the plan's clusters there, and may this identity do what it will have to?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migrator.doctor.aws import LOGIN, READ, SECRETS, Aws, Caller, Cluster, Right
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section, Unasked
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, unknown, warning

ORDER = 85

_ON = frozenset({Kind.AWS})


def _caller(aws: Aws, _plan: object) -> Caller:
    return aws.caller()


def _clusters(aws: Aws, _plan: object) -> Sequence[Cluster]:
    return aws.clusters()


def _rights(aws: Aws, _plan: object) -> Sequence[Right]:
    return aws.rights()


CALLER: Section[Caller] = Section("its identity", _ON, _caller)
CLUSTERS: Section[Sequence[Cluster]] = Section("clusters", _ON, _clusters)
RIGHTS: Section[Sequence[Right]] = Section("rights by simulation (iam:SimulatePrincipalPolicy)", _ON, _rights)


def judge_caller(facts: Facts) -> Iterable[Finding]:
    if facts.plan is not None and not any(server.kind is Kind.AWS for server in facts.servers):
        yield not_applicable("AWS", "the plan names nothing of AWS")
    for server, found in facts.each(CALLER):
        if not isinstance(found, Unasked):
            yield ok(server.name, f"{found.arn} in {found.region}")
        elif not found.heard:
            yield problem(
                server.name,
                found.why,
                "secrets, clusters and figures of CloudWatch cannot be read",
                found.hint or "Set region and credentials, or the machine's role; then: aws sts get-caller-identity",
            )


def judge_clusters(facts: Facts) -> Iterable[Finding]:
    for _, found in facts.each(CLUSTERS):
        for one in () if isinstance(found, Unasked) else found:
            yield cluster(one)


def cluster(found: Cluster) -> Finding:
    """Return what the state of a cluster means. Pure."""
    subject = f"{found.what} {found.name}"
    if found.status is None:
        return problem(
            subject,
            "AWS has none of that name in this region and account",
            "figures, pace and the end of the migration ask for it",
            "Correct the name in the plan, or region and credentials; migrator cluster create makes Limitless.",
        )
    if found.status != "available":
        return warning(
            subject, f"is {found.status}", "it may refuse connections", "Wait until it is available, or ask AWS why."
        )
    return ok(subject, f"is available{', ' + found.detail if found.detail else ''}")


def judge_rights(facts: Facts) -> Iterable[Finding]:
    for server, found in facts.each(RIGHTS):
        if not isinstance(found, Unasked):
            yield rights(server.name, found)


def rights(name: str, found: Sequence[Right]) -> Finding:
    """Return which actions are refused, and which part of the migration needs them. Pure."""
    denied = [right.action for right in found if not right.allowed]
    if not found:
        return unknown(name, "no right was simulated")
    if not denied:
        return ok(name, f"may do all of {some((right.action for right in found), 10)}")
    secrets = [action for action in denied if action in SECRETS + LOGIN]
    later = [action for action in denied if action not in SECRETS + LOGIN + READ]
    why = (
        "connection strings cannot be read, or tokens are refused"
        if secrets
        else "classic cannot be retired at the end"
        if later == denied
        else "the writer's load and the capacity of Limitless are unknown"
    )
    say = problem if secrets else warning
    return say(name, f"may not do {some(denied, 10)}", why, "Add these actions to the policy of this identity.")


CHECKS = (
    Check("aws.identity", (CALLER,), judge_caller),
    Check("aws.clusters", (CLUSTERS,), judge_clusters),
    Check("aws.rights", (RIGHTS,), judge_rights),
)
