"""The shim behind the line protocol: a client under test. `python -m migrator.contract.speaker` speaks it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import psycopg
from psycopg import conninfo

from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale, WritesClosed
from migrator.shim import CommittedUnconfirmed, Read, Shim

_PUT = "INSERT INTO app.note VALUES (%s, %s, %s) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body"
_GET = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"

_ERRORS: dict[type[Exception], str] = {
    CommittedUnconfirmed: "unconfirmed",
    CommitUnknown: "unknown",
    WritesClosed: "closed",
    ReadStale: "stale",
    ClusterUnavailable: "unavailable",
    psycopg.OperationalError: "unavailable",
}

Command = Mapping[str, Any]


def dsn(told: Mapping[str, Any]) -> str:
    """Return the connection string of a server as the line protocol tells it."""
    return conninfo.make_conninfo(
        "", host=told["host"], port=told["port"], dbname=told["database"], user=told["user"],
        password=told["password"] or "", connect_timeout=3,
    )  # fmt: skip


class Speaker:
    """Answers commands by a shim."""

    def __init__(self) -> None:
        self._shim: Shim | None = None
        self._reading: Read | None = None
        self._tenant = ""

    def answer(self, command: Command) -> dict[str, Any]:
        """Do one command; what goes wrong is part of the answer."""
        try:
            return {"ok": True, **getattr(self, f"_{command['do']}")(command)}
        except Exception as error:
            word = next((word for kind, word in _ERRORS.items() if isinstance(error, kind)), "other")
            return {"ok": False, "error": word, "text": str(error)}

    def close(self) -> None:
        """Leave the register."""
        if self._shim is not None:
            self._shim.close()

    def _start(self, command: Command) -> dict[str, Any]:
        self._shim = Shim(dsn(command["classic"]), dsn(command["limitless"]), command["name"])
        self._shim.open()
        return {"process": self._shim.process_id}

    def _write(self, command: Command) -> dict[str, Any]:
        assert self._shim is not None
        tenant, values = command["tenant"], (command["tenant"], command["key"], command["body"])
        if command.get("wait", True):
            self._shim.run_write(tenant, lambda w: w.connection.execute(_PUT, values))
            return {}
        session = self._shim.session()
        session.run_write(tenant, lambda w: w.connection.execute(_PUT, values))
        return {"token": str(session.token)}

    def _read(self, command: Command) -> dict[str, Any]:
        assert self._shim is not None
        tenant, key = command["tenant"], command["key"]
        return self._shim.run_read(tenant, lambda r: _found(r, tenant, key), after=command.get("token"))

    def _begin_read(self, command: Command) -> dict[str, Any]:
        assert self._shim is not None
        self._tenant = command["tenant"]
        self._reading = self._shim.read(self._tenant)
        self._reading.__enter__()
        self._reading.connection.execute("SELECT 1")
        return {"side": str(self._reading.side)}

    def _end_read(self, command: Command) -> dict[str, Any]:
        reading, self._reading = self._reading, None
        assert reading is not None
        with _Left(reading):
            return _found(reading, self._tenant, command["key"])


class _Left:
    """The end of a read that was entered before."""

    def __init__(self, reading: Read) -> None:
        self._reading = reading

    def __enter__(self) -> None:
        return None

    def __exit__(self, *how: Any) -> None:
        self._reading.__exit__(*how)


def _found(read: Read, tenant: str, key: int) -> dict[str, Any]:
    row = read.connection.execute(_GET, (tenant, key)).fetchone()
    return {"side": str(read.side), "body": None if row is None else row[0]}


def main(given: TextIO = sys.stdin, said: TextIO = sys.stdout) -> None:
    """Speak until the input ends."""
    speaker = Speaker()
    try:
        for line in given:
            command = json.loads(line)
            print(json.dumps({"id": command["id"], **speaker.answer(command)}), file=said, flush=True)
    finally:
        speaker.close()


if __name__ == "__main__":
    main()
