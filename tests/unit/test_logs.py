"""Logs are one event per line, and no credentials pass."""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg
import pytest

from migrator.errors import PreconditionFailed
from migrator.logs import level_number, masked_text, trace


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:geheim@db:5432/app", "postgresql://…@db:5432/app"),
        ("host=db password=geheim user=app", "host=db password=… user=app"),
        ("host=db password='ge heim' user=app", "host=db password=… user=app"),
        ("PASSWORD = geheim", "PASSWORD = …"),
        ("nothing to hide", "nothing to hide"),
        ("https://example.org/a:b", "https://example.org/a:b"),
    ],
)
def test_credentials_are_taken_out(text: str, masked: str) -> None:
    assert masked_text(text) == masked


def test_a_typo_in_the_level_stops_nobody() -> None:
    assert level_number("debgu") == level_number("info")


def test_both_loggers_write_json_lines_to_stderr() -> None:
    """structlog's events and standard library records take the same way out, masked."""
    program = """
import logging, structlog
from migrator.logs import configure
configure("info", "json")
structlog.get_logger("x").info("route.moved", tenant_id="7", dsn="postgresql://u:geheim@h/d")
structlog.get_logger("x").debug("not.shown")
logging.getLogger("y").warning("password=%s", "geheim")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.stdout == "" and "geheim" not in done.stderr
    assert [e["event"] for e in events] == ["route.moved", "password=…"]
    assert events[0]["tenant_id"] == "7" and events[0]["level"] == "info" and "timestamp" in events[0]


def test_a_trace_says_where_and_quotes_no_value() -> None:
    """Neither a server's DETAIL nor what Python was given; also of the errors that led to it."""
    value = "alice@example.org"
    refused = psycopg.errors.UniqueViolation(f"duplicate key\nDETAIL:  Key (email)=({value}) already exists.")
    try:
        try:
            try:
                raise refused
            except psycopg.Error:
                raise KeyError(value)  # noqa: B904 - a mistake while an error is dealt with
        except KeyError as error:
            raise PreconditionFailed("the journal is not empty") from error
    except PreconditionFailed as error:
        text = trace((type(error), error, error.__traceback__))

    assert value not in text
    assert text.index("UniqueViolation: ") < text.index("KeyError: ") < text.index("PreconditionFailed: the journal is")
    assert "test_logs.py" in text
