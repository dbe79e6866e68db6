"""In which order rows of several tables are written: parents first, as far as there is a first one."""

from __future__ import annotations

import pytest

from migrator.model.table import Column, Hop, Table, TableKind, parents_first


def table(name: str, via: str = "") -> Table:
    path = (Hop(("parent",), f"s.{via}", ("id",)),) if via else ()
    return Table("s", name, TableKind.SHARDED, (Column("id", "bigint", True),), ("id",), "tenant_id", path=path)


@pytest.mark.parametrize(
    ("given", "referenced", "wanted"),
    [
        ("c b a", {}, "a b c"),
        ("orders users", {"orders": "users"}, "users orders"),
        ("a b c d", {"a": "b", "b": "c", "c": "d"}, "d c b a"),
        ("a b", {"a": "a b"}, "b a"),  # one that refers to itself
        ("a b c", {"a": "b", "b": "a", "c": "a"}, "a b c"),  # a circle
        ("a b", {"a": "elsewhere"}, "a b"),
        ("a/z z", {}, "z a"),
        ("a/z z b", {"z": "a", "b": "a"}, "z a b"),  # a key against the path: the path counts
        ("a/z z", {"z": "b", "b": "a"}, "z a"),
        ("a/b b/c c d", {"c": "d"}, "d c b a"),
    ],
)
def test_parents_come_first(given: str, referenced: dict[str, str], wanted: str) -> None:
    tables = tuple(table(*word.split("/")) for word in given.split())
    keys = {f"s.{name}": [f"s.{parent}" for parent in parents.split()] for name, parents in referenced.items()}

    assert [t.name for t in parents_first(tables, keys)] == wanted.split()
