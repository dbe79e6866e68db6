"""What follows the method in the text of an index, whatever its names and expressions say."""

from __future__ import annotations

import pytest

from migrator.catalog.rows import over_column, tail

DEFINITIONS = {
    "plain": ("CREATE INDEX i ON s.t USING btree (a)", None, False, "(a)"),
    "unique, of a root of partitions": ("CREATE UNIQUE INDEX i ON ONLY s.t USING btree (a)", None, False, "(a)"),
    "without a schema": ("CREATE INDEX i ON t USING gin (a)", None, False, "(a)"),
    "quoted": ('CREATE INDEX "i""j. k" ON "s.x"."t y" USING btree (a)', None, False, "(a)"),
    "words in its name": ('CREATE INDEX "x USING btree y" ON s.t USING btree (a)', None, False, "(a)"),
    "words in the table's name": ('CREATE INDEX i ON s."x USING btree y" USING btree (a)', None, False, "(a)"),
    "words in a text": (
        "CREATE INDEX i ON s.t USING btree ((a || ' USING btree '))",
        None,
        False,
        "((a || ' USING btree '))",
    ),
    "parameters": ("CREATE INDEX i ON s.t USING btree (a) WITH (fillfactor='50')", None, True, "(a)"),
    "parameters before a predicate": (
        "CREATE INDEX i ON s.t USING btree (a) INCLUDE (b) WITH (fillfactor='50') WHERE (b > 0)",
        "(b > 0)",
        True,
        "(a) INCLUDE (b) WHERE (b > 0)",
    ),
    "words of parameters in a text": (
        "CREATE INDEX i ON s.t USING btree ((a || ' WITH (x)')) WITH (fillfactor='50')",
        None,
        True,
        "((a || ' WITH (x)'))",
    ),
    "words of parameters in a predicate": (
        "CREATE INDEX i ON s.t USING btree (a) WITH (fillfactor='50') WHERE (b <> ' WITH (x)'::text)",
        "(b <> ' WITH (x)'::text)",
        True,
        "(a) WHERE (b <> ' WITH (x)'::text)",
    ),
}


@pytest.mark.parametrize("case", DEFINITIONS)
def test_the_tail_of_an_index(case: str) -> None:
    definition, predicate, has_options, expected = DEFINITIONS[case]

    assert tail(definition, predicate, has_options=has_options) == expected


def test_what_is_no_index_is_an_error() -> None:
    with pytest.raises(ValueError, match="not the definition of an index"):
        tail("CREATE TABLE t (a int)", None, has_options=False)


def test_a_domains_condition_over_a_column() -> None:
    """VALUE in texts and quoted names is no column."""
    assert over_column("(VALUE <> 'VALUE'::text)", '"a b"') == "(\"a b\" <> 'VALUE'::text)"
