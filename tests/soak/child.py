"""A run of schema changes in a process of its own, which kills itself with SIGKILL at its nth moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from migrator.dataplane.change.apply import apply
from migrator.dataplane.change.progress import Work
from migrator.db.connect import connect
from migrator.errors import NoGo
from migrator.plan.load import from_body
from migrator.plan.schema import Plan
from tests.soak.killing import countdown


def killed(classic: str, limitless: str, plan: Plan, text: str, source: str, moments: int) -> bool:
    """Run *text*, the file *source*, in a process that dies at its nth moment; return whether it lasted so long."""
    given = {"classic": classic, "limitless": limitless, "plan": plan.model_dump_json(), "text": text, "source": source}
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(moments)], input=json.dumps(given), text=True, timeout=120
    )
    return done.returncode == -signal.SIGKILL


def main() -> None:
    given = json.load(sys.stdin)
    a, b, c = (connect(given[side], "schema") for side in ("classic", "limitless", "classic"))
    watch = countdown(int(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGKILL))
    try:
        apply(Work(from_body(json.loads(given["plan"])), a, b, c, "child", watch=watch), given["text"], given["source"])
    except NoGo:
        sys.exit(3)  # the run that follows says it again


if __name__ == "__main__":
    main()
