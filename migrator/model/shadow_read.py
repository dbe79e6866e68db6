"""Shadow reads, as values: what was found of each statement, and what of it keeps a wave from beginning."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from migrator.model.blocker import Blocker
from migrator.model.counted import counted

DIFFER = "reads.differ"
"""Code of a statement whose answers differ. With ":" and its fingerprint behind it, `gates.acknowledged` accepts it."""

NONE_COMPARED = "reads.not_compared"
"""Code of the blocker that says that nothing was compared although the plan wants it; `gates.acknowledged` takes it."""

READS_HINT = "See both answers' difference: migrator reads; compare the rows: migrator validate --tenant ID"

NAMED = 3

FEWEST_CLEAN = 100
CHANCE = 0.001
"""A difference counts as corrected after so many clean reads that, had nothing been corrected, its share of the reads
before would have left them clean by such a chance at most (`ShadowLine.clean_needed`)."""

QUIET_S = 3600.0
"""And not before so long, nor before as long as it was seen: what a nightly job meets is not gone at noon."""


@dataclass(frozen=True, slots=True)
class ShadowTotals:
    """Shadow reads together.

    Attributes:
        compared: decided: the same, in another order, or different.
        reordered: the same rows in another order; within `compared`, as `differing`.
        undecided: nothing is known of these: rows changed meanwhile, or a side did not answer.
    """

    compared: int = 0
    differing: int = 0
    reordered: int = 0
    undecided: int = 0


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """Shadow reads of one statement.

    Attributes:
        statement: without values.
        note: what was seen last that was not the same, without values of rows.
        tenant_count, tenants: whose answers differed: how many, and the first few.
        first_at, last_at: when answers differed; None: never.
        clean: of `compared`, decided since the last difference, all of them without one.
        quiet_s: since the last difference.
    """

    fingerprint: str
    statement: str
    note: str
    compared: int
    differing: int
    reordered: int
    undecided: int
    tenant_count: int = 0
    tenants: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None
    clean: int = 0
    quiet_s: float = 0.0

    @property
    def clean_needed(self) -> int:
        """How many reads without a difference show that its cause is corrected."""
        share = self.differing / max(self.compared - self.clean, self.differing, 1)
        return max(FEWEST_CLEAN, math.ceil(math.log(CHANCE) / math.log1p(-share))) if 0 < share < 1 else FEWEST_CLEAN

    @property
    def quiet_needed_s(self) -> float:
        if self.first_at is None or self.last_at is None:
            return QUIET_S
        return max(QUIET_S, (self.last_at - self.first_at).total_seconds())

    @property
    def corrected(self) -> bool:
        """Whether enough was read without a difference since the last one."""
        return self.clean >= self.clean_needed and self.quiet_s >= self.quiet_needed_s

    @property
    def since(self) -> str:
        """What was read since the last difference, and what it takes, in a few words."""
        return (
            f"{self.clean:,} of {self.clean_needed:,} clean reads since, in {self.quiet_s / 3600:.1f} of"
            f" {self.quiet_needed_s / 3600:.1f} h"
        )

    @property
    def name(self) -> str:
        """What `gates.acknowledged` takes to accept that its answers differ."""
        return f"{DIFFER}:{self.fingerprint}"

    @property
    def whose(self) -> str:
        """Whose answers differed, in a few words."""
        more = self.tenant_count - len(self.tenants[:NAMED])
        return ", ".join(self.tenants[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def differing(lines: Iterable[ShadowLine], acknowledged: Collection[str]) -> Iterator[ShadowLine]:
    """Yield the statements whose answers differ, that were not corrected since, and that the plan does not accept."""
    accepted_all = DIFFER in acknowledged
    return (
        line
        for line in lines
        if line.differing and not line.corrected and not accepted_all and line.name not in acknowledged
    )


def blockers(
    lines: Iterable[ShadowLine], totals: ShadowTotals, asked: bool, acknowledged: Collection[str], days: float
) -> tuple[Blocker, ...]:
    """Return what shadow reads of the last *days* have against moving reads. Pure.

    Args:
        asked: the plan has shims compare (`shim.shadow_ratio`). Then nothing compared is not nothing wrong.
    """
    found = []
    for line in differing(lines, acknowledged):
        told = (
            f"{counted(line.differing, 'shadow read')} of statement {line.fingerprint}"
            f" {'differs' if line.differing == 1 else 'differ'} (tenant {line.whose}; {line.note}; {line.since}):"
            f" {shortened(line.statement)}; see migrator reads, correct the cause and let clean reads come, or"
            f" acknowledge {line.name}"
        )
        found.append(Blocker(DIFFER, line.fingerprint, told))
    if asked and not totals.compared and NONE_COMPARED not in acknowledged:
        left = f", {totals.undecided:,} were undecided" if totals.undecided else ""
        told = (
            f"no shadow read was compared in the last {days:g} days{left}, though shim.shadow_ratio asks for them:"
            f" do applications read through the shim (run_read)? Or acknowledge {NONE_COMPARED}"
        )
        found.append(Blocker(NONE_COMPARED, "", told, True))
    return tuple(found)


def shortened(text: str, most: int = 100) -> str:
    """Return *text*, cut where it is long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
