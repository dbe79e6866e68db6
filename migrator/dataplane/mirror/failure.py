"""Records a mirror that failed with an error that no retry removes; it is started again all the same."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.control.partition import mark_mirror_failed
from migrator.control.phase import phase_state, set_phase
from migrator.model.blocker import Blocker
from migrator.model.phase import Phase


def note_failure(conn: psycopg.Connection[Any], part: int, error: str, message: str) -> None:
    """Show that the mirror of *part* failed, with the type of *error* and its text; owns its transaction."""
    with conn.transaction():
        decide(conn, "mirror", "mirror.failed", f"partition {part}", f"{error}: {message}")
        mark_mirror_failed(conn, part, message)
        if phase_state(conn, Phase.DUAL_WRITE.value) == "running":
            set_phase(
                conn,
                Phase.DUAL_WRITE.value,
                "blocked",
                f"mirror partition {part} stopped",
                [Blocker("mirror.failed", str(part), message)],
                "correct the cause; it is started again by itself, or at once with: migrator resume",
            )
