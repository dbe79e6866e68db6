"""Do several processes make the report that one makes, also when one of them is killed?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from migrator.audit import spread
from migrator.audit.files import audit_files
from tests.unit.audit.cases import CASES, verdict_plan


@pytest.fixture
def statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is worth several processes: among its texts are equal ones, and equal names in several chunks."""
    monkeypatch.setattr(spread, "WORTH", 100)
    monkeypatch.setattr(spread, "CHUNK", 60)
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


def test_two_processes_make_the_same_report(statements: Path) -> None:
    assert report(statements, 2) == report(statements, 1)


def test_what_a_killed_process_leaves_is_judged_here(statements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = spread._answers
    told: list[int] = []

    def broken(*given: Any) -> Iterator[Any]:
        for answer in answers(*given):
            if told:
                raise BrokenProcessPool
            told.append(len(answer.reports))
            yield answer

    alone = report(statements, 1)
    monkeypatch.setattr(spread, "_answers", broken)

    assert report(statements, 2) == alone
    assert told == [60]
