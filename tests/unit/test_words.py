"""Messages and docstrings use the glossary's words (docs/glossary.md), so that one word can be searched for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for room in ("migrator", "workflows") for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".sql")
)
NEWLINE = "\n"

FORBIDDEN = {
    r"strays?": "unknown tenant, or row of an unknown tenant",
    r"strangers?": "unmirrored tenant",
    r"rows? of nobody": "orphan row",
    r"nobody|whoever": "name the tenant, the process, the session or the role",
    r"unwell|(?:is|an|are) ill": "unhealthy",
    r"is away|went away": "unreachable",
    r"(?:is|was|are) put aside|puts? \S+ aside": "quarantine",
    r"st(?:and|ands|ood|anding) still": "stalled; a validator's fence pauses a mirror",
    r"mend(?:s|ed|ing)?": "repair rows, reinstall capture, correct a cause",
    r"heal(?:s|ed|ing)?": "clears by itself",
    r"lets? go of": "leave the mirrored set, drop a key",
    r"looks? again|looked at again": "recheck",
    r"for ever": "say how long, or until when",
    r"lately": "say within how many seconds",
    r"at work": "running",
    r"unheard": "silent, unreachable, or packets dropped",
    r"come what may|in vain|behind (?:our|the \w+'s) back": "say what is true",
}
"""What no text says, and the glossary's word for it."""

EXCEPTIONS = {
    ("migrator/model/divergence.py", "strays"): "a field of the report, and so a key of JSON output",
    ("migrator/local/process.py", "nobody"): "the account of that name",
    ("migrator/local/server.py", "nobody"): "the account of that name",
}
"""(path, text): why it stays."""

_PATTERN = re.compile("|".join(rf"\b(?:{words})\b" for words in FORBIDDEN), re.IGNORECASE)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield docstrings and literals of a module, or comments and literals of a script, each with its line.

    Single words are left out: names of columns, keys of JSON, values that are stored.
    """
    source = path.read_text()
    if path.suffix == ".sql":
        for number, line in enumerate(source.splitlines(), 1):
            yield from ((number, text) for text in re.findall(r"--.*|'[^']* [^']*'", line))
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


def _offences(path: Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    return [
        f"{name}:{line + text.count(NEWLINE, 0, match.start())}: {match.group()}"
        for line, text in _texts(path)
        for match in _PATTERN.finditer(text)
        if (name, match.group().lower()) not in EXCEPTIONS
    ]


def test_no_text_uses_a_word_that_the_glossary_replaces() -> None:
    assert [offence for path in SOURCES for offence in _offences(path)] == []


def test_every_exception_is_needed() -> None:
    used = {
        (path.relative_to(ROOT).as_posix(), match.group().lower())
        for path in SOURCES
        for _, text in _texts(path)
        for match in _PATTERN.finditer(text)
    }
    assert set(EXCEPTIONS) - used == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it is away", True),
        ("mirror partition 2 stands still", True),
        ("Whoever asks", True),
        ("the quarantined tenant was put aside", True),
        ("mirror partition 2 is stalled", False),
        ("recommended", False),
        ("go away from it", False),
        ("an illegal value", False),
    ],
)
def test_words_are_recognised_whole(text: str, found: bool) -> None:
    assert bool(_PATTERN.search(text)) is found
