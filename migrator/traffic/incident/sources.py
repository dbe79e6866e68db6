"""The plan's section [alarms] with its secrets, as the webhook has them at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from migrator.errors import ClusterUnavailable, UsageError
from migrator.plan.alarms import SOURCES, Alarms, Rule
from migrator.traffic.incident.caller import SHORTEST_SECRET


@dataclass(frozen=True, slots=True)
class Sources:
    """Whose alarms are taken, and what proves their senders.

    Attributes:
        secrets: by source; of those that have one that can be had.
        problems: by source: why its secret cannot be had.
    """

    alarms: Alarms = field(default_factory=Alarms)
    secrets: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def configured(self) -> tuple[str, ...]:
        """The sources whose alarms are taken."""
        return tuple(name for name in SOURCES if getattr(self.alarms, name).configured)

    def rules(self, source: str) -> list[Rule]:
        """Return the rules of *source*."""
        found: list[Rule] = getattr(self.alarms, source).rules
        return found


def resolved(alarms: Alarms, resolve: Callable[[str], str]) -> Sources:
    """Return *alarms* with the secrets that *resolve* finds for its references."""
    secrets, problems = {}, {}
    for name in SOURCES:
        reference = getattr(alarms, name).secret
        if reference is None:
            continue
        try:
            secret = resolve(reference)
        except (UsageError, ClusterUnavailable) as error:
            problems[name] = str(error)
            continue
        if len(secret) < SHORTEST_SECRET:
            problems[name] = f"the secret is shorter than {SHORTEST_SECRET} characters"
        else:
            secrets[name] = secret
    return Sources(alarms, secrets, problems)
