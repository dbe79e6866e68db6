"""What is tried to open a connection: the source's text of now, once more after a change, each host once."""

from __future__ import annotations

import pickle

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ClusterUnavailable, UsageError
from migrator.login.source import Dsn, Login, Source, refused_login

REFUSED = psycopg.errors.InvalidPassword("no")
GONE = psycopg.OperationalError("connection refused")


class Played(Source):
    """Gives these texts in turn, the last one again and again; None is an error."""

    def __init__(self, *texts: str | None, hosts: int = 1, keeps: bool = True) -> None:
        self.texts, self.hosts, self.keeps = list(texts), hosts, keeps
        self.forgotten = 0

    def __call__(self) -> str:
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if text is None:
            raise ClusterUnavailable("AWS Secrets Manager", "EndpointConnectionError")
        return text

    def forget(self) -> None:
        self.forgotten += 1


def test_a_text_is_what_it_was_and_knows_its_source() -> None:
    dsn = Dsn.of(Played("host=a", "host=b"))

    assert dsn == "host=a" and Login(dsn).text() == "host=b"
    assert Login("host=a").text() == "host=a" and Login(lambda: "host=c").text() == "host=c"


def test_a_plain_text_is_tried_once() -> None:
    login = Login("host=a")

    assert (login.text(), login.after(REFUSED), login.after(GONE)) == ("host=a", None, None)


def test_a_refusal_is_tried_again_only_with_another_text() -> None:
    same, changed = Played("host=a"), Played("host=a", "host=b", "host=c")
    for source, again in ((same, None), (changed, "host=b")):
        login = Login(source)
        login.text()
        assert login.after(REFUSED) == again and source.forgotten == 1
        assert login.after(REFUSED) is None


def test_a_server_that_is_away_is_no_reason_to_ask_for_the_secret() -> None:
    source = Played("host=a", "host=b")
    login = Login(source)
    login.text()

    assert login.after(GONE) is None and source.forgotten == 0


def test_a_source_that_is_away_leaves_the_last_text() -> None:
    """Unless it can only be wrong: a token of some minutes ago."""
    kept, lost = Dsn.of(Played("host=a", None)), Dsn.of(Played("host=a", None, keeps=False))

    assert Login(kept).text() == "host=a"
    with pytest.raises(ClusterUnavailable):
        Login(lost).text()
    with pytest.raises(ClusterUnavailable):
        Login(Played(None)).text()


@given(st.integers(1, 6), st.lists(st.sampled_from([REFUSED, GONE]), max_size=20))
def test_tries_end(hosts: int, errors: list[psycopg.Error]) -> None:
    """However connections fail: one for each host, and one for a change of the secret."""
    login = Login(Played(*(f"host={n}" for n in range(30)), hosts=hosts))
    tries = [login.text()]
    for error in errors:
        if (text := login.after(error)) is None:
            break
        tries.append(text)

    assert len(tries) <= hosts + 1 and len(set(tries)) == len(tries)


def test_a_refusal_is_known_without_its_language() -> None:
    """What the server says is translated; whether it took a password is not."""

    class Spoke(psycopg.OperationalError):
        def __init__(self, used: bool, wanted: bool) -> None:
            super().__init__("FATAL:  Passwort-Authentifizierung fehlgeschlagen")
            self.asked = type("Pgconn", (), {"used_password": used, "needs_password": wanted})()

        @property
        def pgconn(self):  # type: ignore[no-untyped-def]
            return self.asked

    assert [refused_login(Spoke(*how)) for how in ((True, False), (False, True), (False, False))] == [True, True, False]
    assert not refused_login(GONE)


def test_errors_of_a_source_hold_what_it_says() -> None:
    class Lacks(Source):
        def __call__(self) -> str:
            raise UsageError("the secret s lacks host")

    with pytest.raises(UsageError, match="lacks host"):
        Dsn.of(Lacks())


def test_a_text_may_be_copied_to_another_process() -> None:
    dsn = pickle.loads(pickle.dumps(Dsn.of(Played("host=a", "host=b"))))

    assert dsn == "host=a" and Login(dsn).text() == "host=b"
