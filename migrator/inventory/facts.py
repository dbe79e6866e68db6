"""What the two sides hold in the migrated schemas, as values: by name, never by oid."""

from __future__ import annotations

from dataclasses import dataclass, field

from migrator.model.blocker import Blocker


@dataclass(frozen=True, slots=True)
class Relation:
    """Something on classic that holds rows, or looks as if.

    Attributes:
        sort: "table", "materialized view" or "foreign table".
        root: the table it is a partition of, at the top; None when it is no partition.
        detached: it was a partition of a captured table, and was detached.
    """

    qualified: str
    sort: str = "table"
    root: str | None = None
    detached: bool = False

    @property
    def subject(self) -> str:
        return f"{self.sort} {self.qualified}"


@dataclass(frozen=True, slots=True)
class Thing:
    """A sequence, type, function, view or extension.

    Attributes:
        subject: sort and name as provisioning calls it, "sequence app.invoice_number"; `gates.acknowledged` takes it.
        detail: what has to be equal on both sides: labels of an enum, columns of a view, a digest of a function's body.
        owner: of a sequence: the table that owns it, "" when none does.
    """

    subject: str
    detail: str = ""
    owner: str = ""

    @property
    def sort(self) -> str:
        return self.subject.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the stored plan says about it.

    Attributes:
        planned: a plan with tables is stored; without one, what capture left alone when it went on counts as excluded.
        acknowledged: subjects, from gates.acknowledged.
    """

    schemas: frozenset[str]
    excluded: frozenset[str] = frozenset()
    acknowledged: frozenset[str] = frozenset()
    planned: bool = True


@dataclass(frozen=True, slots=True)
class ClassicFacts:
    """Classic's side.

    Attributes:
        captured: qualified names of captured tables.
        set_aside: subjects that were there when capture went on and that it left alone.
        schemas: all schemas with tables in them, also those that the plan does not name.
    """

    scope: Scope
    captured: frozenset[str]
    relations: tuple[Relation, ...] = ()
    things: tuple[Thing, ...] = ()
    set_aside: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LimitlessFacts:
    """Limitless' side: qualified names of tables, and details of things by subject."""

    tables: frozenset[str] = frozenset()
    things: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that one side has and the other would lack after the hand-over.

    Attributes:
        code: the kind of difference, for programs.
        subject: what `gates.acknowledged` takes to accept it.
        text: what is true.
        advice: what to do next.
        loses_rows: rows or keys would be lost, so every gate says no; otherwise only that of the decommission.
    """

    code: str
    subject: str
    text: str
    advice: str
    loses_rows: bool = False

    @property
    def line(self) -> str:
        return f"{self.text}. {self.advice}"

    @property
    def fact(self) -> Blocker:
        """What is true, without the advice."""
        return Blocker(f"inventory.{self.code}", self.subject, self.text)

    @property
    def blocker(self) -> Blocker:
        return Blocker(f"inventory.{self.code}", self.subject, self.line)
