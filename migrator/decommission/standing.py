"""Says how far classic's end is, for people and for programs. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from migrator.decommission.progress import DecommissionProgress
from migrator.model.counted import counted
from migrator.model.retirement import Retirement, Rules, copy_until, kept_until, missing

SHOWN = 10


def body(reached: DecommissionProgress | None, known: Retirement | None, rules: Rules, tables: int) -> dict[str, Any]:
    """Return everything as plain JSON values. reached: what classic says; None: it does not answer."""
    found: dict[str, Any] = {
        "classic_answers": reached is not None,
        "attempt": reached.number if reached else None,
        "state": reached.state if reached else ("retiring" if known else None),
        "write_mode": str(reached.write_mode) if reached and reached.write_mode else None,
        "tables_kept": tables,
        "retirement": None,
    }
    if known is not None:
        found["retirement"] = {
            "kind": known.kind, "cluster": known.cluster, "copy": known.copy, "copied_at": known.copied_at,
            "stopped_at": known.stopped_at, "stop_problem": known.stop_problem, "starts": known.starts,
            "kept_until": kept_until(known, rules), "restored": known.restored, "is_restored": known.is_restored,
            "approved_by": known.approved_by, "approved_at": known.approved_at, "deleted_at": known.deleted_at,
            "copy_kept_until": copy_until(known, rules), "copy_deleted_at": known.copy_deleted_at,
            "missing": list(map(str, missing(known, rules))), "events": list(known.events),
        }  # fmt: skip
    return found


def lines(
    reached: DecommissionProgress | None,
    known: Retirement | None,
    rules: Rules,
    tables: int,
    absent: str = "Classic does not answer",
) -> list[str]:
    """Return the same for a terminal. absent: why classic says nothing, where it does not."""
    said = [_attempt(reached, known, absent)]
    if known is None:
        return said
    if known.kind == "kept":
        return [*said, f"Classic is left running: {known.why}."]
    said.append(f"Last copy: {known.copy}, of {_at(known.copied_at)}" if known.copy else "Last copy: none yet")
    said.append(f"Held in the end: {counted(tables, 'table is', 'tables are')} known by count and digest")
    if known.restored:
        how = "equal" if known.is_restored else "not passed, or of another copy"
        said.append(f"Restored: {how}, on {str(known.restored.get('at'))[:16]} by {known.restored.get('who')}")
        said += [f"- {problem}" for problem in list(known.restored.get("problems", ()))[:SHOWN]]
    else:
        said.append("Restored: never; migrator drill restore")
    if known.stopped_at:
        again = f", found running {counted(known.starts, 'time')} since" if known.starts else ""
        said.append(f"Stopped: {_at(known.stopped_at)}{again}")
    elif known.stop_problem:
        said.append(f"Stopped: no, {known.stop_problem}")
    if known.kind == "aws":
        said += _deletion(known, rules)
    said += [f"{str(event.get('at'))[:16]}  {event.get('who')}: {event.get('what')}" for event in known.events[-SHOWN:]]
    return said


def _attempt(reached: DecommissionProgress | None, known: Retirement | None, absent: str) -> str:
    if reached is None:
        return absent + ("; it was retired" if known is not None else "")
    if reached.number is None:
        return "No attempt to retire classic was made yet: migrator decommission check"
    return f"Attempt {reached.number} to retire classic, approved by {reached.approver}: {reached.state}"


def _deletion(known: Retirement, rules: Rules) -> list[str]:
    if known.deleted_at:
        until = copy_until(known, rules)
        kept = f"kept until {_at(until)}" if until else "kept without an end"
        gone = f"deleted {_at(known.copy_deleted_at)}" if known.copy_deleted_at else kept
        return [f"Deleted: {_at(known.deleted_at)}; its last copy is {gone}"]
    if known.approved_by:
        return [f"Deletion: approved by {known.approved_by}, after {_at(kept_until(known, rules))}"]
    why = [f"- {blocker}" for blocker in missing(known, rules)]
    return [f"Deletion: not approved; kept until {_at(kept_until(known, rules))} at least", *why]


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "?"
