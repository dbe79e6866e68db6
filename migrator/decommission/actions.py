"""Lists the steps of a decommission for a dry run, with the point of no return."""

from __future__ import annotations

from migrator.model.action import Action

REOPEN = "reopen writes on classic (by itself when a step fails or takes too long)"


def actions(release_classic: bool) -> list[Action]:
    """Return the steps in their order, as a dry run shows them."""
    steps = [
        Action("prepare", "add the remaining indexes and foreign keys on Limitless", "drop them"),
        Action("validate", "validate everything that changed since its last clean validation", "nothing to undo"),
        Action("close", "close writes: shims wait, triggers refuse all other writes, running writers end", REOPEN),
        Action("drain", "wait until every mirror has the last write", REOPEN),
        Action("validate-changed", "validate what changed since then", REOPEN),
        Action("sequences", "restart sequences on Limitless above everything classic used", REOPEN),
        Action("positions", "close mirror positions and copy leases on Limitless", REOPEN),
        Action("hand-over", "make Limitless authoritative: writes go there and nowhere else", None),
        Action("settle", "store the terminal route on Limitless", None),
        Action("capture", "remove capture from classic", None),
        Action("dossier", "write the dossier, signed where the plan names a key, and read it back", None),
        Action("fingerprint", "store what each table of classic holds, by count and digest", None),
    ]
    if release_classic:
        steps.append(Action("release", "take a last snapshot of classic and stop it; it is not deleted", None))
    return steps
