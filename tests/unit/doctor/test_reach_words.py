"""What doctor says of a connection's encryption."""

from __future__ import annotations

import pytest

from migrator.doctor.checks.reach import _encryption
from migrator.doctor.facts import Kind, Server
from migrator.doctor.reach import Reached, Stage


@pytest.mark.parametrize(
    ("sslmode", "tls", "local", "level", "said"),
    [
        ("verify-full", True, False, "ok", "the certificate is checked"),
        ("verify-ca", True, False, "warning", "the certificate's name is not checked"),
        ("require", True, False, "warning", "nothing checks who answers"),
        ("prefer", False, False, "warning", "not encrypted"),
        ("disable", False, True, "not applicable", "on this machine"),
    ],
)
def test_only_a_checked_name_is_enough_outside_this_machine(
    sslmode: str, tls: bool, local: bool, level: str, said: str
) -> None:
    found = _encryption(Server(Kind.CLASSIC, "classic"), Reached(Stage.DONE, tls=tls, sslmode=sslmode, local=local))

    assert said in found.text and found.level.value.replace("_", " ") == level
