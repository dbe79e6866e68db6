"""Judges what preflight found: which of it keeps dual write, or the end, from beginning. Pure.

Nothing seen is not nothing there: what was not watched, or not answered, blocks as what was found does. Each finding
may be acknowledged in the plan, by its code or by code and subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from migrator.control.sighting import WRITER, Seen, is_ours
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.preflight.facts import Limits, PreflightFacts, Server, Stage
from migrator.preflight.known import looks_like
from migrator.preflight.support import ends

DAY_S = 86_400.0
HOURS_SHARE = 0.8
"""Of the hours that should have been watched, so many must have been: workers are deployed now and then."""

FRESH_S = 2 * 3600.0
"""The last look began at most so long ago: looks are counted by the hour."""


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """One thing that preflight says.

    Attributes:
        code: "preflight.session"; with ":" and *subject* behind it the name to acknowledge it by.
        do: what to do next; '' for a note.
        stages: before which of them it blocks; none for a note.
        heals_by_itself: it clears with time.
        acknowledged: the plan accepts it.
    """

    code: str
    subject: str
    text: str
    do: str = ""
    stages: frozenset[Stage] = frozenset()
    heals_by_itself: bool = False
    acknowledged: bool = False

    @property
    def name(self) -> str:
        """What to write into gates.acknowledged."""
        return f"{self.code}:{self.subject}" if self.subject else self.code

    def blocks(self, stage: Stage) -> bool:
        return stage in self.stages and not self.acknowledged


BOTH = frozenset(Stage)
AT_THE_END = frozenset({Stage.END})


def findings(facts: PreflightFacts, limits: Limits, acknowledged: Collection[str] = ()) -> tuple[PreflightFinding, ...]:
    """Return everything there is to say, what blocks before notes."""
    found = [
        *_version("classic", facts.classic, facts, limits),
        *_version("Limitless", facts.limitless, facts, limits),
        *_aws(facts, limits),
        *_watched(facts, limits),
        *_sessions(facts, limits),
        *_replication(facts, limits),
        *_elsewhere(facts),
    ]
    marked = [
        PreflightFinding(f.code, f.subject, f.text, f.do, f.stages, f.heals_by_itself,
                         f.code in acknowledged or f.name in acknowledged)
        for f in found
    ]  # fmt: skip
    return tuple(sorted(marked, key=lambda f: not f.stages))


def blockers(found: Iterable[PreflightFinding], stage: Stage) -> tuple[Blocker, ...]:
    """Return the blockers of *stage*, in the operator's words."""
    return tuple(
        Blocker(f.code, f.subject, f"{f.text}; {f.do} (or acknowledge {f.name})", f.heals_by_itself)
        for f in found
        if f.blocks(stage)
    )


# -- both sides ------------------------------------------------------------------------------------------------------


def _version(side: str, server: Server | None, facts: PreflightFacts, limits: Limits) -> Iterator[PreflightFinding]:
    if server is None:
        yield PreflightFinding("preflight.version_unknown", side, f"{side} does not say its version",
                               "have it answer", BOTH, True)  # fmt: skip
        return
    engine = "Aurora PostgreSQL" if server.aurora or side == "Limitless" else "PostgreSQL"
    end = ends(server.version_num, server.aurora)
    major = server.version_num // 10_000
    name = f"{side} runs {engine} {server.version}"
    if end is None:
        text = f"{name}: how long version {major} is supported is not known to this release"
        yield PreflightFinding("preflight.version_unknown", side, text, "look it up", BOTH)
        return
    needed = facts.classic.at.date() + timedelta(days=limits.needed_days)
    if end < facts.classic.at.date():
        text = f"{name}, whose standard support ended on {end:%Y-%m-%d}"
        yield PreflightFinding("preflight.version_unsupported", side, text, "upgrade it", BOTH)
    elif end < needed:
        text = f"{name}, whose standard support ends on {end:%Y-%m-%d}, before the migration may (runway.weeks)"
        yield PreflightFinding("preflight.version_unsupported", side, text, "upgrade it", BOTH)
    else:
        yield PreflightFinding("preflight.version", side, f"{name}, supported until {end:%Y-%m-%d}")


def _aws(facts: PreflightFacts, limits: Limits) -> Iterator[PreflightFinding]:
    aws = facts.aws
    if not aws.asked:
        return
    for why in aws.unknown:
        yield PreflightFinding("preflight.aws_unknown", "", f"not known from AWS: {why}",
                               "have this identity read it", BOTH, True)  # fmt: skip
    if len(set(aws.regions.values())) > 1:
        places = ", ".join(f"{name} in {region}" for name, region in sorted(aws.regions.items()))
        text = f"the clusters are in different regions: {places}"
        yield PreflightFinding("preflight.region_differs", "", text, "make them in one region", BOTH)
    if aws.redundancy is not None and aws.redundancy < limits.redundancy:
        text = f"the shard group has a compute redundancy of {aws.redundancy}, the plan wants {limits.redundancy}"
        yield PreflightFinding("preflight.redundancy_low", "", text, "raise it: migrator cluster modify", BOTH)
    for name, protected in sorted(aws.protected.items()):
        if not protected:
            # At the end a person switches classic's off, so that it can be deleted.
            stages = BOTH if name == limits.limitless_cluster else frozenset({Stage.DUAL_WRITE})
            text = f"cluster {name} is not protected from deletion"
            yield PreflightFinding("preflight.unprotected", name, text, "switch deletion protection on", stages)
    for name in aws.deprecated:
        text = f"AWS calls the engine version of cluster {name} deprecated"
        yield PreflightFinding("preflight.version_deprecated", name, text, "upgrade it", BOTH)
    for name, newer in sorted(aws.newer.items()):
        yield PreflightFinding("preflight.minor", name, f"cluster {name} could be brought to minor version {newer}")
    if aws.denied is None:
        text = "whether this identity may take a snapshot of classic and delete it is not known: no simulation"
        yield PreflightFinding("preflight.rights_unknown", "", text, "allow iam:SimulatePrincipalPolicy", BOTH)
    elif aws.denied:
        text = f"this identity may not do {', '.join(aws.denied)}"
        yield PreflightFinding("preflight.rights_missing", "", text, "add these actions to its policy", BOTH)
    for name in aws.integrations:
        text = f"the zero-ETL integration {name} reads classic, and ends with it"
        yield PreflightFinding("preflight.integration", name, text, "move it to Limitless, or end it", AT_THE_END)
    if aws.instances is not None and aws.instances > 1 and limits.readers == 0:
        text = (
            f"classic's cluster has {counted(aws.instances - 1, 'reader')}, and the plan names none: who reads there "
        )
        text += "is not seen"
        yield PreflightFinding("preflight.readers_unwatched", "", text, "name them in classic.readers", AT_THE_END)


# -- who uses classic ------------------------------------------------------------------------------------------------


def _watched(facts: PreflightFacts, limits: Limits) -> Iterator[PreflightFinding]:
    if not facts.sees_all:
        text = "the tool's role does not see the sessions of others on classic"
        yield PreflightFinding("preflight.sessions_hidden", "", text, "GRANT pg_monitor to it", BOTH)
    if not limits.watched_days:
        return
    wanted = limits.watched_days * 24
    by_server = {line.server: line for line in facts.watched}
    for server in facts.servers:
        line = by_server.get(server)
        where = "classic's writer" if server == WRITER else server
        if line is None:
            text = f"who uses {where} was never watched (limit {limits.watched_days:g} days)"
        elif line.for_s < limits.watched_days * DAY_S - 3600:
            text = f"who uses {where} is watched since {line.since:%Y-%m-%d %H:%M} (limit {limits.watched_days:g} days)"
        elif line.hours < wanted * HOURS_SHARE:
            text = f"who uses {where} was watched in {line.hours} of the last {wanted:.0f} hours"
        elif line.last_s > FRESH_S:
            text = f"who uses {where} was last looked at {line.last_s / 3600:.0f} hours ago"
        else:
            text = f"{where} is watched since {line.since:%Y-%m-%d %H:%M}, {line.hours} of the last {wanted:.0f} hours"
            yield PreflightFinding("preflight.watched", server, text)
            continue
        yield PreflightFinding("preflight.not_watched", server, text, "keep a worker running", AT_THE_END, True)


def _sessions(facts: PreflightFacts, limits: Limits) -> Iterator[PreflightFinding]:
    for one in facts.seen:
        if one.kind != "session" or one.age_s > limits.quiet_days * DAY_S or is_ours(one.application, facts.processes):
            continue
        subject = f"{one.role}/{one.application or 'unnamed'}"
        yield PreflightFinding(
            "preflight.session", subject, f"{_who(one)} still uses classic", "move it to Limitless, or end it",
            AT_THE_END,
        )  # fmt: skip


def _who(one: Seen) -> str:
    application = f'"{one.application}"' if one.application else "an application without a name"
    addresses = ", ".join(address or "a local socket" for address in one.addresses)
    more = f" and {one.clients - len(one.addresses)} more" if one.clients > len(one.addresses) else ""
    where = "" if one.server == WRITER else f" on {one.server}"
    return (
        f"{application}{looks_like(one.application)} of role {one.role or '(none)'}"
        f" in database {one.database or '(none)'}"
        f"{where}, from {addresses}{more}, seen {one.first_at:%Y-%m-%d %H:%M} to {one.last_at:%Y-%m-%d %H:%M} UTC,"
    )


def _replication(facts: PreflightFacts, limits: Limits) -> Iterator[PreflightFinding]:
    for slot in facts.slots:
        if slot.kind == "physical":
            continue
        reader = (
            f'read by "{slot.application}"{looks_like(slot.application)} of role {slot.role}'
            if slot.active
            else ("not read at this moment")
        )
        text = f"logical slot {slot.name} ({slot.plugin}) is {reader}; what it feeds ends with classic"
        yield PreflightFinding("preflight.slot", slot.name, text, "move its consumer, drop the slot", AT_THE_END)
    followers = _followers(facts, limits)
    if len(followers) > limits.readers:
        names = ", ".join(f"{name or 'unnamed'} at {address or 'a local socket'}" for name, address in followers)
        streams = counted(len(followers), "client streams", "clients stream")
        text = f"{streams} classic's log, the plan names {counted(limits.readers, 'reader')}: {names}"
        yield PreflightFinding("preflight.walsender", "", text, "say who it is, and end it", AT_THE_END)
    for name in facts.subscriptions:
        text = f"subscription {name} brings rows to classic, which will go nowhere"
        yield PreflightFinding("preflight.subscription", name, text, "have them brought to Limitless", AT_THE_END)
    for name in facts.dms:
        text = f"AWS DMS has left {name} on classic: a task may read from it"
        yield PreflightFinding("preflight.dms", name, text, "end the task, drop what it left", AT_THE_END)
    if facts.replication_roles:
        text = f"roles that may replicate: {', '.join(facts.replication_roles)}"
        yield PreflightFinding("preflight.replication_roles", "", text)
    if facts.publications:
        yield PreflightFinding("preflight.publications", "", f"publications: {', '.join(facts.publications)}")


def _followers(facts: PreflightFacts, limits: Limits) -> list[tuple[str, str]]:
    """Return the application and address of each walsender that feeds no logical slot."""
    logical = {slot.application for slot in facts.slots if slot.active and slot.kind == "logical"}
    return sorted(
        {
            (one.application, address)
            for one in facts.seen
            if one.kind == "walsender" and one.age_s < limits.quiet_days * DAY_S and one.application not in logical
            for address in one.addresses
        }
    )


def _elsewhere(facts: PreflightFacts) -> Iterator[PreflightFinding]:
    host, port = facts.classic_host
    for server in facts.foreign_servers:
        what = f"foreign server {server.name} on {server.side}"
        if (server.host, server.port or "5432") == (host, str(port)):
            text = f"{what} leads to classic"
            yield PreflightFinding("preflight.foreign_server", server.name, text, "let it lead elsewhere", AT_THE_END)
        elif server.side == "classic":
            yield PreflightFinding("preflight.foreign_servers", server.name, f"{what} ends with classic")
    for name in facts.databases:
        text = f"classic's cluster holds another database, {name}, which ends with it"
        yield PreflightFinding("preflight.database", name, text, "move it first", AT_THE_END)
