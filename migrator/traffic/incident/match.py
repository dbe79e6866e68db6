"""Decides what alarms do: the first rule of their source that matches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from migrator.model.tenant import TenantId
from migrator.plan.alarms import Rule
from migrator.traffic.incident.alarm import Alarm

Action = Literal["roll_back", "report", "breaker", "ignore", ""]

NO_RULE = "no rule"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an alarm does.

    Attributes:
        rule: number of the rule that decided, from 1 on; 0 where none did.
        action: '' where the alarm does nothing: it does not fire, or no rule matches.
        note: why it does nothing.
    """

    alarm: Alarm
    rule: int = 0
    action: Action = ""
    everybody: bool = False
    wave: int | None = None
    tenants: tuple[TenantId, ...] = ()
    note: str = ""

    @property
    def without_rule(self) -> bool:
        """Whether it fires, and does nothing because no rule matches."""
        return self.alarm.firing and self.note.startswith(NO_RULE)

    @property
    def target(self) -> str:
        """What it is about, in words."""
        return target_of(self.everybody, self.wave, self.tenants)


def target_of(everybody: bool, wave: int | None, tenants: Sequence[TenantId]) -> str:
    """Return `all`, `wave 3` or `tenant 7, 8`; '' where there is no target."""
    if everybody or wave:
        return "all" if everybody else f"wave {wave}"
    return f"tenant {', '.join(t[:100] for t in tenants[:5])}{', …' if len(tenants) > 5 else ''}" if tenants else ""


def decide(alarm: Alarm, rules: Sequence[Rule]) -> Decision:
    """Return what *alarm* does by *rules*."""
    if not alarm.firing:
        return Decision(alarm, note="not firing")
    without_label = ""
    for number, rule in enumerate(rules, 1):
        if not _matches(alarm, rule):
            continue
        if rule.tenant_label is not None and rule.tenant_label not in alarm.labels:
            without_label = f"; rule {number} would match, but the alarm has no label {rule.tenant_label}"
            continue
        tenants = [alarm.labels[rule.tenant_label]] if rule.tenant_label else rule.tenants
        return Decision(alarm, number, rule.action, rule.all, rule.wave, tuple(map(TenantId, tenants)))
    return Decision(alarm, note=f"{NO_RULE}{without_label}")


def _matches(alarm: Alarm, rule: Rule) -> bool:
    return matches(rule.alarm, alarm.name) and all(
        label in alarm.labels and matches(pattern, alarm.labels[label]) for label, pattern in rule.labels.items()
    )


def matches(pattern: str, text: str) -> bool:
    """Return whether *text* is *pattern*: `*` stands for any characters, `?` for one, `\\` makes the next one plain.

    Brackets are plain: names like "[prod] p99" are common. In time proportional to both lengths, whatever they are.
    """
    wanted = _parts(pattern)
    at = back = 0
    star = -1
    for_text = 0
    while for_text < len(text):
        if at < len(wanted) and wanted[at] == _ANY:
            star, back, at = at, for_text, at + 1
        elif at < len(wanted) and wanted[at] in (_ONE, text[for_text]):
            at, for_text = at + 1, for_text + 1
        elif star >= 0:
            back += 1
            at, for_text = star + 1, back
        else:
            return False
    return all(part == _ANY for part in wanted[at:])


_ANY, _ONE = "any", "one"  # no single character, so none of a text


def _parts(pattern: str) -> list[str]:
    """Return the characters of *pattern*, and _ANY and _ONE where it has a star and a question mark."""
    parts: list[str] = []
    plain = False
    for character in pattern:
        if plain:
            parts.append(character)
            plain = False
        elif character == "\\":
            plain = True
        elif character == "*":
            if parts[-1:] != [_ANY]:
                parts.append(_ANY)
        else:
            parts.append(_ONE if character == "?" else character)
    return [*parts, "\\"] if plain else parts
