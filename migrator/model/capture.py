"""Differences between capture and what it was built to be, in the operator's words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ADVICE = (
    "A column, an enum's value or a partition that came or went past the guard: migrator schema adopt. Otherwise writes"
    " may have passed the journal: restore what was changed, then copy everything again: migrator mirror recopy"
    " --reason …"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as capture was built for it.

    Attributes:
        code: changed, gone or new against what was noted; asleep: triggers that are not enabled ALWAYS; subscribed: fed
            by a subscription; narrow: a trigger before updates may change keys unseen; key: no unique index any more;
            uncaptured, unguarded: capture was never installed there; setting: event triggers are switched off.
        kind: table, type, schema, function, collation, extension, capture function or event trigger.
        name: what it was called when it was noted, and now.
        facets: which sides of it differ; of `asleep`, the triggers.
    """

    code: str
    kind: str
    name: str
    facets: tuple[str, ...] = ()
    oid: int = 0

    @property
    def unfinished(self) -> bool:
        """Whether capture may just not be made yet; running its installation again goes on from there."""
        return self.code in ("uncaptured", "unguarded")

    @property
    def ours(self) -> bool:
        """Whether only parts of capture itself differ, which can be made anew."""
        if self.kind in ("capture function", "event trigger"):
            return self.code != "setting"
        return self.unfinished or self.code in ("asleep", "narrow", "new") or self.facets == ("capture",)

    @property
    def text(self) -> str:
        """What is true, for an operator."""
        what = f"{self.kind} {self.name}"
        match self.code:
            case "asleep":
                return f"{what}: {_list(self.facets, 'trigger')} not enabled ALWAYS, so writes may pass the journal"
            case "subscribed":
                return f"{what}: a subscription feeds it, and what it writes is not journalled"
            case "narrow":
                return f"{what}: a BEFORE UPDATE trigger that the DDL guard did not see may change keys"
            case "key":
                return f"{what}: no unique index on its key is left"
            case "uncaptured":
                return f"{what} is not captured"
            case "unguarded":
                return f"{what} is missing: commands that change captured tables are not refused"
            case "setting":
                return f"event triggers are switched off by {self.name}: commands are not refused"
            case "gone":
                return f"{what} is missing (another one may have its name)"
            case "new":
                return f"{what} was added past the DDL guard"
        if self.facets == ("capture",):
            return f"{what}: capture's triggers were changed, dropped, or disabled for a while"
        return f"{what} was changed: {', '.join(self.facets)}"


def _list(names: tuple[str, ...], what: str) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
