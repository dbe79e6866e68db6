"""Tokens of sessions: the caller's own later reads see its writes, in whichever process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from migrator.errors import CommitUnknown, ReadStale, TokenInvalid
from migrator.model.route import FallbackScope, Level, WriteMode
from migrator.shim import SessionToken, Shim, view
from migrator.shim.token import ON_LIMITLESS
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import move
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import TIMEOUT_S, eventually
from tests.integration.traffic.levels import PATIENT, moved
from tests.integration.traffic.world import Peer, World, body, get, ids, put, up

pytestmark = pytest.mark.pg


def covered(shim: Shim, token: str) -> Callable[[], bool]:
    """Whether the process knows that Limitless holds all of *token*."""
    return lambda: not any(w.parts for w in SessionToken.parse(token).trimmed(shim._current.view).writes)


# -- what each waits for


def test_a_session_sees_its_own_writes_in_every_process(world: World) -> None:
    with moved(world) as shim, Peer(world, settings=PATIENT) as peer:
        eventually(lambda: peer.ask("read", "t1", 1)[0] == "limitless", "the peer reads from limitless")
        with shim.session() as session:
            session.run_write("t1", put("t1", 1, "one"))
            assert session.run_read("t1", get("t1", 1)) == ("classic", "one")
            assert peer.ask("read", "t1", 1) == ["limitless", None], "another caller is promised nothing"
            assert peer.ask("session_read", "t1", 1, session.token) == ["classic", "one"]

            token = peer.ask("session_write", "t1", 2, "two", session.token)
            assert shim.session(token).run_read("t1", get("t1", 1)) == ("classic", "one")
            assert shim.session(token).run_read("t1", get("t1", 2)) == ("classic", "two")

            world.publish()
            eventually(covered(shim, token), "the process knows")
            assert shim.session(token).run_read("t1", get("t1", 2)) == ("limitless", "two")
            assert session.run_read("t1", get("t1", 1)) == ("limitless", "one")


def test_a_read_that_may_wait_is_answered_by_limitless(world: World) -> None:
    patient = replace(PATIENT, poll_s=0.9, session_wait_s=TIMEOUT_S)
    with moved(world, patient) as shim, shim.session() as session:
        session.run_write("t1", put("t1", 1, "hello"))

        def publish() -> None:
            eventually(lambda: shim._current.waiting, "the read waits")
            world.publish()

        publisher = threading.Thread(target=publish)
        publisher.start()

        assert session.run_read("t1", get("t1", 1)) == ("limitless", "hello")
        publisher.join()

        session.run_write("t1", put("t1", 2, "hello"))
        assert session.run_read("u1", get("u1", 1))[0] == "limitless", "it waits for nobody else's partition"


def test_a_read_waits_no_longer_than_it_may(world: World) -> None:
    with moved(world, replace(PATIENT, session_wait_s=0.01)) as shim, shim.session() as session:
        session.run_write("t1", put("t1", 1, "hello"))

        assert session.run_read("t1", get("t1", 1)) == ("classic", "hello")


def test_a_token_given_to_another_tenants_read_sends_it_nowhere_else(world: World) -> None:
    with moved(world) as shim, shim.session() as session:
        session.run_write("t1", put("t1", 1, "hello"))

        assert session.run_read("u1", get("u1", 1)) == ("limitless", None)
        assert shim.run_read("v1", get("v1", 1), after=session.token) == ("classic", None), "it never moved"


def test_a_session_of_several_tenants_sees_all_its_writes(world: World) -> None:
    with moved(world) as shim, shim.session() as session:
        for tenant in ("t1", "u1", "t1", "u1"):
            session.run_write(tenant, put(tenant, 1, "hello"))
        world.publish((0, 2))
        eventually(lambda: session.run_read("u1", get("u1", 1)) == ("limitless", "hello"), "partition 2 is there")

        assert session.run_read("t1", get("t1", 1)) == ("classic", "hello")
        assert len(session.token) < 120


def test_a_write_across_partitions_is_seen_in_both(world: World) -> None:
    with moved(world) as shim, shim.session() as session:
        session.run_write("t1", lambda w: (put("t1", 1, "hello")(w), put("u1", 1, "hello")(w)))
        world.publish((0, 1))
        eventually(lambda: session.run_read("t1", get("t1", 1)) == ("limitless", "hello"), "partition 1 is there")

        assert session.run_read("u1", get("u1", 1)) == ("classic", "hello")


def test_a_session_sees_what_other_sessions_wrote_when_it_is_told(world: World) -> None:
    with moved(world) as shim:
        one, two = shim.session(), shim.session()
        one.run_write("t1", put("t1", 1, "one"))
        two.run_write("u1", put("u1", 1, "two"))
        assert one.run_read("u1", get("u1", 1)) == ("limitless", None)
        one.include(two.token)
        with shim.write("t1", ack="session") as w:
            put("t1", 2, "three")(w)
        assert w.token is not None
        one.include(w.token)

        for session in (one, shim.session(one.token)):
            assert session.run_read("u1", get("u1", 1)) == ("classic", "two")
            assert session.run_read("t1", get("t1", 1)) == ("classic", "one")
            assert session.run_read("t1", get("t1", 2)) == ("classic", "three")
        with pytest.raises(TokenInvalid):
            one.include(two.token[1:])


def test_a_read_with_a_token_is_not_shadowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limitless does not have what the token names, and that is no difference."""
    with moved(world, replace(PATIENT, shadow_ratio=1.0)) as shim, shim.session() as session:
        offered: list[str] = []
        monkeypatch.setattr(shim._shadow, "offer", lambda tenant, _: offered.append(tenant))
        session.run_write("t1", put("t1", 1, "hello"))
        session.run_read("t1", get("t1", 1))
        assert offered == []
        shim.run_read("t1", get("t1", 1))
        assert offered == ["t1"]


def test_threads_that_share_a_session_see_each_others_writes(world: World) -> None:
    """Each number is read back by every thread, from wherever, while a mirror follows."""
    missed: list[str] = []
    sides: set[str] = set()
    returned: dict[str, int] = {}

    def run(session: Any, own: str, number: int) -> None:
        for count in range(1, 16):
            session.run_write(own, put(own, number, str(count)))
            returned[f"{own}/{number}"] = count
            for key, floor in list(returned.items()):
                tenant, row = key.split("/")
                side, found = session.run_read(tenant, get(tenant, int(row)))
                sides.add(side)
                if int(found or 0) < floor:
                    missed.append(f"{key}: {found} on {side}, {floor} had returned")

    with moved(world) as shim, world.mirror(), shim.session() as session:
        threads = [
            threading.Thread(target=run, args=(session, tenant, number))
            for number, tenant in enumerate(("t1", "u1", "t1"), 10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert missed == []
        assert "classic" in sides
        eventually(lambda: session.run_read("t1", get("t1", 10)) == ("limitless", "15"), "and limitless answers again")


def test_a_write_whose_answer_was_lost_is_in_its_session(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    up(world, "t1")
    with Shim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=PATIENT) as shim:
        eventually(lambda: shim.run_read("t1", get("t1", 1))[0] == "limitless", "reads come from limitless")
        session = shim.session()
        session.run_write("t1", put("t1", 2, "before"))
        between.lose_reply_to(b"COMMIT;")
        with pytest.raises(CommitUnknown) as unknown:
            session.run_write("t1", put("t1", 1, "hello"))

        assert unknown.value.xid is not None and shim.outcome(unknown.value.xid) == "committed"
        assert session.run_read("t1", get("t1", 1)) == ("classic", "hello")
        assert len(SessionToken.parse(session.token).writes) == 2, "nothing is known about what came first"

        between.lose_reply_to(b"COMMIT;")
        with pytest.raises(CommitUnknown) as unknown:
            shim.run_write("t1", put("t1", 3, "hello"), ack="none")
        assert unknown.value.xid is None and body(world, "t1", 3) == "hello"


# -- histories, fallbacks, the end


def test_a_damaged_token_is_an_error_and_never_a_read(world: World) -> None:
    with moved(world) as shim:
        session = shim.session()
        session.run_write("t1", put("t1", 1, "hello"))
        token = session.token
        another = "B" if token[20] == "A" else "A"
        for damaged in (token[:-1], token[:20] + another + token[21:], "", "undefined"):
            with pytest.raises(TokenInvalid):
                shim.run_read("t1", get("t1", 1), after=damaged)
            with pytest.raises(TokenInvalid):
                shim.session(damaged)


@pytest.mark.parametrize("how", ["another history", "older than the marks kept"])
def test_a_token_that_no_process_can_place_is_answered_by_classic(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "another history":
        monkeypatch.setattr(view, "MARKS", 5)
    with moved(world) as shim:
        session = shim.session()
        session.run_write("t1", put("t1", 1, "hello"))
        world.publish()
        token = SessionToken(
            tuple(replace(w, parts=2) for w in SessionToken.parse(session.token).writes)
        )  # as it was before the mirror came
        eventually(lambda: shim.run_read("t1", get("t1", 1), after=token)[0] == "limitless", "it is covered")
        if how == "another history":
            world.classic.execute("UPDATE migrator.epoch_mark SET mark = gen_random_uuid()")  # a restored one's
        for _ in range(15):
            world.classic.execute("UPDATE migrator.switch SET epoch = epoch + 1")
            shim._current.refresh()
        up(world, "u1")

        eventually(lambda: shim.run_read("t1", get("t1", 1), after=token)[0] == "classic", "nobody can place it")
        assert shim.run_read("u1", get("u1", 1), after=token)[0] == "limitless", "of another partition"
        after = shim.session(str(token))
        after.run_write("t1", put("t1", 2, "new"))
        world.publish()
        eventually(lambda: after.run_read("t1", get("t1", 2)) == ("limitless", "new"), "a later write speaks for it")


def test_a_session_goes_through_a_fallback_and_back(world: World) -> None:
    with moved(world) as shim, shim.session() as session:
        session.run_write("t1", put("t1", 1, "before"))
        raise_fallback(world.classic, FallbackScope.TENANT, "t1", by="test", reason="test")
        eventually(lambda: shim._current.view.fallbacks, "the process knows")
        session.run_write("t1", put("t1", 2, "during"))
        assert [session.run_read("t1", get("t1", n)) for n in (1, 2)] == [("classic", "before"), ("classic", "during")]
        move(world.classic, ids("t1"), Level.CLASSIC, who="test", reason="test")
        world.classic.execute("DELETE FROM migrator.fallback")

        up(world, "t1")
        eventually(lambda: session.run_read("t1", get("t1", 2)) == ("limitless", "during"), "and up again")
        assert session.run_read("t1", get("t1", 1)) == ("limitless", "before")


def test_after_the_hand_over_a_session_needs_no_classic(world: World) -> None:
    """A process that has not heard of it asks, and then sees what was written on Limitless."""
    with world.shim() as shim:
        with world.shim("deaf", replace(PATIENT, staleness_s=60.0, poll_s=50.0), listen=False) as deaf:
            session = shim.session()
            session.run_write("t1", put("t1", 1, "on classic"))
            write_mode(world.classic, WriteMode.CLOSED, who="test", reason="test")
            world.publish()
            write_mode(world.classic, WriteMode.LIMITLESS_ONLY, who="test", reason="test")
            eventually(lambda: shim._current.settled, "the process knows")
            with session.write("t1") as w:
                put("t1", 2, "on limitless")(w)

            assert str(w.side) == "limitless"
            assert session.run_read("t1", get("t1", 2)) == ("limitless", "on limitless")
            assert deaf.run_read("t1", get("t1", 2)) == ("classic", None), "it has not heard of it"
            assert deaf.session(session.token).run_read("t1", get("t1", 2)) == ("limitless", "on limitless")
            assert deaf.run_read("t1", get("t1", 1)) == ("limitless", "on classic"), "now it has"


def test_a_token_of_limitless_is_no_reason_to_believe_it(world: World) -> None:
    """Of another system, for example. The process asks classic, which knows of no hand-over."""
    with moved(world) as shim:
        with pytest.raises(ReadStale, match="names a write on limitless"):
            shim.run_read("t1", get("t1", 1), after=ON_LIMITLESS)
        assert not shim._current.settled


# -- what an application does to a write of level none
