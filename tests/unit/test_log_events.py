"""Every event that is logged is in the catalogue, with its level and its keys; and docs/logs.md says what it says."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from migrator.control.telling import Decided, Seen, told, without_numbers
from migrator.log_events import EVENTS, Event, tell
from tests import ROOT

SOURCES = sorted([*(ROOT / "migrator").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")])
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LOGGERS = {"log", "logger", "_logger", "LOG"}
TELLERS = {"tell", "tell_from_workflow"}
NAME = re.compile(r"[a-z_]+\.[a-z_]+")

# The shim logs in application processes, under names of its own; docs/logs.md says where they are told.
ELSEWHERE = {"migrator/shim/listener.py"}
ALSO = {"extra", "exc_info"}

RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@cache
def calls() -> list[tuple[str, ast.Call, set[str]]]:
    """Every call with the file it is in, and what that file imports by name."""
    found = []
    for path in SOURCES:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        imported = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
        name = path.relative_to(ROOT).as_posix()
        if name not in ELSEWHERE:
            found += [(name, node, imported) for node in nodes if isinstance(node, ast.Call)]
    return found


def logged() -> Iterator[tuple[str, ast.Call, int | None]]:
    """Every call that logs: where, the call, and the level it says; None: the catalogue's."""
    for where, call, imported in calls():
        if isinstance(call.func, ast.Name) and call.func.id in TELLERS:
            here = call.func.id == "tell_from_workflow" and where == "workflows/steps.py"
            if here or imported & {f"migrator.log_events.{call.func.id}", f"workflows.steps.{call.func.id}"}:
                yield where, call, None
        elif where.startswith("migrator/traffic/incident/") and ast.unparse(call.func).rpartition(".")[2] == "log":
            yield where, call, None  # what its servers hand to it tells events
        elif isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "log_events.tell":
            yield where, call, None
        elif isinstance(call.func, ast.Attribute) and call.func.attr in {*LEVELS, "exception", "critical"}:
            of = call.func.value
            name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
            if name in LOGGERS:
                yield where, call, LEVELS.get(call.func.attr, logging.ERROR)


# `tell` itself, and what hands the name of an event on.
HANDS_ON = {"workflows/steps.py": 2, "migrator/control/telling.py": 1, "migrator/cli/webhook.py": 1}


def names_of(call: ast.Call) -> list[str]:
    """The names that the first argument of *call* may be; none where it is a variable."""
    first = call.args[0]
    branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    return [str(b.value) for b in branches if isinstance(b, ast.Constant)]


def test_everything_that_is_logged_is_in_the_catalogue() -> None:
    """By its level; with keys that it may have. A new one goes into migrator/log_events.py and docs/logs.md."""
    wrong, handed_on = [], dict.fromkeys(HANDS_ON, 0)
    for where, call, level in logged():
        names = names_of(call)
        if not names:
            assert where in HANDS_ON, f"{where}:{call.lineno} logs what is no name of an event"
            handed_on[where] += 1
        for name in names:
            event = EVENTS.get(name)
            if event is None:
                wrong.append(f"{where}:{call.lineno} logs {name}, which the catalogue does not have")
                continue
            if level is not None and level != event.level:
                wrong.append(f"{where}:{call.lineno} logs {name} by another level than the catalogue")
            given = {keyword.arg for keyword in call.keywords if keyword.arg}
            for node in (n for n in ast.walk(call) if isinstance(n, ast.Dict)):
                given |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
            if more := given - set(event.keys.split()) - ALSO:
                wrong.append(f"{where}:{call.lineno} gives {name} {sorted(more)}, which the catalogue does not have")
    assert wrong == []
    assert all(n <= HANDS_ON[where] for where, n in handed_on.items())


def used() -> set[str]:
    return {name for _, call, _ in logged() for name in names_of(call)}


def decided() -> set[str]:
    """Kinds of decisions in the code: arguments of what writes them, and literals of statements that do."""
    found = set()
    for _, call, _ in calls():
        func = call.func
        name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
        if name in ("decide", "decide_each", "log_moves"):
            found |= {
                str(node.value)
                for argument in [*call.args, *(k.value for k in call.keywords)]
                for node in ast.walk(argument)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value)
            }
    texts = [path.read_text() for path in (ROOT / "migrator").rglob("*.sql") if path.parent.name != "upgrades"]
    texts += [path.read_text() for path in (ROOT / "migrator" / "shim").glob("*.py")]
    for text in texts:
        for statement in re.split(r"\bINSERT INTO migrator\.decision\b", text)[1:]:
            found |= set(re.findall(r"'([a-z_]+\.[a-z_]+)'", statement.partition(";")[0].partition('"""')[0][:700]))
    return {kind for kind in found if not kind.startswith("migrator.")}


def test_every_event_of_the_catalogue_is_logged_somewhere() -> None:
    """Who waits for one waits for something that can come. Levels of replicas are put together by the server, and what
    is said of a kind that is not known is chosen in telling.py."""
    kinds = {name for name, event in EVENTS.items() if event.decision} - {"replica.joining", "replica.serving"}

    assert {name for name, event in EVENTS.items() if not event.decision} - used() == {"decision.recorded"}
    assert kinds == decided()


def test_names_and_keys_can_be_logged() -> None:
    """A name is a noun and a participle, and no key is one that a record of the standard library has already."""
    for event in EVENTS.values():
        assert NAME.fullmatch(event.name) and event.when and not event.when.endswith("."), event
        assert not RESERVED & set(event.keys.split()), event


def row(event: Event) -> str:
    keys = ", ".join(f"`{key}`" for key in event.keys.split())
    return f"| `{event.name}` | {logging.getLevelName(event.level).lower()} | {event.when} | {keys} |"


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)
def test_each_event_is_documented(event: Event) -> None:
    """A row of docs/logs.md: name, level, when, keys."""
    text = (ROOT / "docs" / "logs.md").read_text()
    if event.decision:
        assert f"| `{event.name}` | {logging.getLevelName(event.level).lower()} | {event.when} |" in text.splitlines()
    else:
        assert row(event) in text.splitlines()


def test_the_document_names_no_other_event() -> None:
    text = (ROOT / "docs" / "logs.md").read_text()
    assert set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", text, re.MULTILINE)) == set(EVENTS)


def test_a_command_without_logs_prints_none() -> None:
    """Standard library records of level warning go to stderr where nothing is configured."""
    program = "from migrator.log_events import tell; tell('mirror.waiting', partition=1, reason='x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == done.stderr == ""


def test_events_are_one_line_of_json_with_their_keys() -> None:
    """Whatever a name holds, and without what has no value; credentials are taken out."""
    program = """
from migrator.logs import configure
from migrator.log_events import tell
configure("info", "json")
tell("tenant.held", actor="Ada", subject='tenant/a\\n<script>"', reason="postgresql://u:geheim@h/d", count=None)
tell("step.begun", step="note")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    event = json.loads(line)

    assert event.pop("timestamp") and event == {
        "event": "tenant.held", "level": "info", "actor": "Ada", "subject": 'tenant/a\n<script>"',
        "reason": "postgresql://…@h/d",
    }  # fmt: skip


def test_an_event_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        tell("tenant.vanished")


AT = datetime(2026, 11, 29, tzinfo=UTC)


def decision(number: int, kind: str, subject: str, *, later_s: float = 0, who: str = "cutover") -> Decided:
    return Decided(number, AT + timedelta(seconds=later_s), who, kind, subject, "why")


def test_ten_thousand_tenants_of_one_statement_are_one_event() -> None:
    many = [decision(n, "route.moved", f"tenant/{n}") for n in range(10_000)]
    later = [
        decision(10_000, "route.moved", "tenant/x", later_s=1),
        decision(10_001, "route.moved", "tenant/y", later_s=2),
    ]
    found = list(told([*many, *later]))

    assert [keys.get("count") for _, keys in found] == [10_000, None, None]
    assert found[0] == ("route.moved", {"actor": "cutover", "subject": "tenant/0", "reason": "why", "count": 10_000})


def test_a_decision_of_another_release_is_told_all_the_same() -> None:
    """Also one whose kind is the name of an event that is no decision."""
    found = list(told([decision(1, "moon.landed", "moon"), decision(2, "step.begun", "x", later_s=1)]))

    assert [(name, keys["kind"]) for name, keys in found] == [
        ("decision.recorded", "moon.landed"), ("decision.recorded", "step.begun"),
    ]  # fmt: skip


def test_numbers_that_come_late_are_asked_for_for_a_while() -> None:
    """Those of transactions that were rolled back never come; after a crash a sequence leaves many out."""
    seen = Seen(10)
    seen.add([11, 13, 15], 0.0)
    seen.add([12], 100.0)
    still = seen.wanted()
    seen.add([], 121.0)
    seen.add([1_000_015], 122.0)

    assert (still["newest"], still["missing"]) == (15, [14])
    assert len(seen.missing) == 10_000 and seen.newest == 1_000_015 and 14 not in seen.missing


def test_what_changes_with_every_look_is_no_change_of_a_phase() -> None:
    assert without_numbers("mirror partition 2 is 14.2 s behind (limit 5 s)") == without_numbers(
        "mirror partition 2 is 1,014.9 s behind (limit 5 s)"
    )
    assert without_numbers("a is blocked") != without_numbers("b is blocked")
