"""What the documents name is there: files, tests, modules, tables, and the places their links lead to."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import migrator
from migrator.metrics.catalogue import CATALOGUE
from tests import ROOT

DOCUMENTS = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / "plans").glob("*.md"), ROOT / "README.md"],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"(?<![\w/.@-])((?:migrator|workflows|tests|docs|plans|containers|\.ci)/[\w./-]*\w/?)(?:::(\w+))?")
_DOTTED = re.compile(r"(?<![\w/.@-])((?:migrator|workflows)(?:\.[a-z_]\w*)+)")
_IN_SCHEMA = re.compile(r"\bmigrator\.([a-z_]\w*)")
_FILES = ("toml", "json", "sql", "md", "py")


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_paths_exist(document: Path) -> None:
    missing = set()
    for path, test in _PATH.findall(document.read_text(encoding="utf-8")):
        there = ROOT / path
        if not there.exists() or (test and not re.search(rf"^(async )?def {test}\(", there.read_text(), re.MULTILINE)):
            missing.add(f"{path}::{test}" if test else path)

    assert missing == set(), f"{_named(document)} names what is not there"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_links_lead_somewhere(document: Path) -> None:
    broken = set()
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        there = (document.parent / target).resolve() if target else document
        if not there.exists() or (heading and heading not in _headings(there)):
            broken.add(link)

    assert broken == set(), f"links of {_named(document)} that lead nowhere"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_modules_and_tables_exist(document: Path) -> None:
    unknown = {name for name in _DOTTED.findall(document.read_text(encoding="utf-8")) if not _known(name)}

    assert unknown == set(), f"{_named(document)} names modules, or objects of schema migrator, that are not there"


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("[0-9]*.md")]

    assert len(numbers) > 10
    assert sorted(set(numbers)) == sorted(numbers)


def test_the_map_of_the_package_names_what_is_there() -> None:
    """Packages have a slash behind them, modules their suffix; each is a path below the package, or below the root."""
    places = set(re.findall(r"(?<![\w/`])((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py)", migrator.__doc__ or ""))
    missing = {place for place in places if not any((root / place).exists() for root in (ROOT / "migrator", ROOT))}

    assert len(places) > 20
    assert missing == set()


def _headings(document: Path) -> set[str]:
    """Return the anchors of *document*, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@cache
def _told() -> set[str]:
    """Return what OpenTelemetry is told by name: metrics, and spans and attributes of the shim."""
    spans = (ROOT / "migrator" / "shim" / "traced.py").read_text(encoding="utf-8")
    return {metric.otlp_name for metric in CATALOGUE} | set(re.findall(r'"(migrator\.[\w.]+)"', spans))


def _known(name: str) -> bool:
    """Return whether *name* is a module, something that a module names, or something of schema migrator."""
    parts = name.split(".")
    if parts[-1] in _FILES:
        return True  # a file of that name, in whatever directory
    if name in _told():
        return True
    if parts[0] == "migrator" and parts[1] in _schema():
        return True
    for length in range(len(parts), 1, -1):
        place = ROOT.joinpath(*parts[:length])
        source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if source.is_file():
            rest = parts[length:]
            return all(re.search(rf"\b{re.escape(word)}\b", source.read_text(encoding="utf-8")) for word in rest)
    return False


@cache
def _schema() -> frozenset[str]:
    """Return what SQL calls migrator.NAME: tables, views, functions, sequences and settings, on either side."""
    package = ROOT / "migrator"
    sources = [*package.rglob("*.sql"), package / "shim" / "statements.py"]
    return frozenset(name for source in sources for name in _IN_SCHEMA.findall(source.read_text(encoding="utf-8")))
