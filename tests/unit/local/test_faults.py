"""The end of a server's log becomes the right error."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.local.faults import DiskFull, LocalError, PortInUse, ServerFailed, server_failed


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('FATAL:  could not write to file "pg_wal/xlogtemp.1": No space left on device', DiskFull),
        ("FATAL:  could not create shared memory segment: No space left on device", ServerFailed),
        ("FATAL:  could not create semaphores: No space left on device", ServerFailed),
        ('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use', PortInUse),
        ("error: listen tcp 127.0.0.1:7233: bind: address already in use", PortInUse),
        ('FATAL:  data directory "/x" has invalid permissions', ServerFailed),
    ],
)
def test_the_log_is_read_for_the_operator(tmp_path: Path, line: str, kind: type[LocalError]) -> None:
    """Full disks and taken ports are told apart; everything else shows the log itself."""
    log = tmp_path / "server.log"
    log.write_text(f"LOG:  starting\n{line}\n")
    found = server_failed("classic", 5432, tmp_path / "data", log)

    assert type(found) is kind
    assert str(found) and (found.hint or line in str(found))


def test_old_lines_of_the_log_do_not_count(tmp_path: Path) -> None:
    """What an earlier start said is not what this one failed of."""
    log = tmp_path / "server.log"
    log.write_text("FATAL:  No space left on device\n")
    since = log.stat().st_size
    with log.open("a") as stream:
        stream.write("FATAL:  something else\n")

    assert type(server_failed("classic", 5432, tmp_path, log, since)) is ServerFailed
