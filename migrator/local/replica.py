"""Makes a streaming replica of a server on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from psycopg import conninfo

from migrator.local import process
from migrator.local.faults import ServerFailed
from migrator.local.server import Server, disk_full

REPLICA_OPTIONS = ("hot_standby_feedback=on", "wal_retrieve_retry_interval=100ms", "wal_receiver_status_interval=1s")
"""A replica here follows at once, and comes back at once when its primary does."""


def make_replica(primary: Server, data: Path, port: int, *, via_port: int | None = None) -> Server:
    """Copy a running server into *data*, all of it or nothing; return the replica, which is not started.

    Args:
        via_port: where the replica reaches its primary, for example a proxy; the primary's own port by default.

    Raises:
        DiskFull, ServerFailed: the copy failed; with the end of what pg_basebackup said.
    """
    account = process.server_account()
    work = Path(tempfile.mkdtemp(prefix=f"{data.name}.tmp-", dir=data.parent))
    found = conninfo.conninfo_to_dict(primary.dsn())
    try:
        with disk_full(data):
            account.own(work)
            done = subprocess.run(
                [
                    *(primary.bin / "pg_basebackup", "-D", work / "data", "-h", str(found["host"])),
                    *("-p", str(via_port or primary.port), "-U", str(found["user"])),
                    *("-R", "-c", "fast", "-X", "stream", "--no-sync", "-w"),
                ],
                env={**os.environ, "PGPASSWORD": primary.password, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=account.uid if account.is_other else None,
                group=account.gid if account.is_other else None,
                extra_groups=[] if account.is_other else None,
            )
            if done.returncode:
                said = done.stdout.decode(errors="replace").strip()[-500:]
                raise ServerFailed(f"pg_basebackup of {primary.name}", primary.log, said)
            (work / "data").rename(data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Server(
        f"{primary.name}-replica", data, primary.bin, port, primary.password, primary.detached, REPLICA_OPTIONS
    )
