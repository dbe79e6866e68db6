"""Reads a router's plan, and holds a verdict against it. Pure.

A plan ends with `Single Shard Optimized` where the router sends the whole statement to one shard; otherwise it names
the slices that it reads, as `orders_fs00003` (AWS: Aurora User Guide, single-shard queries).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

MARKER = "Single Shard Optimized"
_SLICE = re.compile(r"\b\w+_fs(\d{5})\b")


class Answer(StrEnum):
    """Where a plan runs."""

    OPTIMIZED = "single_shard_optimized"  # the whole statement on one shard
    ONE = "one_shard"  # rows of one shard, worked on by the router
    SEVERAL = "several_shards"
    NONE = "no_shard"  # no slice of a sharded table is read
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Held:
    """A verdict beside an answer.

    Attributes:
        agrees: None when the answer decides nothing.
        contradicts: the audit promised less cost, or more success, than the cluster gives.
    """

    agrees: bool | None
    why: str
    contradicts: bool = False


def read(plan: Sequence[str]) -> Answer:
    """Return where *plan*, the lines of EXPLAIN, runs."""
    if any(line.strip() == MARKER for line in plan):
        return Answer.OPTIMIZED
    slices = {number for line in plan for number in _SLICE.findall(line)}
    return (Answer.NONE, Answer.ONE)[len(slices)] if len(slices) < 2 else Answer.SEVERAL


def worst(answers: Iterable[Answer]) -> Answer:
    """Return the answer that holds whatever the values are; a plan that reads nothing says nothing."""
    order = (Answer.NONE, Answer.OPTIMIZED, Answer.ONE, Answer.SEVERAL)
    return max(answers, key=order.index)


def hold(verdict: str, rules: Collection[str], refused: bool, answer: Answer, said: str = "") -> Held:
    """Return whether *answer* bears out *verdict*.

    Args:
        rules: those that the statement meets; some say that a statement of one shard is not optimized.
        refused: the audit says that Limitless refuses the statement as written.
        said: the cluster's words for a refusal.
    """
    if answer is Answer.REFUSED:
        if refused:
            return Held(True, f"refused, as the audit says: {said}")
        return Held(False, f"Limitless refuses it: {said}", contradicts=True)
    if refused:
        return Held(None, "refused by the audit, planned by the cluster: only running it would show")
    if verdict in ("reference_only", "no_table"):
        several = answer is Answer.SEVERAL
        return Held(not several, "the plan reads several shards" if several else "no sharded table", several)
    if answer is Answer.NONE:
        return Held(None, "the plan reads no shard with the values tried")
    if verdict == "single_shard":
        return _single(rules, answer)
    if verdict == "multi_shard_keys":
        return Held(True, "the shards of its keys")
    if answer is Answer.SEVERAL:
        return Held(True, "several shards")
    return Held(False, "one shard is enough: the audit is stricter than the cluster")


def _single(rules: Collection[str], answer: Answer) -> Held:
    if answer is Answer.OPTIMIZED:
        return Held(True, "single-shard optimized")
    announced = sorted(r for r in rules if r.startswith("LIM-QRY-") or r == "LIM-OBJ-11")
    if announced:
        return Held(True, f"not optimized, as {', '.join(announced)} says")
    if answer is Answer.ONE:
        return Held(False, "one shard, but not single-shard optimized: the router works on its rows", contradicts=True)
    return Held(False, "the plan reads several shards", contradicts=True)
