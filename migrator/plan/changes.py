"""What would another plan change in the one that runs, and what stands in the way? Pure.

Everything that is wrong is said at once: values that cannot change, guards that are loosened without a name, and values
that go back to what an earlier version of the plan said, which is how an old copy of the file looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from migrator.model.table import Table
from migrator.plan.captured import says_the_same
from migrator.plan.change_rules import RULES, Baked, Rule
from migrator.plan.load import dump
from migrator.plan.schema import Plan, TablePlan

START_OVER = {
    False: "abort the migration and run the other plan: migrator abort, migrator run",
    True: "undo the dual write and copy everything again: migrator undo dual-write, migrator run",
}
"""What another value of a baked field takes, before capture and once it is on."""

_UNITS = (
    ("mb_per_s", "MB/s"), ("reads_per_s", "reads/s"), ("writes_per_s", "writes/s"),
    ("requests_per_s", "requests/s"), ("_ms", "ms"), ("_s", "s"),
    ("_mb", "MB"), ("_rows", "rows"), ("_tenants", "tenants"), ("_pct", "%"), ("_usd", "USD"), ("_acu", "ACU"),
    ("days", "days"),
)  # fmt: skip
_BARE = re.compile(r"^[A-Za-z0-9_-]+$")

Values = Mapping[tuple[str, ...], Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that changes.

    Attributes:
        path: the key, as the plan file spells it.
        before, after: JSON values; None where there is none.
        unit: of both; '' where the value has none.
        when: when it takes effect; '' for what cannot change.
        loosens: what it gives up, so that a person must approve it; '' where nothing.
        refused: why it cannot change, and what it would take; '' where it can.
        reverts: number of the earlier version of the plan that said the same as `after`; 0 where none did.
    """

    path: str
    before: Any
    after: Any
    unit: str = ""
    when: str = ""
    loosens: str = ""
    refused: str = ""
    reverts: int = 0

    @property
    def line(self) -> str:
        """`waves.soak_s: 86400 s → 3600 s`; of a list of entries those that differ, with their place."""
        entries = _is_entries(self.before) and _is_entries(self.after)
        if entries and (differing := _differing(self.before, self.after)):
            return f"{self.path}: {differing}"
        return f"{self.path}: {self._shown(self.before)} → {self._shown(self.after)}"

    def _shown(self, value: Any) -> str:
        if value is None:
            return "not set"
        if isinstance(value, Mapping):
            return ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in value.items())
        text = json.dumps(value, ensure_ascii=False)
        return f"{text} {self.unit}" if self.unit else text


def _is_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def _differing(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """Return `without 2 {…}; with 4 {…}`: entries that are gone by their old place, new ones by their new one."""
    old, new = [_entry_text(one) for one in before], [_entry_text(one) for one in after]
    steps = [s for s in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if s[0] != "equal"]
    gone = [f"without {n + 1} {old[n]}" for _, begin, end, _, _ in steps for n in range(begin, end)]
    come = [f"with {n + 1} {new[n]}" for _, _, _, begin, end in steps for n in range(begin, end)]
    return "; ".join([*gone, *come])


def _entry_text(entry: Mapping[str, Any]) -> str:
    said = {key: value for key, value in entry.items() if value not in (None, False, "", [], {})}
    return "{" + ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items()) + "}"


def changes(
    old: Plan, new: Plan, captured: Mapping[str, Table], earlier: Sequence[Mapping[str, Any]] = ()
) -> tuple[Change, ...]:
    """Return every value in which *new* differs from *old*, in the order of the schema.

    Args:
        captured: tables by qualified name; empty before capture.
        earlier: the versions of the plan before *old*, the first one first, as `dump` returns them.
    """
    left, right = dict(values(dump(old))), dict(values(dump(new)))
    past = [dict(values(body)) for body in earlier]
    found = []
    for path in [*right, *(p for p in left if p not in right)]:
        before, after = left.get(path), right.get(path)
        if before == after:
            continue
        back = next((n for n, version in enumerate(past, 1) if version.get(path) == after), 0)
        key = ".".join(part if _BARE.match(part) else json.dumps(part, ensure_ascii=False) for part in path)
        if path[:2] == ("notify", "receiver"):
            when, loosens, refused = _value(RULES["notify.receiver"], before, after, bool(captured))
        elif path[:2] == ("tables", "table"):
            when, loosens, refused = _entry(path[2], _said(after), new.tables.tenant_key, captured, before)
        else:
            when, loosens, refused = _value(RULES[".".join(path)], before, after, bool(captured))
        found.append(Change(key, before, after, unit_of(path[-1]), when, loosens, refused, back))
    return tuple(found)


def blockers(found: Sequence[Change], approver: str | None, *, force: bool) -> tuple[str, ...]:
    """Return everything for which *found* may not be stored.

    Args:
        approver: who approves that guards are loosened, by name.
        force: values may go back to what an earlier version said.
    """
    lines = [f"{c.line}: {c.refused}" for c in found if c.refused]
    if not approver:
        lines += [f"{c.line} loosens a guard ({c.loosens}): approve it by name, --as NAME" for c in found if needs(c)]
    lines += [
        f"{c.line} goes back to version {c.reverts} of the plan: is the file an old copy? If it is meant: --force"
        for c in found
        if c.reverts and not c.refused and not force
    ]
    return tuple(lines)


def needs(change: Change) -> bool:
    """Whether a person must approve *change*."""
    return bool(change.loosens) and not change.refused


def values(body: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each value of *body* by its path, sections within sections too; an entry for a table, or for a
    receiver, is one value."""
    yield from _values(body, ())


def _values(body: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in body.items():
        path = (*above, key)
        if path in (("tables", "table"), ("notify", "receiver")):
            for name, entry in value.items():
                yield (*path, name), {k: v for k, v in entry.items() if v is not None}
        elif isinstance(value, Mapping) and (not above or ".".join(path) not in RULES):
            yield from _values(value, path)
        else:
            yield path, value


def unit_of(field: str) -> str:
    """Return the unit that a field has in its name; '' where it has none."""
    return next((unit for ending, unit in _UNITS if field.endswith(ending)), "")


def _said(entry: Any) -> TablePlan | None:
    return TablePlan(**entry) if entry is not None else None


def _value(rule: Rule, before: Any, after: Any, capturing: bool) -> tuple[str, str, str]:
    """Return when a change takes effect, what it loosens, and why it is refused."""
    if isinstance(rule, Baked):
        return "", "", f"{rule.why}; {rule.instead or START_OVER[capturing]}"
    loosens = rule.why if rule.loosens is not None and rule.loosens(before, after) else ""
    return rule.when, loosens, ""


def _entry(
    name: str, entry: TablePlan | None, tenant_key: str, captured: Mapping[str, Table], before: Any
) -> tuple[str, str, str]:
    """The same for the entry of one table: it may say what capture knows, or that the table stays behind."""
    rule = RULES["tables.table"]
    assert not isinstance(rule, Baked)
    if table := captured.get(name):
        if entry is None or says_the_same(entry, table, tenant_key):
            return "nothing changes: the table is captured as that", "", ""
        return "", "", f"the table is captured as something else; {START_OVER[True]}"
    if entry is not None and entry.kind == "excluded":
        return rule.when, rule.why, ""
    if entry is None and (captured or before["kind"] == "excluded"):
        return rule.when, "", ""  # the inventory asks about it again
    if captured:
        why = "no such table is captured. A new one comes with migrator schema apply, and its entry then; for one that"
        return "", "", f"{why} is there: {START_OVER[True]}"
    return "", "", f"the phases so far were about other tables; {START_OVER[False]}"
