"""What preflight looks at, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from migrator.control.sighting import Seen, Watched


class Stage(StrEnum):
    """What is about to begin."""

    DUAL_WRITE = "dual_write"
    END = "end"  # the point of no return


@dataclass(frozen=True, slots=True)
class Server:
    """What a side runs. at: its clock."""

    version_num: int
    version: str
    aurora: bool
    at: datetime
    port: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot, and who reads it now. kind: physical or logical."""

    name: str
    plugin: str
    kind: str
    database: str
    active: bool
    role: str
    application: str
    client: str


@dataclass(frozen=True, slots=True)
class ForeignServer:
    """A foreign server of PostgreSQL. side: where it is defined."""

    name: str
    wrapper: str
    host: str
    port: str
    side: str = "classic"


@dataclass(frozen=True, slots=True)
class Aws:
    """What AWS says. None stands for unknown, with the reason in `unknown`; '' or () for nothing.

    Attributes:
        asked: the plan names something of AWS.
        regions: of both clusters, by their names.
        protected: whether each cluster is protected from deletion, by its name.
        redundancy: standbys of the shard group.
        instances: of classic's cluster, the writer among them.
        denied: actions that this identity may not do; None: no simulation.
        newer: the newest minor version that each cluster could be brought to, by its name.
        deprecated: clusters whose engine version AWS calls deprecated.
        integrations: zero-ETL integrations that read classic.
        unknown: what AWS did not answer, and why.
    """

    asked: bool = False
    regions: Mapping[str, str] = field(default_factory=dict)
    protected: Mapping[str, bool] = field(default_factory=dict)
    redundancy: int | None = None
    instances: int | None = None
    denied: tuple[str, ...] | None = ()
    newer: Mapping[str, str] = field(default_factory=dict)
    deprecated: tuple[str, ...] = ()
    integrations: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreflightFacts:
    """Everything that is judged.

    Attributes:
        limitless: None where it did not answer.
        classic_host: as this tool reaches it, with its port.
        sees_all: whether the tool's role sees the sessions of others.
        servers: that have to be watched: the writer, and the plan's readers.
        processes: names of the processes that run, or ran, the shim.
        dms: what AWS DMS left on classic.
    """

    classic: Server
    limitless: Server | None
    classic_host: tuple[str, int]
    sees_all: bool
    servers: tuple[str, ...]
    seen: tuple[Seen, ...] = ()
    watched: tuple[Watched, ...] = ()
    processes: frozenset[str] = frozenset()
    slots: tuple[Slot, ...] = ()
    subscriptions: tuple[str, ...] = ()
    publications: tuple[str, ...] = ()
    foreign_servers: tuple[ForeignServer, ...] = ()
    databases: tuple[str, ...] = ()
    replication_roles: tuple[str, ...] = ()
    dms: tuple[str, ...] = ()
    aws: Aws = Aws()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan says.

    Attributes:
        needed_days: from now on until classic is retired, at most.
        redundancy: standbys that the plan wants.
        readers: of the plan.
        releases: whether classic is retired by this tool.
    """

    watched_days: float = 7
    quiet_days: float = 7
    needed_days: float = 168
    redundancy: int = 1
    readers: int = 0
    classic_cluster: str | None = None
    limitless_cluster: str | None = None
    releases: bool = True
