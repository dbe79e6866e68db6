"""The dossier of a decommission: whether it can be written, before anything is closed, and the final one at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from migrator.control import history
from migrator.decommission import attempt
from migrator.dossier import write
from migrator.errors import ClusterUnavailable, PreconditionFailed, UsageError
from migrator.model.blocker import Blocker
from migrator.model.dossier import Written
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

PROBE = "dossier.probe"
VALID_S = 600.0
"""A gate that is asked every few seconds tries the place this seldom: S3 keeps what was written."""


def blockers(conn: Connection, plan: Plan, home: Path, *, keep: bool, fresh: bool = False) -> tuple[Blocker, ...]:
    """Return why the dossier cannot be written where *plan* says; nothing where it can.

    Args:
        keep: this process is one that may write it: the key signs and a small object is written, unless that was done
            within ten minutes, and what came of it is stored on classic. Else what is stored there is returned.
        fresh: try it in any case.
    """
    rules = plan.decommission
    if rules.dossier is None and rules.release_classic and plan.classic.cluster_id is not None:
        text = "the plan names no place for the dossier, and the cluster is to be deleted: decommission.dossier"
        return (Blocker("dossier.no_place", "", text),)
    wanted = [rules.dossier, rules.dossier_key, rules.dossier_fingerprint, rules.dossier_kms_key_id]
    stored = history.newest_report(conn, PROBE)
    known = stored["body"] if stored and stored["body"]["wanted"] == wanted else None
    if keep and (fresh or known is None or known["problem"] or _age_s(conn, stored) > VALID_S):
        problem = _tried(plan, home)
        history.set_report(conn, PROBE, {"wanted": wanted, "problem": problem})
    else:
        problem = known["problem"] if known else ""
    return (Blocker("dossier.unwritable", rules.dossier or "", problem),) if problem else ()


def _age_s(conn: Connection, stored: dict[str, Any] | None) -> float:
    return (attempt.now(conn) - stored["at"]).total_seconds() if stored else VALID_S


def _tried(plan: Plan, home: Path) -> str:
    """Try key and place; return what is wrong, '' when a dossier can be written."""
    try:
        write.probe(write.order(plan, home))
    except (PreconditionFailed, ClusterUnavailable, UsageError) as error:
        return f"{error}{f' ({error.hint})' if error.hint else ''}"
    return ""


def final(conn: Connection, plan: Plan, number: int, home: Path) -> Written:
    """Write the final dossier of attempt *number*, or find it; then mark the attempt as written down.

    Raises:
        PreconditionFailed, ClusterUnavailable: it cannot be written; classic stays as it is.
    """
    written = write.write(conn, write.order(plan, home, attempt=number), home)
    with conn.transaction():  # one act: the entry is not in the dossier, so a run that finds it here wrote it
        write.record(conn, written, "decommission", "classic is going to be retired")
        attempt.note(conn, number, dossier=written.place, dossier_digest=written.digest)
        attempt.mark_time(conn, number, "exported_at")
    return written
