"""Sessions expire, may act for a while only, and are bounded; wrong tokens are counted by address and in all."""

from __future__ import annotations

from migrator.serve.session import (
    IDLE_S,
    LONGEST_S,
    MOST_ADDRESSES,
    MOST_PREPARED,
    MOST_SESSIONS,
    READS_S,
    WRONG,
    WRONG_IN_ALL,
    WRONG_S,
    Refused,
    Sessions,
)

TOKEN, READ = "a-token-of-the-board", "a-token-for-readers"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def signed_in(sessions: Sessions, token: str = TOKEN, name: str = "Ada", address: str = "a") -> str:
    cookie = sessions.sign_in(address, name, token)
    assert isinstance(cookie, str), cookie
    return cookie


def test_who_is_idle_or_signed_in_for_long_may_act_no_more() -> None:
    clock = Clock()
    for read_token in (None, READ):
        sessions = Sessions(TOKEN, read_token, clock)
        idle, busy = signed_in(sessions), signed_in(sessions)
        began = clock.now
        while clock.now - began < LONGEST_S:
            session = sessions.find(busy)
            assert session is not None and session.acts
            clock.now += IDLE_S
        clock.now += 1
        for cookie in (idle, busy):
            found = sessions.peek(cookie)
            if read_token is None:
                assert found is None
            else:
                assert found is not None and not found.acts, "it may read on"
        clock.now += READS_S
        assert sessions.peek(busy) is None


def test_a_page_that_is_open_does_not_keep_a_session_alive() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, None, clock)
    cookie = signed_in(sessions)
    for _ in range(20):
        clock.now += IDLE_S / 10
        sessions.peek(cookie)

    assert sessions.find(cookie) is None


def test_forms_of_a_session_that_may_act_no_more_are_worthless() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, READ, clock)
    cookie = signed_in(sessions)
    session = sessions.find(cookie)
    assert session is not None
    before, number = session.csrf, session.prepare("order")
    clock.now += IDLE_S + 1
    sessions.peek(cookie)

    assert session.csrf != before and number not in session.prepared


def test_everything_is_bounded() -> None:
    sessions = Sessions(TOKEN, None, Clock())
    first = signed_in(sessions)
    cookies = [signed_in(sessions) for _ in range(MOST_SESSIONS)]
    session = sessions.find(cookies[-1])
    assert session is not None
    numbers = [session.prepare(n) for n in range(MOST_PREPARED + 1)]
    for n in range(MOST_ADDRESSES + 50):
        sessions.note_wrong(f"10.0.{n // 256}.{n % 256}")

    assert sessions.find(first) is None and sessions.find(cookies[0]) is not None
    assert numbers[0] not in session.prepared and numbers[1] in session.prepared
    assert len(sessions._wrong) == MOST_ADDRESSES


def test_wrong_tokens_lock_their_address_and_too_many_lock_all() -> None:
    clock = Clock()
    sessions = Sessions(TOKEN, READ, clock)
    for _ in range(WRONG):
        assert sessions.sign_in("a", "Eve", "x") == Refused("That is not the token.")
    locked = sessions.sign_in("a", "Ada", TOKEN)
    assert isinstance(locked, Refused) and locked.retry_s is not None
    signed_in(sessions, address="b")
    for n in range(WRONG_IN_ALL):
        sessions.note_wrong(f"c{n}")
    assert isinstance(sessions.sign_in("d", "Ada", TOKEN), Refused)
    clock.now += WRONG_S + 1

    signed_in(sessions, address="a")


def test_a_name_is_one_that_a_log_can_show() -> None:
    sessions = Sessions(TOKEN, None, Clock())

    for name in ("", "  ", "x" * 81, "a\x00b", "a\u202eb", "a\x1b[2J"):
        assert isinstance(sessions.sign_in("a", name, TOKEN), Refused), name
    session = sessions.find(signed_in(sessions, name="  Ada \n Lovelace "))
    assert session is not None and session.name == "Ada Lovelace"


def test_a_token_for_reading_does_not_act() -> None:
    sessions = Sessions(TOKEN, READ, Clock())
    reader = sessions.find(signed_in(sessions, READ))

    assert reader is not None and not reader.acts
    assert sessions.may_read(READ) and sessions.may_read(TOKEN) and not sessions.may_read("")
    assert not Sessions(None, None, Clock()).may_read("")
    assert isinstance(Sessions(None, None, Clock()).sign_in("a", "Ada", ""), Refused)
