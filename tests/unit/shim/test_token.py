"""Session tokens: nothing that a session wrote is ever left out, however its writes and processes mix."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import TokenInvalid
from migrator.model.position import Snapshot
from migrator.model.route import WriteMode
from migrator.shim import token as module
from migrator.shim.token import MAX_TEXT, MAX_WRITES, ON_LIMITLESS, SessionToken, Token, session_token
from migrator.shim.view import View

MARK = str(uuid.UUID(int=7))

numbers = st.integers(1, 2**64 - 1)
writes = st.builds(
    Token,
    xid=numbers,
    parts=st.integers(0, 2**62 - 1),
    epoch=st.integers(-1, 2**40),
    mark=st.sampled_from([MARK, str(uuid.UUID(int=8)), "", "memory-3"]),
    lsn=st.none() | numbers,
    up_to=st.booleans(),
)
tokens = st.lists(writes, max_size=MAX_WRITES).map(lambda found: SessionToken(tuple(found)))


@given(tokens)
def test_its_text_reads_back_and_goes_anywhere(token: SessionToken) -> None:
    text = str(token)

    assert SessionToken.parse(text) == token
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text) and len(text) <= MAX_TEXT


def test_one_write_is_short() -> None:
    usual = Token(xid=3_000_000_000, parts=1 << 16 | 1, epoch=1200, mark=str(uuid.uuid4()), lsn=0x2A_0000_0000)

    assert len(str(SessionToken((usual,)))) < 60


@given(tokens, st.data())
def test_one_changed_or_missing_character_is_an_error(token: SessionToken, data: st.DataObject) -> None:
    text = str(token)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(["", *"AZaz09-_= ;%\n", "é"]))
    damaged = text[:at] + other + text[at + 1 :]
    if damaged == text:
        return

    with pytest.raises(TokenInvalid) as told:
        SessionToken.parse(damaged)
    assert len(damaged) < 4 or damaged not in str(told.value)


@pytest.mark.parametrize("text", ["", "m1", "m1AAAA", "null", "m1" + "A" * MAX_TEXT, " m1AAAAAAA", "undefined"])
def test_what_is_none_is_an_error(text: str) -> None:
    with pytest.raises(TokenInvalid):
        session_token(text)


def test_bytes_of_a_cookie_are_its_text() -> None:
    token = SessionToken()

    assert session_token(str(token).encode()) == token
    with pytest.raises(TokenInvalid):
        session_token(b"m1\xff\xfe\x00AAAAAA")


@pytest.mark.parametrize("wrong", [7, ["m1"], object()])
def test_another_type_says_so(wrong: Any) -> None:
    with pytest.raises(TokenInvalid, match=f"it is of type {type(wrong).__name__}, not text"):
        session_token(wrong)


def test_a_later_version_says_so() -> None:
    with pytest.raises(TokenInvalid, match="version is m2"):
        SessionToken.parse("m2" + str(SessionToken())[2:])


# -- which writes it names


@dataclass
class World:
    """Classic as a list of the moments at which transactions ended, and a session whose threads write at once."""

    clock: int = 0
    token: SessionToken = field(default_factory=SessionToken)
    running: dict[int, tuple[Token, SessionToken | None]] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)  # xid → when
    own: list[Token] = field(default_factory=list)  # writes of the session that returned

    def snapshot(self, at: int) -> Snapshot:
        started = [x for x in (*self.running, *self.ended) if x <= at_most(self, at)]
        open_then = frozenset(x for x in started if x in self.running or self.ended[x] > at)
        xmax = max(started, default=0) + 1
        return Snapshot(min(open_then, default=xmax), xmax, open_then)


def at_most(world: World, at: int) -> int:
    return max((xid for xid in (*world.running, *world.ended) if xid <= at), default=0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "send", "send", "end", "end", "lose", "travel", "trim"]), st.integers(1, 7)
    ),
    min_size=8,
    max_size=40,
)


@settings(max_examples=300)
@given(steps, st.lists(st.integers(0, 40), min_size=3, max_size=3), st.integers(1, 4))
def test_a_session_never_loses_a_write(plan: list[tuple[str, int]], stand: list[int], bound: int) -> None:
    """Threads of a session write and end in any order; wherever positions stand, what is missing is said to be."""
    world = World()
    monkey = pytest.MonkeyPatch()
    monkey.setattr(module, "MAX_WRITES", bound)
    try:
        for step, number in plan:
            act(world, step, number, stand)
    finally:
        monkey.undo()

    view = at(world, stand)
    for part in range(3):
        seen = [w for w in world.own if w.parts & (1 << part | 1)]
        held = all(world.ended.get(w.xid, 10**9) <= stand[p] for w in seen for p in (0, part) if w.parts & 1 << p)
        if not held:
            assert world.token.missing(view, part), "a read would miss a write of its own session"
    assert len(world.token.writes) <= bound + 1


def act(world: World, step: str, number: int, stand: list[int]) -> None:
    world.clock += 1
    if step == "begin":
        world.running[world.clock] = Token(world.clock, number, 1, MARK), None
        return
    if step == "travel":
        world.token = SessionToken.parse(str(world.token)) if len(world.token.writes) <= 4 else world.token
        return
    if step == "trim":
        world.token = world.token.trimmed(at(world, stand))
        return
    sent = [xid for xid, (_, known) in world.running.items() if (known is None) is (step == "send")]
    if not sent:
        return
    xid = sent[number % len(sent)]
    write, known = world.running[xid]
    if known is None:
        world.running[xid] = write, world.token
        return
    del world.running[xid]
    world.ended[xid] = world.clock if step == "end" else xid  # it had broken before its COMMIT was sent
    world.own.append(write)
    world.token = world.token.after(write, known.writes if step == "end" else ())


def at(world: World, stand: list[int]) -> View:
    """What a process knows when each partition's position was taken at the moment in *stand*."""
    positions = {part: world.snapshot(at) for part, at in enumerate(stand)}
    return View(epoch=1, marks={1: MARK}, positions=positions)


def test_a_later_write_speaks_for_an_earlier_one_where_both_wrote() -> None:
    one, two = Token(5, 0b110, 1, MARK), Token(9, 0b010, 2, str(uuid.UUID(int=9)))
    token = SessionToken((one,)).after(two, (one,))

    assert token.writes == (replace(one, parts=0b100, epoch=2, mark=two.mark), two)
    assert SessionToken((one,)).after(two).writes == (one, two), "they came at the same time"


def test_a_write_of_no_known_history_gets_none_by_a_later_one() -> None:
    lost = Token(5, 0b110)

    assert SessionToken((lost,)).after(Token(9, 0b010, 2, MARK), (lost,)).writes[0].mark == ""


def test_a_write_of_another_partition_keeps_nobody_from_limitless() -> None:
    token = SessionToken((Token(5, 0b10, 1, MARK),))
    view = View(epoch=1, marks={1: MARK}, positions={p: Snapshot(5, 5) for p in range(3)})

    assert token.missing(view, 1) and not token.missing(view, 2)
    assert SessionToken((Token(5, 0b01, 1, MARK),)).missing(view, 2), "everybody reads reference rows"


def test_the_end_of_the_migration_leaves_only_writes_on_limitless() -> None:
    over = View(write_mode=WriteMode.LIMITLESS_ONLY)
    before = SessionToken((Token(5, 0b10, 1, MARK),))

    assert before.trimmed(over) == SessionToken()
    assert before.after(ON_LIMITLESS).trimmed(over).on_limitless
    assert before.merged(SessionToken((ON_LIMITLESS,))).writes == (ON_LIMITLESS,)
    assert SessionToken((ON_LIMITLESS,)).after(Token(5, 0b10, 1, MARK)).on_limitless


@pytest.mark.parametrize(("lsns", "together"), [((), 0), ((5,), 5), ((5, 3), 5), ((5, None), None), ((None,), None)])
def test_the_place_in_the_log_is_the_furthest_and_unknown_is_further(
    lsns: tuple[int | None, ...], together: int | None
) -> None:
    token = SessionToken(tuple(Token(n + 1, 1 << n, 1, MARK, lsn) for n, lsn in enumerate(lsns)))
    everything = View(epoch=1, marks={1: MARK}, positions={p: Snapshot(99, 99) for p in range(3)})

    assert token.lsn == together
    assert token.trimmed(everything).lsn == together, "Limitless has it, classic's replicas may not"
    assert len(token.trimmed(everything).writes) == bool(lsns)


def test_tokens_of_the_contract_in_sql_are_taken_too() -> None:
    mark = MARK.replace("-", "")
    found = SessionToken.parse(f"w1-3-{mark}-41-2.w1-4-{mark}-44-5")

    assert found == SessionToken((Token(41, 2, 3, MARK), Token(44, 5, 4, MARK)))
    assert SessionToken.parse(f"w1-3-{mark}-41-2.w1-over").on_limitless
    assert SessionToken.parse(".".join(f"w1-3-{mark}-{xid}-2" for xid in range(41, 61))).missing(View(), 1)


@pytest.mark.parametrize("text", ["w1-", "w1-over.", "w1-3-4-5-6", "w1-3-MARK-41-2x", f"w1-3-MARK-41-{2**63 - 1}"])
def test_damaged_tokens_of_the_contract_are_refused(text: str) -> None:
    for damaged in (text.replace("MARK", MARK.replace("-", "")), "w1-over." * 400):
        with pytest.raises(TokenInvalid):
            SessionToken.parse(damaged)
