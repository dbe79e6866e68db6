"""A plan written as TOML reads back as the same values, and changing one keeps what people wrote around it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from migrator.errors import PlanInvalid
from migrator.plan.load import dump, from_body, load
from migrator.plan.schema import Plan
from migrator.plan.toml import first_plan, one_line, remark, renamed, to_toml

ROOT = Path(__file__).parents[3]
PLANS = sorted((ROOT / "plans").glob("*.toml"))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.none()
BODIES = st.recursive(
    st.dictionaries(TEXT, VALUES, max_size=4), lambda inner: st.dictionaries(TEXT, VALUES | inner, max_size=4)
)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _filled(value) if isinstance(value, dict) else value for key, value in body.items() if value is not None
    }


@settings(deadline=None)
@given(BODIES)
def test_what_is_written_reads_back(body: dict[str, Any]) -> None:
    """Names of tables may hold anything: dots, quotes, newlines, nothing at all."""
    assert tomllib.loads(to_toml(body)) == _filled(body)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_new_name_changes_nothing_else(data: st.DataObject) -> None:
    """Comments, their places, the order of sections and how numbers are written stay, line by line."""
    lines = data.draw(st.sampled_from(PLANS)).read_text().splitlines()
    for number in data.draw(st.lists(st.integers(0, len(lines)), max_size=5)):
        lines.insert(number, f"# {one_line(data.draw(TEXT))}".rstrip())
    name = data.draw(NAMES)
    text = "\n".join(lines) + "\n"

    before, after = text.split("\n"), renamed(text, name).split("\n")

    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert all(old.startswith("name") and new.startswith(f'name = "{name}"') for old, new in changed)
    assert tomllib.loads("\n".join(after)) == tomllib.loads(text) | {"name": name}


@pytest.mark.parametrize(
    "line",
    ['name="old" # ours', "name = 'old'", '"name" = "old"', 'name = """old"""', 'name = "o\\"ld" # name = "x"'],
)
def test_a_name_is_found_however_it_is_written(line: str) -> None:
    """Also behind a comment that looks like it, and before a table that has one too."""
    text = f'# name = "not this"\n{line}\n[other]\nname = "stays"\n'

    found = renamed(text, "new")

    assert tomllib.loads(found) == {"name": "new", "other": {"name": "stays"}}
    assert found.startswith('# name = "not this"\n')
    assert ("# ours" in found) == ("# ours" in line)


@given(TEXT)
def test_a_remark_is_one_line_whatever_it_quotes(text: str) -> None:
    """A table's name can hold a line break, and no quotation may become a value of the plan."""
    assert tomllib.loads(f"a = 1 {remark(text).as_string()}\n") == {"a": 1}


def test_a_first_plan_carries_its_name() -> None:
    assert from_body(tomllib.loads(first_plan("billing"))).name == "billing"
    assert "[tables]" in first_plan("billing") and "# or host:port" in first_plan("billing")


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.name)
def test_a_plan_with_every_value_written_out_is_the_same_plan(path: Path) -> None:
    plan = load(path)

    assert from_body(tomllib.loads(to_toml(dump(plan)))) == plan


def _sections() -> list[str]:
    return [
        name
        for name, field in Plan.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", *_sections()]), NAMES), min_size=1, max_size=6, unique=True))
def test_every_unknown_key_is_named_at_once(strange: list[tuple[str, str]]) -> None:
    """Wherever they stand, and however many."""
    body = dump(load(ROOT / "plans" / "adr.example.toml"))
    strange = [(section, f"zz-{key}") for section, key in strange]
    for section, key in strange:
        (body[section] if section else body)[key] = 1

    with pytest.raises(PlanInvalid) as caught:
        from_body(tomllib.loads(to_toml(body)))

    assert {problem.split(": ", 1)[0] for problem in caught.value.problems} == {
        f"{section}.{key}" if section else key for section, key in strange
    }
