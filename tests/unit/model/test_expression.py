"""Which texts of an expression are the same one?"""

from __future__ import annotations

import pytest

from migrator.model.expression import same_expression


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, None),
        ("((a > 0))", "(a  >\n0)"),
        ('("tenant_id", n)', "(tenant_id, n)"),
        ("(NOT (a))", "NOT a"),
        ("((a = 1) OR (b))", "(a = 1) OR b"),
        ("f((a))", "f(a)"),
    ],
)
def test_these_are_the_same(one: str | None, other: str | None) -> None:
    assert same_expression(one, other) and same_expression(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", None),
        ("(a + b) * c", "a + (b * c)"),
        ("((a OR b) AND c)", "(a OR (b AND c))"),
        ("NOT (a AND b)", "(NOT a) AND b"),
        ("'in progress'::text", "'inprogress'::text"),
        ("'(a)'", "'a'"),
        ("'x\"y'", "'xy'"),
        ("'A'", "'a'"),
        ('"A"', "a"),
        ("E'a\\nb'", "'a\\nb'"),
        ("f(a)", "(f, a)"),
        ("nextval('app.a_seq'::regclass)", "nextval('app.b_seq'::regclass)"),
        ("a - (b - c)", "(a - b) - c"),
        ("(tenant_id, n)", "(n, tenant_id)"),
    ],
)
def test_these_are_not(one: str | None, other: str | None) -> None:
    assert not same_expression(one, other) and not same_expression(other, one)
