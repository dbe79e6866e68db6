"""Which servers are asked: those of the plan, and those that the environment names."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from migrator import settings
from migrator.control import plan as store
from migrator.control.install import installed_version
from migrator.db.connect import connect
from migrator.db.error_text import server_message
from migrator.doctor.facts import Kind, Server
from migrator.doctor.reach import APP, CONNECT_S, STATEMENT_S
from migrator.errors import MigratorError, PlanInvalid
from migrator.plan.load import dump, from_earlier, load
from migrator.plan.schema import Plan


@dataclass(frozen=True)
class Targets:
    """The servers that are asked, and the plan that names them.

    Attributes:
        problems: why there is no plan.
        source: where it was found, or looked for.
    """

    plan: Plan | None
    problems: tuple[str, ...]
    source: str
    servers: tuple[Server, ...]


def find(option: Path | None) -> Targets:
    """Return the servers of --plan, else of MIGRATOR_PLAN, else of the plan stored on classic.

    A plan that cannot be used is a finding like any other: classic is asked all the same where it is known.
    """
    path = option or settings.plan_path()
    dsn, unread = _classic()
    if path is not None:
        plan, problems = _from_file(path)
        source = str(path)
    elif unread:
        plan, source, problems = None, "MIGRATOR_CLASSIC_DSN", (unread,)
    elif dsn is not None:
        plan, problems = _stored(dsn)
        source = "the plan stored on classic"
    else:
        plan, source = None, ""
        problems = ("no plan is given, and classic is not known either",)
    return Targets(plan, problems, source, _servers(plan, dsn))


def _classic() -> tuple[str | None, str]:
    """The connection string of MIGRATOR_CLASSIC_DSN or the local servers, or why what it refers to cannot be read."""
    try:
        return settings.classic_dsn(), ""
    except MigratorError as error:
        return None, f"the connection string cannot be had: {error}"


def _from_file(path: Path) -> tuple[Plan | None, tuple[str, ...]]:
    try:
        return load(path), ()
    except PlanInvalid as error:
        return None, error.problems
    except MigratorError as error:
        return None, (str(error),)
    except OSError as error:
        return None, (f"{path}: {(error.strerror or type(error).__name__).lower()}",)


def _stored(dsn: str) -> tuple[Plan | None, tuple[str, ...]]:
    """The stored plan; why classic does not answer is for the check of the way to it to say."""
    answer: list[tuple[Plan | None, tuple[str, ...]]] = []
    asking = threading.Thread(target=lambda: answer.append(_from_classic(dsn)), daemon=True)
    asking.start()
    asking.join(CONNECT_S + STATEMENT_S)  # a name server that does not answer is not waited for
    return answer[0] if answer else (None, ("it cannot be read: classic does not answer",))


def _from_classic(dsn: str) -> tuple[Plan | None, tuple[str, ...]]:
    try:
        with connect(dsn, APP, statement_timeout_s=STATEMENT_S, connect_timeout_s=CONNECT_S, side="classic") as conn:
            found = store.stored(conn) if installed_version(conn) is not None else None
        if found is None:
            return None, ("none is stored on classic: nothing was started there",)
        return from_earlier(found.body), ()
    except PlanInvalid as error:
        return None, error.problems
    except MigratorError as error:
        return None, (f"it cannot be read: {error}",)
    except psycopg.Error as error:
        return None, (f"it cannot be read: {server_message(error)}",)


def _servers(plan: Plan | None, dsn: str | None) -> tuple[Server, ...]:
    here = Server(Kind.HERE, "this machine")
    if plan is None:
        return (here, Server(Kind.CLASSIC, "classic")) if dsn is not None else (here,)
    readers: Sequence[str] = plan.classic.readers
    names = [f"reader {n}" if len(readers) > 1 else "reader" for n in range(1, len(readers) + 1)]
    aws = (Server(Kind.AWS, "AWS"),) if uses_aws(plan) else ()
    return (
        here,
        Server(Kind.CLASSIC, "classic", plan.classic.writer),
        *(Server(Kind.READER, name, reference) for name, reference in zip(names, readers, strict=True)),
        Server(Kind.LIMITLESS, "Limitless", plan.limitless.dsn),
        Server(Kind.TEMPORAL, "Temporal"),
        *aws,
    )


def references(plan: Plan) -> list[str]:
    """Return every reference of the plan to something secret: connection strings, addresses, tokens."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, Mapping):
            for inner in value.values():
                yield from texts(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from texts(inner)
        elif isinstance(value, str) and value.startswith(("env:", "file:", "aws-secret:", "rds-iam:", "local:")):
            yield value

    return list(texts(dump(plan)))


def uses_aws(plan: Plan) -> bool:
    """Return whether the plan names anything of AWS."""
    clusters = (plan.classic.cluster_id, plan.limitless.cluster_id, plan.limitless.shard_group_id)
    return any(clusters) or any(reference.startswith(("aws-secret:", "rds-iam:")) for reference in references(plan))
