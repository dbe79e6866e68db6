"""Every field of a plan is live, live with an approval when it loosens a guard, or baked; and says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_origin

import pytest
from pydantic import BaseModel

from migrator.model.table import Hop, Table, TableKind
from migrator.plan.change_rules import RULES, Baked, Live
from migrator.plan.changes import Change, blockers, changes, unit_of
from migrator.plan.governance import Approver
from migrator.plan.load import dump
from migrator.plan.notify import Receiver
from migrator.plan.schema import Plan, TablePlan

BASE: dict[str, Any] = {
    "name": "shop",
    "classic": {"writer": "env:A"},
    "limitless": {"dsn": "env:B"},
    "backfill": {"mb_per_s": 20.0},
    "tables": {"table": {"app.old": {"kind": "excluded"}, "app.rate": {"kind": "reference"}}},
    "gates": {"acknowledged": ["AUD-EVD-05:statements"]},
}


def plan(**sections: dict[str, Any]) -> Plan:
    return Plan.model_validate({**BASE, **{key: {**BASE.get(key, {}), **value} for key, value in sections.items()}})


def fields(model: type[BaseModel], *path: str) -> Iterator[str]:
    """Every value of the schema by its path; `*` stands for a table's name."""
    for name, found in model.model_fields.items():
        inner = next(
            (c for c in (found.annotation, *getattr(found.annotation, "__args__", ())) if _is_section(c)), None
        )
        if get_origin(found.annotation) is list:
            inner = None  # a list of rules is one value
        if inner is None or inner in (TablePlan, Receiver, Approver) or name == "rehearsal":
            yield ".".join((*path, name))
        if inner is not None and inner not in (Receiver, Approver):  # each is one value
            yield from fields(inner, *path, name, *(("*",) if inner is TablePlan else ()))


def _is_section(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def test_every_field_of_the_schema_has_its_rule() -> None:
    """A new field needs an answer; a rule for a field that is gone is a mistake."""
    assert sorted(RULES) == sorted(fields(Plan))


def test_every_rule_says_what_a_person_has_to_know() -> None:
    for path, rule in RULES.items():
        assert rule.why if isinstance(rule, Baked) else rule.when, path
        assert not isinstance(rule, Live) or bool(rule.loosens) is bool(rule.why), path


@pytest.mark.parametrize(
    ("section", "field", "tighter", "looser"),
    [
        ("waves", "soak_s", 90_000.0, 60.0),
        ("waves", "sizes", [5, 20], [5, 25, 101]),
        ("waves", "sizes", [5, 25, 100, 50], [6]),
        ("waves", "ramp_pct", [10, 100], None),
        ("waves", "hot_ramp_pct", [5, 10, 50, 100], [20, 50, 100]),
        ("waves", "hot_ramp_pct", [10, 30, 60, 100], [50, 100]),
        ("waves", "approve_each", True, None),
        ("waves", "window_s", None, 61.0),
        ("breaker", "validate_before_close", None, False),
        ("breaker", "quorum", 0.4, 0.6),
        ("gates", "cutover", None, "auto"),
        ("gates", "acknowledged", [], ["AUD-EVD-05:statements", "another"]),
        ("stabilization", "days", 120.0, 89.9),
        ("stabilization", "on_incident", None, "pause"),
        ("validation", "share", 0.6, 0.4),
        ("decommission", "sequence_headroom", 2_000_000, 0),
        ("limitless", "compute_redundancy", 2, 0),
        ("notify", "repeat_s", 60.0, 0.0),
        ("notify", "tell_after_s", 1.0, 60.0),
        ("classic", "cluster_id", None, "another"),
    ],
)
def test_what_loosens_a_guard_needs_a_name_and_what_tightens_it_does_not(
    section: str, field: str, tighter: Any, looser: Any
) -> None:
    for value, needs in ((tighter, False), (looser, True)):
        if value is None:
            continue
        (found,) = changes(plan(), plan(**{section: {field: value}}), {})

        assert bool(found.loosens) is needs, found.line
        assert bool(blockers([found], None, force=False)) is needs
        assert blockers([found], "Ada", force=False) == ()


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("dual_write", "parts", 3),
        ("dual_write", "ring_slots", 4),
        ("tables", "tenant_key", "org_id"),
        ("tables", "schemas", ["public", "app"]),
        ("limitless", "dsn", "env:C"),
        ("limitless", "shards", 8),
        ("temporal", "address", "there:7233"),
    ],
)
def test_what_cannot_change_says_why_and_what_it_would_take(section: str, field: str, value: Any) -> None:
    """Also with a name and with force; before capture it takes less than after."""
    new = plan(**{section: {field: value}})
    (before,), (after,) = changes(plan(), new, {}), changes(plan(), new, {"app.users": captured()})

    assert blockers([after], "Ada", force=True) and before.refused and "; " in after.refused
    if field in ("parts", "ring_slots", "tenant_key", "schemas"):
        assert "migrator abort" in before.refused and "undo dual-write" in after.refused


def captured(qualified: str = "app.users", via: bool = False) -> Table:
    schema, name = qualified.split(".")
    hops = (Hop(("user_id",), "app.users", ("id",)),) if via else ()
    return Table(schema, name, TableKind.SHARDED, (), ("id",), "tenant_id", "tenant_id", path=hops)


TABLES = {"app.users": captured(), "app.note": captured("app.note", via=True)}


@pytest.mark.parametrize(
    ("name", "entry", "outcome"),
    [
        ("app.note", {"kind": "sharded", "via": "user_id -> app.users.id"}, "taken"),
        ("app.note", {"kind": "sharded", "via": "user_id->users.id", "key": ["id"]}, "taken"),
        ("app.users", {"kind": "sharded"}, "taken"),
        ("app.users", {"kind": "sharded", "tenant_column": "tenant_id"}, "taken"),
        ("app.users", {"kind": "sharded", "tenant_column": "org"}, "refused"),
        ("app.note", {"kind": "sharded", "via": "other_id -> app.users.id"}, "refused"),
        ("app.note", {"kind": "sharded"}, "refused"),
        ("app.note", {"kind": "reference"}, "refused"),
        ("app.users", {"kind": "excluded"}, "refused"),
        ("app.users", {"kind": "sharded", "key": ["name"]}, "refused"),
        ("app.later", {"kind": "excluded"}, "loosens"),
        ("app.later", {"kind": "reference"}, "refused"),
        ("app.old", {"kind": "reference"}, "refused"),
        ("app.old", None, "taken"),
    ],
)
def test_entries_of_tables_follow_what_is_captured(name: str, entry: dict[str, Any] | None, outcome: str) -> None:
    """What capture knows may be written down, what is left behind needs a name, everything else would be a lie."""
    entries = {**BASE["tables"]["table"], name: entry}
    (found,) = changes(plan(), plan(tables={"table": {k: v for k, v in entries.items() if v}}), TABLES)

    assert ("refused" if found.refused else "loosens" if found.loosens else "taken") == outcome, found


def test_an_old_copy_of_the_file_is_known_by_its_values() -> None:
    """Edited or not, however many versions ago; with --force it goes back."""
    first, second, third = plan(), plan(waves={"soak_s": 7.0}), plan(waves={"soak_s": 9.0}, shim={"ack_wait_s": 2.0})
    old_and_edited = plan(cost={"acu_hour_usd": 1.0})

    found = changes(third, old_and_edited, {}, [dump(first), dump(second)])

    assert {c.path: c.reverts for c in found} == {"waves.soak_s": 1, "shim.ack_wait_s": 1, "cost.acu_hour_usd": 0}
    assert len(blockers(found, "Ada", force=False)) == 2 and not blockers(found, "Ada", force=True)


def test_everything_wrong_is_said_at_once() -> None:
    new = plan(dual_write={"parts": 5}, waves={"soak_s": 1.0}, gates={"audit": "auto"}, shim={"max_lag_s": 50.0})

    assert len(blockers(changes(plan(), new, {}), None, force=False)) == 4


def test_a_line_has_both_values_in_their_unit() -> None:
    assert Change("waves.soak_s", 86_400.0, 60.0, unit_of("soak_s")).line == "waves.soak_s: 86400.0 s → 60.0 s"
    assert Change("backfill.mb_per_s", None, 5.0, unit_of("mb_per_s")).line == "backfill.mb_per_s: not set → 5.0 MB/s"


def told(**values: Any) -> Plan:
    receiver = {"kind": "slack", "url": "env:HOOK", **values}
    return plan(notify={"receiver": {"team": receiver} if values.get("kind") != "none" else {}})


@pytest.mark.parametrize(
    ("old", "new", "loosens"),
    [
        (told(), told(kind="none"), True),
        (told(kind="none"), told(), False),
        (told(), told(kinds=["rollback"]), True),
        (told(kinds=["rollback"]), told(), False),
        (told(kinds=["rollback"]), told(kinds=["rollback", "fallback"]), False),
        (told(), told(severity="error"), True),
        (told(severity="critical"), told(severity="error"), False),
        (told(), told(kind="pagerduty", url=None, key="env:KEY"), True),
        (told(url="env:A"), told(url="env:B"), False),
    ],
)
def test_telling_somebody_less_is_approved_by_name(old: Plan, new: Plan, loosens: bool) -> None:
    (change,) = changes(old, new, {})

    assert change.path == "notify.receiver.team" and not change.refused
    assert bool(blockers([change], None, force=False)) is loosens and not blockers([change], "ann", force=False)


def test_of_a_list_of_rules_only_those_that_differ_are_said() -> None:
    """Rules are long, and one of forty that was moved or taken away has to be seen."""
    rules: list[dict[str, Any]] = [
        {"alarm": f"A{n}*", "labels": {}, "action": "report", "all": False, "wave": None} for n in range(1, 5)
    ]
    new = {"alarm": "P99*", "labels": {"severity": "page"}, "action": "roll_back", "all": True, "wave": None}
    path = "alarms.alertmanager.rules"

    def line(after: list[dict[str, Any]]) -> str:
        return Change(path, rules, after).line.removeprefix(f"{path}: ")

    shown = 'with 5 {alarm = "P99*", labels = {"severity": "page"}, action = "roll_back", all = true}'
    assert line([*rules, new]) == shown
    assert line([rules[0], *rules[2:]]) == 'without 2 {alarm = "A2*", action = "report"}'
    moved = line([rules[3], *rules[:3]])
    assert "without 4 " in moved and "with 1 " in moved and "A2" not in moved
    assert "without 4 " in line([*rules[:3], new]) and "with 4 " in line([*rules[:3], new])
    assert Change(path, [], [new]).line.startswith(f"{path}: with 1 ")
