"""A plan file is either a plan, or one error with every problem in it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import get_origin

import pytest
from pydantic import BaseModel, ValidationError

from migrator.errors import PlanInvalid, UsageError
from migrator.plan.load import (
    differences,
    digest,
    dump,
    from_body,
    json_schema,
    load,
    shim_settings,
)
from migrator.plan.schema import Breaker, Plan, Shim
from migrator.plan.toml import first_plan, to_toml
from tests import ROOT

PLANS = sorted((ROOT / "plans").glob("*.toml"))
SECRET = "hunter2-secret"

SMALL = """
name = "small"
[classic]
writer = "env:A"
[limitless]
dsn = "env:B"
"""

BAD = f"""
nam = "Demo"
soak_s = 4
name = "Not A Name"
[classic]
writer = "postgres://u:{SECRET}@host/db"
[limitless]
dsn = "host=h password={SECRET}"
shards = true
min_acu = "5"
password = "{SECRET}"
[waves]
sizez = [1]
ramp_pct = [3]
sizes = ["a"]
[tables.table.users]
kind = "shardd"
[tables.table."app.x"]
kind = "sharded"
via = "abc"
tenent_column = "x"
[gates]
audit = "no"
[temporal]
address = "nowhere"
[breaker]
quorum = 2
"""


def problems_of(text: str, tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanInvalid) as caught:
        load(path)
    return caught.value.problems


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.name)
def test_every_plan_of_the_repository_loads(path: Path) -> None:
    """An example that does not load is worse than none."""
    assert load(path).name


def test_the_example_carries_the_decisions_figures() -> None:
    """The example plan says what the decision says."""
    plan = load(ROOT / "plans" / "adr.example.toml")

    assert (plan.stabilization.days, plan.limitless.shards, plan.limitless.compute_redundancy) == (90, 3, 1)
    assert plan.rehearsal is None and plan.clock_scale == 1


def test_the_demo_is_fast_enough() -> None:
    """The rehearsal's 90 days, restarted once, take less than 30 s."""
    plan = load(ROOT / "plans" / "demo.toml")

    assert 2 * plan.stabilization.days * 86_400 / plan.clock_scale < 30


def test_every_problem_is_in_one_error(tmp_path: Path) -> None:
    """Each problem is a line of its own: key path, value, what is allowed."""
    problems = problems_of(BAD, tmp_path)

    starts = [p.split(": ", 1)[0] for p in problems]
    assert sorted(starts) == sorted(
        [
            "name",
            "classic.writer",
            "limitless.dsn",
            "limitless.shards",
            "limitless.min_acu",
            "limitless.password",
            "tables.table.users.kind",
            'tables.table."app.x".via',
            'tables.table."app.x".tenent_column',
            "waves.sizes[1]",
            "waves.ramp_pct",
            "waves.sizez",
            "gates.audit",
            "breaker.quorum",
            "nam",
            "soak_s",
            "tables.table.users",
            "temporal.address",
        ]
    )
    text = "\n".join(problems)
    assert "did you mean waves.sizes?" in text
    assert "it belongs to waves.soak_s" in text
    assert "gates.audit: \"no\" → must be 'auto' or 'approval'" in text


def test_a_pasted_secret_is_never_shown(tmp_path: Path) -> None:
    """Neither the message nor the exception it came from quotes a connection string."""
    path = tmp_path / "plan.toml"
    path.write_text(BAD, encoding="utf-8")

    with pytest.raises(PlanInvalid) as caught:
        load(path)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_syntax_error_is_one_problem_with_its_line(tmp_path: Path) -> None:
    """TOML that cannot be read says where."""
    (problem,) = problems_of("name = 1\nb =\n", tmp_path)

    assert "not TOML" in problem and "line 2" in problem


def test_a_file_that_is_not_text_is_one_problem(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a problem of the file, not a trace."""
    path = tmp_path / "plan.toml"
    path.write_bytes(b"name = '\xff'")

    with pytest.raises(PlanInvalid, match="not UTF-8"):
        load(path)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_a_usage_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load(tmp_path / name)


def test_both_sides_must_differ(tmp_path: Path) -> None:
    """A plan that copies a cluster onto itself is refused before anything connects."""
    problems = problems_of(SMALL.replace("env:B", "env:A"), tmp_path)

    assert problems == ('limitless.dsn: "env:A" → must be another cluster than classic.writer',)


def test_a_missing_section_says_what_it_is(tmp_path: Path) -> None:
    problems = problems_of('name = "x"', tmp_path)

    assert problems == (
        "classic: missing → required: The existing Aurora PostgreSQL cluster",
        "limitless: missing → required: The Aurora Limitless cluster",
    )


def test_the_digest_is_of_values_and_not_of_text(tmp_path: Path) -> None:
    """Comments, order and defaults do not change it; a value does; what shims may take over at any time does not."""
    path = tmp_path / "plan.toml"

    def of(text: str) -> str:
        path.write_text(text)
        return digest(load(path))

    plain = of(SMALL)
    assert of("# a comment\n" + SMALL + "[dual_write]\nparts = 2\n") == plain
    assert of(SMALL + "[dual_write]\nparts = 3\n") != plain
    assert of(SMALL + "[shim]\nstaleness_s = 9.0\n") == plain
    assert of(SMALL + '[tables.table."app.later"]\nkind = "excluded"\n') == plain, "answers to the inventory"
    assert of(SMALL + '[gates]\nacknowledged = ["view app.v"]\n') == plain
    assert of(SMALL + '[tables.table."app.later"]\nkind = "reference"\n') != plain


def test_a_stored_plan_reads_back() -> None:
    """What is stored on classic is the same plan."""
    for path in PLANS:
        plan = load(path)
        assert from_body(dump(plan)) == plan
        assert from_body(tomllib.loads(to_toml(dump(plan)))) == plan, "plan show prints a plan"


def test_shim_settings_are_flat_and_collide_nowhere() -> None:
    """Processes read one flat object; a key in both sections would hide one of them."""
    assert not set(Shim.model_fields) & set(Breaker.model_fields)
    found = shim_settings(load(ROOT / "plans" / "demo.toml"))
    assert found.keys() == Shim.model_fields.keys() | Breaker.model_fields.keys()


def test_the_json_schema_knows_every_section() -> None:
    assert json_schema()["properties"].keys() == Plan.model_fields.keys()


def test_a_first_plan_is_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(first_plan("billing"))

    assert load(path).name == "billing"


def test_differences_name_key_and_values() -> None:
    one = from_body(tomllib.loads(SMALL))
    other = from_body(tomllib.loads(SMALL + "[dual_write]\nparts = 3\n"))

    assert differences(one, other) == ["dual_write.parts: 2 → 3"]


def _fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> dict[str, object]:
    from migrator.plan.load import _section_of

    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        section = _section_of(field)
        if section is not None and get_origin(field.annotation) is list:
            found[".".join((*path, name))] = field.default
            found |= _fields(section, (section.__name__.lower(),))  # explained once
        elif section is None:
            found[".".join((*path, name))] = "required" if field.is_required() else field.default
        else:
            found |= _fields(section, (*path, name))
    return found


def test_plans_readme_explains_every_field() -> None:
    """plans/README.md has a row for each field with its default, and none for a field that is gone."""
    rows = re.findall(
        r"^\| `([a-z_.0-9]+)` \| (.*?) \| .*? \| ", (ROOT / "plans" / "README.md").read_text(), re.MULTILINE
    )

    wanted = {
        path: default if default == "required" else "none" if default is None else f"`{json.dumps(default)}`"
        for path, default in _fields(Plan).items()
    }
    assert dict(rows) == wanted


@pytest.mark.parametrize(
    ("section", "field"),
    [("drill", "max_age_days"), ("preflight", "watched_days"), ("decommission", "keep_classic_days"),
     ("stabilization", "days"), ("runway", "weeks"), ("breaker", "window_s")],
)  # fmt: skip
@pytest.mark.parametrize("value", [float("inf"), 1e300])
def test_a_span_without_an_end_is_refused(section: str, field: str, value: float) -> None:
    body = {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, section: {field: value}}
    with pytest.raises(ValidationError, match=r"an end|a hundred years"):
        Plan.model_validate(body)
