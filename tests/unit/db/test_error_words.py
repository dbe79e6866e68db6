"""The words of a server reach people through one module, and every connection of the tool knows its side."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator.db.error_text import described, place, what_happened
from migrator.login.refusal import refused_connection
from tests import ROOT

WORDS = ("message_primary", "message_detail", "message_hint", "context")

MAY_READ = {
    "migrator/db/error_text.py": "the one that decides what is said",
    "migrator/db/unwrap.py": "finds the SQLSTATE that a router wrapped",
    "migrator/provision/probing.py": "compares what a cluster said of the probe's own statements",
    "migrator/shim/lent.py": "inside of the application, which the error belongs to",
    "migrator/shim/statements.py": "the same",
    "migrator/sqlalchemy/engine.py": "the same: a notice goes to the logger that SQLAlchemy's own dialect gives it to",
    "migrator/local/compose.py": "of servers of this machine, before anything is in them",
}

FAILED = 'connection failed: connection to server at "h", port 5 failed: '
FATAL = FAILED + "FATAL:  "

NO_SIDE = {
    "migrator/rehearse": "plays the application",
    "migrator/doctor/reach.py": "asks any server, and says itself which",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("migrator", "workflows"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def test_the_words_of_a_server_have_one_owner() -> None:
    """Its messages quote values."""
    found = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in WORDS
        and isinstance(node.value, ast.Attribute | ast.Name)
        and ast.unparse(node.value).endswith(("diag", "d"))
    }

    assert found <= set(MAY_READ), found - set(MAY_READ)


def test_every_connection_knows_its_side() -> None:
    missing = [
        f"{name}:{node.lineno}"
        for name, tree in sources()
        if not name.startswith(tuple(NO_SIDE))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("connect", "connect_async")
        and any(isinstance(i, ast.ImportFrom) and i.module == "migrator.db.connect" for i in ast.walk(tree))
        and "side" not in {keyword.arg for keyword in node.keywords}
        and ast.unparse(node.args[0]) not in ("plan", "loaded")  # Temporal's
    ]

    assert missing == []


@pytest.mark.parametrize(
    ("said", "why", "hint"),
    [
        (FAILED + 'Connection refused\n\tIs the server running?',
         "Connection refused", "server runs"),
        (FATAL + 'sorry, too many clients already',
         "sorry, too many clients already", "max_connections"),
        (FATAL + 'remaining connection slots are reserved',
         "remaining connection slots are reserved", "max_connections"),
        (FATAL + 'the database system is starting up',
         "the database system is starting up", "try again in a minute"),
        (FATAL + 'password authentication failed for user "x"',
         "it refused the user or password", "secret"),
        (FATAL + 'no pg_hba.conf entry for host "1.2.3.4"',
         'no pg_hba.conf entry for host "1.2.3.4"', "security group"),
        (FAILED + 'SSL error: certificate verify failed',
         "SSL error: certificate verify failed", "sslrootcert"),
        (FAILED + 'timeout expired', "it did not answer in time",
         "security group"),
        ("connection timeout expired", "it did not answer in time", "security group"),
        ('connection failed: connection to server at "a", port 5 failed: Connection refused\n'
         'connection to server at "b", port 5 failed: FATAL:  database "x" does not exist',
         "the database does not exist", "database name"),
        ("", "no reason was given", "server runs"),
    ],
)  # fmt: skip
def test_a_refused_connection_says_why_and_what_to_do(said: str, why: str, hint: str) -> None:
    found, do = refused_connection(said)

    assert found == why and hint in do


def test_errors_without_an_answer() -> None:
    """What libpq says holds no value; what psycopg says may quote one."""
    lost = psycopg.OperationalError(
        "consuming input failed: server closed the connection unexpectedly\n\tThis probably"
    )

    assert what_happened(lost) == (
        "the connection was lost: consuming input failed: server closed the connection unexpectedly"
    )
    assert what_happened(psycopg.DataError("cannot parse 's3cret'")) == "data error"
    assert what_happened(psycopg.ProgrammingError("cannot adapt type 's3cret'")) == "programming error"


def test_another_error_is_its_kind_and_place() -> None:
    try:
        Path("/nowhere/s3cret").read_text()
    except OSError as error:
        assert described(error) == "FileNotFoundError in a library" and place(error) == ""
