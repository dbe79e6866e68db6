"""Do several processes make the report that one makes, also when one of them is killed?"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from migrator.audit import spread
from migrator.audit.files import audit_files
from tests.fixtures.waiting import TIMEOUT_S
from tests.unit.audit.cases import CASES, verdict_plan


@pytest.fixture
def statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is worth several processes: among its texts are equal ones, and equal names in several chunks."""
    monkeypatch.setattr(spread, "WORTH", 100)
    monkeypatch.setattr(spread, "CHUNK", 60)
    monkeypatch.setattr(spread, "MINE", 20)
    text = (CASES / "verdicts" / "statements.sql").read_text()
    path = tmp_path / "statements.sql"
    path.write_text(text + "SELECT broken FROM;\n" + text)
    return path


def report(statements: Path, processes: int) -> dict[str, Any]:
    made = audit_files(
        schema=[CASES / "verdicts" / "schema.sql"],
        statements=[statements],
        plan=verdict_plan(),
        processes=processes,
    ).to_json()
    del made["created_at"]
    return made


def test_two_processes_make_the_same_report(statements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of the statements that the other one judged: this one waits for its first answer."""
    alone, answered = report(statements, 1), list[int]()
    judged, collected = spread._judged, spread._Other.collected

    def late(chunk: Any, known: Any) -> Any:
        if not answered:
            assert wait([other.conn for other in others], TIMEOUT_S)
        return judged(chunk, known)

    def noted(other: spread._Other) -> Any:
        found = collected(other)
        answered.extend(found)
        return found

    others = watched(monkeypatch)
    monkeypatch.setattr(spread, "_judged", late)
    monkeypatch.setattr(spread._Other, "collected", noted)

    assert report(statements, 2) == alone
    assert answered[0] == 0 and all(not process.is_alive() for process in multiprocessing.active_children())


def test_what_a_killed_process_had_is_judged_here(statements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, killed = report(statements, 1), list[int]()
    judged = spread._judged

    def murderous(chunk: Any, known: Any) -> Any:
        for child in multiprocessing.active_children() if not killed else ():
            child.kill()
            child.join()
            killed.append(child.pid or 0)
        return judged(chunk, known)

    monkeypatch.setattr(spread, "_judged", murderous)

    assert report(statements, 3) == alone
    assert len(killed) == 2


def watched(monkeypatch: pytest.MonkeyPatch) -> list[spread._Other]:
    """The other processes, once they are started."""
    started: list[spread._Other] = []
    enter = spread._Other.__enter__

    def entered(other: spread._Other) -> spread._Other:
        started.append(other)
        return enter(other)

    monkeypatch.setattr(spread._Other, "__enter__", entered)
    return started
