"""The table of rights: what a role lacks, by statements that hold for names of any kind; and its document."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.model.side import Side
from migrator.privileges.held import Held, Owned, Reach, Role, Schema
from migrator.privileges.needs import NEEDS, as_table, missing
from migrator.privileges.statements import script, statements
from tests import ROOT

ALL = Role(
    "tool", exists=True, creates_roles=True, passes_policies=True, creates=True, monitors=True, sets_replica=True,
    has_guards=True, uses_guards=True,
)  # fmt: skip
ODD = 'o"d;\nd'
REACH = Reach(
    schemas=(Schema("app", usable=True, open=True),),
    tables=(Owned("app.t", "owner", owned=True, forced=True),),
)


def keys(side: Side, role: Role, reach: Reach = REACH) -> list[str]:
    return [lack.need.key for lack in missing(Held(side, role, reach))]


@pytest.mark.parametrize("side", Side)
def test_a_role_with_every_right_lacks_nothing(side: Side) -> None:
    assert keys(side, ALL) == []


@pytest.mark.parametrize("side", Side)
def test_a_superuser_needs_no_other_right_by_itself(side: Side) -> None:
    """What its side answers for a superuser says the same: it owns, uses and reads everything."""
    assert keys(side, Role("root", exists=True, superuser=True, creates=True, passes_policies=True)) == []


def test_membership_of_rds_superuser_makes_no_event_triggers_for_certain() -> None:
    (lack,) = missing(Held(Side.CLASSIC, replace(ALL, uses_guards=False, has_rds=True, rds_superuser=True), REACH))

    assert lack.need.key == "classic.event_triggers" and lack.gap.unsure
    assert "main user" in lack.line and "SUPERUSER" not in lack.line


def test_a_control_schema_that_exists_needs_no_right_to_make_it() -> None:
    there = replace(ALL, creates=False, control_owner="tool", owns_control=True)

    assert keys(Side.CLASSIC, there) == []
    assert keys(Side.LIMITLESS, there) == ["limitless.create"], "the application's schemas are made there"


def test_statements_quote_names_and_make_a_role_that_is_not_there() -> None:
    nobody = Held(
        Side.CLASSIC,
        Role(ODD, database=ODD),
        Reach(schemas=(Schema(ODD, usable=False, open=False),), tables=(Owned("x", ODD + "2", owned=False),)),
    )
    found = statements(nobody)

    quoted = '"o""d;\nd"'
    assert found[0] == f"CREATE ROLE {quoted} LOGIN"
    assert f"GRANT CREATE ON DATABASE {quoted} TO {quoted}" in found
    assert f"GRANT USAGE ON SCHEMA {quoted} TO {quoted}" in found
    assert f'GRANT "o""d;\nd2" TO {quoted}' in found
    assert script(nobody, found).splitlines()[0].count("\n") == 0


def test_keys_are_unique_and_say_their_side() -> None:
    assert len({need.key for need in NEEDS}) == len(NEEDS)
    assert all(need.key.startswith(f"{need.side}.") for need in NEEDS)


def test_the_document_shows_the_table() -> None:
    text = (ROOT / "docs/privileges.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- needs: begin -->\n")[2].partition("\n<!-- needs: end -->")[0]

    assert shown == as_table(), "write what migrator.privileges.needs.as_table() returns between the two marks"
