"""What comes from outside is taken for what it is: prefixes, origins, paths to go back to, fields of orders."""

from __future__ import annotations

import pytest

from migrator.errors import UsageError
from migrator.serve.acting import order_of
from migrator.serve.config import Config, is_loopback, origin, root_path
from migrator.serve.guard import is_ours
from migrator.serve.order import Kind
from migrator.serve.server import own_path
from migrator.serve.stream import number


@pytest.mark.parametrize(("text", "path"), [("", ""), ("/", ""), ("/migrator/", "/migrator"), ("/a/b", "/a/b")])
def test_a_prefix_is_a_path(text: str, path: str) -> None:
    assert root_path(text) == path


@pytest.mark.parametrize("text", ["migrator", "//evil.example", "/a?b", "/a#b", "/a\nb", "https://a/b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        root_path(text)


@pytest.mark.parametrize("text", ["ops.example.com", "ftp://a", "https://", "https://u:p@a", "https://a/path", "*"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        origin(text)


@pytest.mark.parametrize(
    "text", ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "\\\\e"]
)
def test_a_sign_in_leads_nowhere_else(text: str) -> None:
    assert own_path(text) == "/"
    assert own_path("/act/hold?tenant=a%0Ab") == "/act/hold?tenant=a%0Ab"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"])
def test_own_addresses_are_known(host: str) -> None:
    assert is_loopback(host) and not is_loopback("0.0.0.0") and not is_loopback("localhost.evil.example")


@pytest.mark.parametrize("text", [None, "", "-1", "1e9", "٣", "9" * 30, "x"])
def test_a_viewer_of_another_server_has_nothing_of_this_one(text: str | None) -> None:
    assert number(text) == 0


def test_tokens_are_not_shown() -> None:
    shown = repr(Config(lambda: "", token="a-token-of-the-board", read_token="a-token-for-readers"))

    assert "a-token" not in shown


@pytest.mark.parametrize(
    "values",
    [
        {"reason": "x"},
        {"scope": "everything", "reason": "x"},
        {"scope": "wave", "wave": "0", "reason": "x"},
        {"scope": "wave", "wave": "99999999999", "reason": "x"},
        {"scope": "wave", "wave": "٣", "reason": "x"},
        {"scope": "tenant", "reason": "x"},
        {"scope": "all", "reason": "a\0b"},
        {"scope": "all", "tenant": "42", "reason": "x"},
        {"scope": "all", "wave": "3", "reason": "x"},
        {"scope": "tenant", "tenant": "42", "wave": "3", "reason": "x"},
    ],
)
def test_a_rollback_says_whose(values: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        order_of(Kind.ROLLBACK, values)


def test_a_name_stays_as_it_is() -> None:
    for name in (" a ", "a\r\nb", "--16", "'", "日本"):
        assert order_of(Kind.HOLD, {"tenant": name, "reason": "x"}).tenants == (name,)


def test_a_link_may_name_the_tenant_without_a_name() -> None:
    assert order_of(Kind.HOLD, {"tenant": "", "reason": "x"}, exact=True).tenants == ("",)
    with pytest.raises(UsageError):
        order_of(Kind.HOLD, {"tenant": "", "reason": "x"})


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "[", "[::1", "", "127.0.0.1.evil.example"])
def test_a_server_of_this_machine_is_known_by_its_own_names(host: str) -> None:
    assert not is_ours(host, Config(lambda: ""))
    assert is_ours("localhost:8099", Config(lambda: "")) and is_ours("[::1]:8099", Config(lambda: ""))
