"""A compose project of the test run's own: how it is brought up, asked, and looked over for a marked password."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, LiteralString

import psycopg

from tests import ROOT

MARK = "Geheim-4711-marked"
CONTROL = "in-nobodys-way-0815"
"""What a search must find, so that it can find at all."""
PORTS = ("CLASSIC_PORT", "LIMITLESS_PORT", "ROUTERS_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "PGBOUNCER_PORT")


def compose_program() -> list[str]:
    found = subprocess.run(["docker", "compose", "version"], capture_output=True)
    return ["docker", "compose"] if found.returncode == 0 else ["docker-compose"]


def docker(*words: str, timeout_s: float = 120) -> str:
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s
    )
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


@dataclass
class Watch:
    """Looks at every process's arguments until told to stop."""

    seen: dict[str, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.2):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = entry.read_bytes()
                    for text in (MARK, CONTROL):
                        if text.encode() in line:
                            self.seen.setdefault(text, line.replace(b"\0", b" ").decode(errors="replace")[:200])


@dataclass
class Stack:
    """One compose project of this test run's own, on free ports."""

    environment: dict[str, str]
    plans: Path
    watch: Watch

    def run(self, *words: str, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*compose_program(), *words],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s,
        )  # fmt: skip

    def run_bytes(self, *words: str) -> bytes:
        """Return what a command printed on stdout, as it is."""
        done = subprocess.run(
            [*compose_program(), *words],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def compose(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"compose {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def tools(self, *words: str) -> str:
        """Type a command in the tools container; returns what it printed on stdout."""
        return self.compose("run", "--rm", "-T", "tools", *words)

    def dsn(self, side: str) -> str:
        user, port = {"classic": ("migrator", "CLASSIC_PORT"), "limitless": ("dba", "LIMITLESS_PORT")}[side]
        return f"postgresql://{user}:{MARK}@127.0.0.1:{self.environment[port]}/app"

    def ids(self, service: str) -> list[str]:
        project = self.environment["COMPOSE_PROJECT_NAME"]
        labels = (f"com.docker.compose.project={project}", f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return docker("ps", "--all", "--quiet", *filters).split()

    def healthy(self, service: str) -> bool:
        found = [json.loads(docker("inspect", "--format", "{{json .State}}", id_)) for id_ in self.ids(service)]
        return bool(found) and all(state.get("Health", {}).get("Status") == "healthy" for state in found)


def plan_with(plan: str, **values: str) -> str:
    """Return the plan with other values of its fields."""
    for name, value in values.items():
        plan, changed = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", plan)
        assert changed == 1, name
    return plan


def ask(conn: psycopg.Connection, question: LiteralString, *values: object) -> bool:
    """One yes or no; a table that is not there yet is a no."""
    try:
        row = conn.execute(question, values).fetchone()
    except psycopg.errors.UndefinedTable:
        return False
    return bool(row and row[0])


# -- the search


def holds(stream: IO[bytes], texts: tuple[str, ...]) -> set[str]:
    """Return which *texts* a stream holds; one that is compressed is searched decompressed."""
    found, tail, chunk = set[str](), b"", stream.read(1 << 20)
    unzip = zlib.decompressobj(wbits=31) if chunk[:2] == b"\x1f\x8b" else None
    while chunk:
        body = tail + (unzip.decompress(chunk) if unzip else chunk)
        found |= {text for text in texts if text.encode() in body}
        tail, chunk = body[-100:], stream.read(1 << 20)
    return found


def image_holds(image: str, texts: tuple[str, ...]) -> set[str]:
    """Return which *texts* are in any file of any layer of an image, in its configuration or in its history."""
    found = {t for t in texts if t in docker("history", "--no-trunc", image) + docker("inspect", image)}
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        with tarfile.open(fileobj=saved.stdout, mode="r|") as archive:
            for member in archive:
                body = archive.extractfile(member) if member.isfile() else None
                if body is not None:
                    found |= holds(body, texts)
        assert saved.stdout is not None
        while saved.stdout.read(1 << 20):  # the archive's padding
            pass
    assert saved.returncode == 0
    return found


def tables_that_hold(conn: psycopg.Connection, text: str) -> list[str]:
    """Return every table of this database, ours or the server's, with *text* in a row."""
    names = conn.execute(
        "SELECT c.oid::regclass::text FROM pg_class AS c"
        " WHERE c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') AND"
        " (c.relnamespace = 'migrator'::regnamespace OR c.relname IN ('pg_subscription', 'pg_proc', 'pg_trigger'))"
    ).fetchall()
    found = []
    for (name,) in names:
        row = conn.execute(f"SELECT count(*) FROM {name} AS t WHERE t::text LIKE %s", [f"%{text}%"]).fetchone()
        if row and row[0]:
            found.append(name)
    return found
