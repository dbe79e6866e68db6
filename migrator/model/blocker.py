"""A blocker: one reason for a no, as a value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

UNIQUE_ACROSS = "unique.across_tenants"
"""Code of a unique key without the tenant key; the subject is table and index, with dots between."""


class Blocker(str):
    """One reason why something may not go on: its text for people, the attributes for code.

    It is its text wherever it is printed, stored or sent, so outputs and workflow histories hold texts. Code that
    decides looks at the attributes, never at the words.

    Attributes:
        code: the kind, `noun.participle`, for example "copy.failed". Empty where only a text was read back.
        subject: what it is about: a tenant, a partition, an object's name; empty when it is about everything.
        heals_by_itself: it clears by itself; no person has to do anything.
    """

    __slots__ = ("code", "heals_by_itself", "subject")

    code: str
    subject: str
    heals_by_itself: bool

    def __new__(cls, code: str, subject: str, text: str, heals_by_itself: bool = False) -> Blocker:
        made = super().__new__(cls, text)
        made.code, made.subject, made.heals_by_itself = code, subject, heals_by_itself
        return made

    @classmethod
    def read(cls, text: str) -> Blocker:
        """Return the blocker whose *text* was stored, or came through Temporal or JSON."""
        return text if isinstance(text, cls) else cls("", "", text)

    @property
    def text(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Blocker, (self.code, self.subject, self.text, self.heals_by_itself)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> dict[str, Any]:
        """Messages carry the text. The schema is spelled out, because this package uses the standard library only."""
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": cls.read},
            "schema": {"type": "str"},
        }


def blockers(code: str, subject: str, texts: Iterable[str], heals_by_itself: bool = False) -> tuple[Blocker, ...]:
    """Return one blocker per text, all of one kind and about one thing."""
    return tuple(Blocker(code, subject, text, heals_by_itself) for text in texts)


@dataclass(frozen=True, slots=True)
class Cause:
    """Blockers that say the same of different things; the first stands for all of them."""

    blockers: tuple[Blocker, ...]

    @property
    def line(self) -> str:
        """The first blocker, then how many more there are and whom a few of them are about."""
        first, *others = self.blockers
        if not others:
            return first.text
        names = list(dict.fromkeys(b.subject for b in others if b.subject and b.subject != first.subject))
        examples = ", ".join(names[:EXAMPLES]) + (", …" if len(names) > EXAMPLES else "")
        return f"{first.text} (and {len(others):,} more like it" + (f": {examples})" if names else ")")


EXAMPLES = 3

_VARIES = re.compile(r"(?<=tenant )\S+|\"[^\"]*\"|'[^']*'|(?<![\w.])-?\d[\w.,:-]*")
"""What differs between blockers of one cause whose subject is not known: a tenant, quoted names, figures."""


def grouped(found: Iterable[str]) -> tuple[Cause, ...]:
    """Return the causes of *found*, in the order in which each came first.

    One cause is one code and one wording, whatever the subject and the figures are: what differs in its words has to be
    read, so it stays a line of its own.
    """
    causes: dict[tuple[str, str], list[Blocker]] = {}
    for text in found:
        blocker = Blocker.read(text)
        causes.setdefault((blocker.code, _wording(blocker)), []).append(blocker)
    return tuple(Cause(tuple(blockers)) for blockers in causes.values())


def _wording(blocker: Blocker) -> str:
    text = blocker.text
    if blocker.subject:
        for part in (blocker.subject, blocker.subject.rpartition(".")[2]):
            text = text.replace(part, "…") if part else text
    return _VARIES.sub("…", text)
