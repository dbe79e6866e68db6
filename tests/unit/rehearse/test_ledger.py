"""The rehearsal's proof can fail: a lost write, a stale read and a resurrected row are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator.errors import ClusterUnavailable
from migrator.model.ack import Ack
from migrator.rehearse.expectations import Memory
from migrator.rehearse.ledger import Change, Ledger, LedgerWriter, Outcome, RowKey, Seen, read_ledgers
from migrator.rehearse.proof import check_reads, check_writes
from migrator.rehearse.sizes import demo_tenants

ROW = RowKey("orders", "7", "1001")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LedgerWriter]:
    ledger = LedgerWriter(tmp_path / "web-1.jsonl", "web-1")
    yield ledger
    ledger.close()


def write(
    ledger: LedgerWriter, before: int | None, after: int | None, outcome: Outcome | None, row: RowKey = ROW
) -> int:
    number = ledger.intent("update", "classic", [Change(row, before, after)])
    if outcome:
        ledger.outcome(number, outcome, 1.0)
    return number


def merged(tmp_path: Path) -> Ledger:
    return read_ledgers(sorted(tmp_path.glob("*.jsonl")))


@pytest.mark.parametrize("found", [{ROW: 2}, {ROW: 3}], ids=["acknowledged", "the unknown one after it"])
def test_an_acknowledged_or_unknown_last_write_may_be_there(
    writer: LedgerWriter, tmp_path: Path, found: dict[RowKey, int]
) -> None:
    """A write whose answer was lost may count as either."""
    write(writer, None, 1, Outcome.ACKNOWLEDGED)
    write(writer, 1, 2, Outcome.ACKNOWLEDGED)
    write(writer, 2, 3, Outcome.UNKNOWN)

    checked = check_writes(merged(tmp_path), found)

    assert (checked.acknowledged, checked.unknown, checked.lost, checked.phantom) == (2, 1, 0, 0)


@pytest.mark.parametrize("found", [{}, {ROW: 1}], ids=["row missing", "older version"])
def test_a_lost_write_is_found(writer: LedgerWriter, tmp_path: Path, found: dict[RowKey, int]) -> None:
    """An acknowledged write that is neither there nor replaced is lost."""
    write(writer, None, 1, Outcome.ACKNOWLEDGED)
    write(writer, 1, 2, Outcome.ACKNOWLEDGED)

    checked = check_writes(merged(tmp_path), found)

    assert checked.lost == 1
    assert checked.sample


def test_a_resurrected_row_is_found(writer: LedgerWriter, tmp_path: Path) -> None:
    """A row that is there after its delete was acknowledged is a lost delete."""
    write(writer, 0, None, Outcome.ACKNOWLEDGED)

    assert check_writes(merged(tmp_path), {ROW: 0}).lost == 1


def test_a_change_that_was_never_committed_is_found(writer: LedgerWriter, tmp_path: Path) -> None:
    """A row that shows an aborted change is a phantom."""
    write(writer, 0, 1, Outcome.ABORTED)

    assert check_writes(merged(tmp_path), {ROW: 1}).phantom == 1
    assert check_writes(merged(tmp_path), {ROW: 0}).phantom == 0


def test_a_loaded_row_that_vanished_is_found(writer: LedgerWriter, tmp_path: Path) -> None:
    """A row the ledger only tried to change must still be as it was loaded."""
    write(writer, 0, 1, Outcome.ABORTED)

    assert check_writes(merged(tmp_path), {}).phantom == 1


def read(ledger: LedgerWriter, version: int | None, began: float, ended: float) -> None:
    ledger.read(began, ended, "limitless", [Seen(ROW, version)], 0)


def times(tmp_path: Path) -> tuple[float, float]:
    last = merged(tmp_path).writes[-1]
    assert last.ended_at is not None
    return last.at, last.ended_at


@pytest.mark.parametrize(("version", "missed"), [(2, 0), (1, 1), (None, 1), (0, 1)])
def test_a_stale_read_is_found(writer: LedgerWriter, tmp_path: Path, version: int | None, missed: int) -> None:
    """A read that began after an acknowledgement sees that write or a newer one."""
    write(writer, 0, 1, Outcome.ACKNOWLEDGED)
    write(writer, 1, 2, Outcome.ACKNOWLEDGED)
    _, ended = times(tmp_path)
    read(writer, version, ended + 0.001, ended + 0.002)

    assert check_reads(merged(tmp_path)).missed == missed


def test_a_read_during_a_write_may_see_either(writer: LedgerWriter, tmp_path: Path) -> None:
    """While a write is under way, the old and the new version are both right."""
    write(writer, 0, 1, Outcome.ACKNOWLEDGED)
    _, began = times(tmp_path)
    write(writer, 1, 2, Outcome.ACKNOWLEDGED)
    _, ended = times(tmp_path)
    for version in (1, 2):
        read(writer, version, began + 1e-9, ended)
    read(writer, 0, began + 1e-9, ended)

    assert check_reads(merged(tmp_path)).missed == 1


def test_a_deleted_row_that_is_read_again_is_found(writer: LedgerWriter, tmp_path: Path) -> None:
    """A read that began after an acknowledged delete sees nothing."""
    write(writer, 0, None, Outcome.ACKNOWLEDGED)
    _, ended = times(tmp_path)
    read(writer, 0, ended + 0.001, ended + 0.002)
    read(writer, None, ended + 0.001, ended + 0.002)

    assert check_reads(merged(tmp_path)).missed == 1


def test_a_read_that_misses_a_write_of_another_process_is_found(writer: LedgerWriter, tmp_path: Path) -> None:
    """What was acknowledged to one process is seen by every later read of any other."""
    write(writer, 0, 1, Outcome.ACKNOWLEDGED)
    _, ended = times(tmp_path)
    other = LedgerWriter(tmp_path / "web-2.jsonl", "web-2")
    read(other, 0, ended + 0.001, ended + 0.002)
    read(other, 1, ended + 0.001, ended + 0.002)
    other.close()

    checked = check_reads(merged(tmp_path))
    assert (checked.missed, checked.missed_of_others) == (0, 1)


@pytest.mark.parametrize(
    ("ack", "version", "missed"),
    [("session", 1, (1, 0)), ("session", 2, (0, 0)), ("none", 1, (0, 0)), ("everywhere", 1, (1, 1))],
)
def test_who_must_see_a_write_depends_on_its_level(
    writer: LedgerWriter, tmp_path: Path, ack: str, version: int, missed: tuple[int, int]
) -> None:
    """A read of its session, and one of nobody's session."""
    for before, level in enumerate(("everywhere", ack)):
        number = writer.intent("update", "classic", [Change(ROW, before, before + 1)], level, "thread 1")
        writer.outcome(number, Outcome.ACKNOWLEDGED, 1.0)
    _, ended = times(tmp_path)
    found: list[int] = []
    for session in ("thread 1", ""):
        writer.read(ended + 0.001, ended + 0.002, "limitless", [Seen(ROW, version)], 0, session)
        found.append(check_reads(merged(tmp_path)).missed - sum(found))

    assert tuple(found) == missed


def test_memory_judges_by_the_level_of_a_write() -> None:
    memory = Memory()
    for number, ack in enumerate((Ack.EVERYWHERE, Ack.SESSION, Ack.NONE), 1):
        memory.intend([Change(ROW, number - 1, number)])
        memory.acknowledge([Change(ROW, number - 1, number)], ack)

    for own, right in ((False, {1, 2, 3}), (True, {2, 3})):
        floor = memory.floor([ROW], own=own)
        assert {v for v in range(4) if not memory.missed(floor, {ROW: v})} == right
    memory.intend([Change(ROW, 3, 4)])
    memory.acknowledge([Change(ROW, 3, 4)])
    assert {v for v in range(5) if not memory.missed(memory.floor([ROW]), {ROW: v})} == {4}


def test_what_the_process_counted_itself_is_reported(writer: LedgerWriter, tmp_path: Path) -> None:
    """The processes' own count is part of the result."""
    writer.read(1.0, 2.0, "classic", [], 3)

    assert check_reads(merged(tmp_path)).counted_at_once == 3


def test_a_ledger_cut_off_by_a_kill_is_read_up_to_there(writer: LedgerWriter, tmp_path: Path) -> None:
    """Half a last line is left out; the write it belonged to is of unknown outcome."""
    write(writer, None, 1, None)
    with (tmp_path / "web-1.jsonl").open("a") as file:
        file.write('{"k":"outcome","n":1,')

    ledger = merged(tmp_path)

    assert ledger.torn == 1
    assert [w.outcome for w in ledger.writes] == [Outcome.PENDING]


def test_a_failure_keeps_what_tells_its_cause(writer: LedgerWriter, tmp_path: Path) -> None:
    """Type, side, and the SQLSTATE of the server's error behind it; no text, as texts quote values."""

    def refused() -> None:
        try:
            raise psycopg.errors.CannotConnectNow("a secret")
        except psycopg.Error:
            raise ClusterUnavailable("classic", "a secret") from None

    for kind, act in (("read", refused), ("write", lambda: 1 / 0)):
        try:
            act()
        except (ClusterUnavailable, ZeroDivisionError) as error:
            writer.failure(kind, 5.0, error)

    first, second = merged(tmp_path).failures
    assert (first.operation, first.error, first.began) == ("read", "ClusterUnavailable", 5.0)
    assert (first.side, first.sqlstate) == ("classic", "57P03")
    assert (second.error, second.side, second.sqlstate) == ("ZeroDivisionError", "", "")
    assert "secret" not in (tmp_path / "web-1.jsonl").read_text()


def test_memory_judges_a_read_at_once() -> None:
    """The traffic itself notices an old version, a missing insert, a deleted row."""
    memory = Memory()
    memory.intend([Change(ROW, None, 1)])
    memory.acknowledge([Change(ROW, None, 1)])
    began = memory.floor([ROW])
    memory.intend([Change(ROW, 1, 2)])

    assert [memory.missed(began, {ROW: v}) for v in (1, 2, None, 0)] == [[], [], [ROW], [ROW]]

    memory.acknowledge([Change(ROW, 1, 2)])
    assert memory.missed(began, {ROW: 1}) == [], "it was right when the read began"
    assert memory.missed(memory.floor([ROW]), {ROW: 1}) == [ROW]

    memory.intend([Change(ROW, 2, None)])
    memory.acknowledge([Change(ROW, 2, None)])
    assert memory.missed(memory.floor([ROW]), {ROW: 2}) == [ROW]


def test_memory_forgets_an_aborted_write_and_keeps_an_unknown_one() -> None:
    """After an abort the new version is wrong; after a lost answer both are right."""
    memory = Memory()
    memory.intend([Change(ROW, 0, 1)])
    memory.abort([Change(ROW, 0, 1)])
    assert memory.missed(memory.floor([ROW]), {ROW: 1}) == [ROW]

    memory.intend([Change(ROW, 0, 1)])
    assert [memory.missed(memory.floor([ROW]), {ROW: v}) for v in (0, 1, 2)] == [[], [], [ROW]]


def test_sizes_follow_zipf_with_one_giant() -> None:
    """The largest tenant holds about a hundred times the median; all together what was asked for."""
    tenants = demo_tenants(200, 200_000, 100, 1)
    rows = sorted(t.rows for t in tenants)

    assert len(rows) == len({t.tenant_id for t in tenants}) == 200
    assert 95 < rows[-1] / rows[100] < 105
    assert abs(sum(rows) - 200_000) < 2_000
    assert tenants == demo_tenants(200, 200_000, 100, 1), "the same seed gives the same tenants"
