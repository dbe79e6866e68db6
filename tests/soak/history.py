"""A folder of migrations as its application would run it, and what to know about the application to replay it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.scripts.directions import forward
from migrator.scripts.folder import expand


@dataclass(frozen=True, slots=True)
class Migration:
    """One file's way forward; `name` is the file's, or its folder's where every file has the same name."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Application:
    """What the files do not say.

    Attributes:
        tenant: the tenant column.
        schemas: those to migrate; the first is where names without one are.
        begin: migrations that ran before the data began to move.
        tables: what a table becomes, as in a plan, where the catalog does not say it (`entries.py`).
        values: values that a column takes, by table and column, where any of its type would not do.
        before: SQL that prepares the database for the first migration.
    """

    tenant: str
    schemas: tuple[str, ...] = ("public",)
    begin: int = 1
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    before: str = ""

    @classmethod
    def load(cls, path: Path) -> Application:
        """Read a description (TOML with the fields of this class)."""
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        given["schemas"] = tuple(given.get("schemas", ("public",)))
        return cls(**given)


def read_history(folder: Path) -> list[Migration]:
    """Return the migrations of *folder* in order, with what leads back left out."""
    found = []
    for path in expand(folder).files:
        name = path.parent.name if path.stem in ("migration", "up") else path.stem
        text = forward(path.read_text(encoding="utf-8")).text
        found.append(Migration(name, text))
    return found
