"""Whatever is done to the decision log or to its chain, the verification says so, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from migrator.control.chain import Anchor, Entry, Seal, content_of, hash_of, verify

Rows = list[tuple[Seal, Entry | None]]

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
entries = st.builds(
    Entry,
    id=st.integers(1, 2**40),
    at=st.just("2026-11-29T20:00:00.000000Z"),
    who=texts,
    login=st.none() | texts,
    kind=texts,
    subject=texts,
    before=st.none() | texts,
    after=st.none() | texts,
    reason=texts,
)


def chained(found: list[Entry], repeated: frozenset[int] = frozenset()) -> Rows:
    rows: Rows = []
    prev = ""
    for seq, entry in enumerate(found, 1):
        seal = Seal(seq, entry.id, content_of(entry), seq in repeated, "", prev, "")
        seal = replace(seal, hash=hash_of(seal))
        rows.append((seal, entry))
        prev = seal.hash
    return rows


def entry(number: int, reason: str = "because") -> Entry:
    return Entry(
        number, f"2026-11-29T20:00:0{number % 10}.000000Z", "ann", "tool", "gate.approved", "audit", None, "{}", reason
    )


THREE = [entry(n) for n in (3, 7, 9)]


@given(st.lists(entries, max_size=6))
def test_a_log_as_it_was_written_is_intact(found: list[Entry]) -> None:
    rows = chained(found)

    verified = verify(rows, [Anchor(seal.seq, seal.hash) for seal, _ in rows])

    assert (verified.intact, verified.sealed) == (True, len(found))


@given(
    st.lists(entries, min_size=1, max_size=4),
    st.data(),
    st.sampled_from(["id", "at", "who", "login", "kind", "subject", "before", "after", "reason"]),
    texts,
)
def test_any_altered_field_is_found_in_its_entry(
    found: list[Entry], data: st.DataObject, name: str, value: str
) -> None:
    rows = chained(found)
    at = data.draw(st.integers(0, len(rows) - 1))
    seal, was = rows[at]
    assert was is not None
    changed: dict[str, Any] = {name: was.id + 1 if name == "id" else value}
    now = replace(was, **changed)
    assume(now != was)
    rows[at] = (seal, now)

    assert [(fault.seq, fault.entry) for fault in verify(rows).faults] == [(at + 1, seal.entry)]


@given(entries, texts, texts)
def test_text_cannot_move_from_one_field_to_the_next(one: Entry, a: str, b: str) -> None:
    assume(a and b)
    assert content_of(replace(one, who=a + b, kind="x")) != content_of(replace(one, who=a, kind=b + "x"))
    assert content_of(replace(one, before=None, after=a)) != content_of(replace(one, before=a, after=None))
    assert content_of(replace(one, login=None)) != content_of(replace(one, login=""))


@given(st.lists(entries, min_size=3, max_size=6), st.data())
def test_what_is_taken_out_or_swapped_is_found_at_the_first_place(found: list[Entry], data: st.DataObject) -> None:
    rows = chained(found)
    at = data.draw(st.integers(0, len(rows) - 2))
    gone, swapped = rows[:at] + rows[at + 1 :], [*rows]
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]

    assert verify(gone).faults[0].seq == at + 1
    assert verify(swapped).faults[0].seq == at + 1


def test_a_deleted_entry_is_named_unless_the_tool_may_thin_it_out() -> None:
    rows = chained(THREE, frozenset({1}))
    thin: Rows = [(rows[0][0], None), *rows[1:]]
    deleted: Rows = [rows[0], (rows[1][0], None), rows[2]]

    assert (verify(thin).intact, verify(thin).thinned) == (True, 1)
    assert [(f.seq, f.text) for f in verify(deleted).faults] == [(2, "entry 7 was deleted")]

    said = replace(rows[1][0], repeated=True)  # to have it look like one of those
    assert [f.seq for f in verify([rows[0], (said, None), rows[2]]).faults] == [2]


def test_a_log_cut_off_or_rewritten_is_held_to_an_anchor() -> None:
    rows = chained(THREE)
    anchor = Anchor(3, rows[2][0].hash, "Limitless")
    rewritten = chained([entry(3, "another reason"), *THREE[1:]])

    assert verify(rows[:2]).intact, "nothing in the log itself can tell"
    cut, other = verify(rows[:2], [anchor]).faults, verify(rewritten, [anchor]).faults
    assert (len(cut), len(other)) == (1, 1)
    assert "cut off" in cut[0].text and "rewritten" in other[0].text
    assert not verify(rewritten, [Anchor(0, rows[2][0].hash)]).intact
    assert verify(rewritten, [anchor], [anchor.hash]).accepted == [anchor]
    assert not verify(rewritten, [replace(anchor, where="")], [anchor.hash]).intact, "what an auditor brought counts"


def test_many_faults_are_counted_and_the_first_ones_kept() -> None:
    verified = verify(
        [(seal, replace(one, reason="x")) for seal, one in chained([entry(n) for n in range(1, 300)]) if one]
    )

    assert (verified.fault_count, len(verified.faults), verified.faults[0].entry) == (299, 100, 1)
