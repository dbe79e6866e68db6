"""What the project requires: ranges for whoever installs it, one pin each for whoever tests it."""

from __future__ import annotations

import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from tests import ROOT


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(t for extra in project["optional-dependencies"].values() for t in extra)]
    return [r for r in map(Requirement, texts) if r.name != project["name"]]


def _pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name: Version(version) for name, version in pairs}


def test_requirements_are_ranges_that_end_before_the_next_incompatible_release() -> None:
    """Type stubs follow their library's version, and are no part of what runs."""
    for requirement in _requirements():
        operators = {s.operator for s in requirement.specifier}
        stubs = "stubs" in requirement.name or requirement.name.startswith("types-")
        assert operators == ({">="} if stubs else {">=", "<"}), str(requirement)


def test_every_requirement_is_pinned_within_its_range() -> None:
    pins = _pins()
    for requirement in _requirements():
        assert requirement.name in pins, str(requirement)
        assert requirement.specifier.contains(pins[requirement.name]), (str(requirement), pins[requirement.name])


def test_the_library_takes_what_applications_have() -> None:
    [psycopg] = [r for r in _requirements() if r.name == "psycopg"]
    assert [psycopg.specifier.contains(v) for v in ("3.2.1", "3.2.13", "3.3.0", "4.0")] == [True, True, True, False]
