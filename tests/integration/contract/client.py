"""A client of the contract in SQL, written from docs/contract.md alone: simple, without a thread.

It can be told to break one rule, by `--broken NAME`; the kit has to find that.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

PUT = "INSERT INTO app.note VALUES (%s, %s, %s) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body"
GET = "SELECT body FROM app.note WHERE tenant_id = %s AND id = %s"

BROKEN = {
    "returns before the mirror has it": ("acknowledged", "was acknowledged, .* was read"),
    "never falls back": ("bounded", "on Limitless: error unconfirmed.*was not acknowledged"),
    "confirms with a read under way": ("confirmed", "2 confirmed, 0 silent.*handed out 'before'"),
    "leaves the register": ("confirmed", "classic knows no live process"),
    "hands out what ran out": ("process-frozen", "handed out 'before'"),
    "keeps a side": ("classic-frozen", "side 'limitless' body 'before'"),
    "reads without the token": ("session", "with the token: ok side 'limitless' body 'before'"),
    "commits without a token": ("closed", "classic holds 'closed'"),
    "says that it failed": ("lost-answer", "error unavailable.*the row is there"),
    "returns before all know": ("hand-over", "while a live process still reads classic"),
    "forgets the end": ("hand-over", "a read without classic: (error|ok side 'classic')"),
}
"""What a client may do wrong, the promise that it breaks by that, and what tells."""


class Refused(Exception):
    """One answer of the protocol that is an error: its word."""


class Flight(NamedTuple):
    epoch: int | None
    mark: str | None


class Reading(NamedTuple):
    name: str
    tenant: str
    side: str
    until_s: float
    flight: Flight | None


class SimpleClient:
    def __init__(self, start: dict[str, Any], broken: str) -> None:
        self.broken = broken
        self.addresses = {"classic": start["classic"], "limitless": start["limitless"]}
        self.process, self.name = f"sql:{secrets.token_hex(8)}", start["name"]
        self.conns: dict[str, psycopg.Connection[Any]] = {}
        self.over, self.over_s, self.known = False, 0.0, False
        self.flights: list[Flight] = []
        self.kept: dict[str, Any] = {}
        self.bounds: Any = None
        self.open: Reading | None = None  # by begin_read
        try:
            self.beat()
        except psycopg.OperationalError:
            self.learn_from_limitless()

    # -- connections -----------------------------------------------------------------------------------------

    def conn(self, side: str) -> psycopg.Connection[Any]:
        found = self.conns.get(side)
        if found is None or found.closed:
            told = self.addresses[side.split(" ")[0]]
            found = self.conns[side] = psycopg.connect(
                host=told["host"], port=told["port"], dbname=told["database"], user=told["user"],
                password=told["password"], autocommit=True, row_factory=namedtuple_row, connect_timeout=5,
            )  # fmt: skip
        return found

    def ask(self, statement: str, *values: object) -> Any:
        return self.conn("classic").execute(statement, values).fetchone()

    # -- routes ----------------------------------------------------------------------------------------------

    def beat(self) -> None:
        oldest = min(self.flights, key=lambda f: f.epoch or 0, default=Flight(None, None))
        if self.broken == "confirms with a read under way":
            oldest = Flight(None, None)
        with self.conn("classic").transaction():
            self.bounds = self.ask(
                "SELECT * FROM migrator.client_beat(%s, %s, %s, %s)", self.process, self.name, oldest.epoch, oldest.mark
            )

    def learn(self) -> None:
        if not self.over:
            self.over, self.over_s = True, time.monotonic()

    def learn_from_limitless(self) -> None:
        row = self.conn("limitless").execute("SELECT * FROM migrator.settled ORDER BY epoch DESC LIMIT 1").fetchone()
        if row is None or row.write_mode != "limitless_only":
            raise Refused("unavailable")
        self.learn()
        self.known = self.known or row.retiring_try is not None

    def side(self, tenant: str, tokens: str | None) -> tuple[Any, float]:
        """Return classic's answer, and until when it may be acted on."""
        sent_s = time.monotonic()
        statement = "SELECT * FROM migrator.client_side(%s, %s, %s)"
        answer = self.ask(statement, self.process, tenant, tokens)
        if answer.beat:
            self.beat()
            sent_s = time.monotonic()
            answer = self.ask(statement, self.process, tenant, tokens)
        if answer.writes == "limitless":
            self.learn()
        if self.broken == "leaves the register" and answer.side == "limitless":
            self.ask("SELECT migrator.client_leave(%s)", self.process)
        return answer, sent_s + (answer.valid_s or 0.0)

    # -- reads -----------------------------------------------------------------------------------------------

    def begin_read(self, tenant: str, tokens: str | None = None, name: str = "read") -> Reading:
        if self.broken == "reads without the token":
            tokens = None
        remembers = self.over and self.broken != "forgets the end"
        if remembers or (tenant in self.kept and self.broken == "keeps a side"):
            side, until_s, flight = "limitless", float("inf"), None
        else:
            try:
                answer, until_s = self.side(tenant, tokens)
            except psycopg.OperationalError:
                if self.broken == "forgets the end":
                    raise
                self.learn_from_limitless()
                return self.begin_read(tenant, tokens, name)
            side, flight = answer.side, None
            if self.over:
                until_s = float("inf")
            elif side == "limitless":
                flight = Flight(answer.epoch, answer.mark)
                self.flights.append(flight)
                self.kept[tenant] = True
        self.conn(f"{side} {name}").execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        return Reading(name, tenant, side, until_s, flight)

    def end_read(self, reading: Reading, key: int) -> dict[str, Any]:
        name, tenant, side, until_s, flight = reading
        conn = self.conn(f"{side} {name}")
        try:
            row = conn.execute(GET, (tenant, key)).fetchone()
            conn.execute("COMMIT")
        finally:
            if flight is not None:
                self.flights.remove(flight)
        if side == "limitless" and time.monotonic() >= until_s and self.broken != "hands out what ran out":
            raise Refused("stale")
        return {"side": side, "body": None if row is None else row.body}

    def read(self, tenant: str, key: int, tokens: str | None) -> dict[str, Any]:
        for _ in range(3):
            with suppress(Refused):
                return self.end_read(self.begin_read(tenant, tokens), key)
        raise Refused("stale")

    def open_read(self, tenant: str) -> dict[str, Any]:
        self.open = self.begin_read(tenant, name="open")
        return {"side": self.open.side}

    def close_read(self, key: int) -> dict[str, Any]:
        reading, self.open = self.open, None
        assert reading is not None
        return self.end_read(reading, key)

    # -- writes ----------------------------------------------------------------------------------------------

    def write(self, tenant: str, key: int, body: str, wait: bool) -> dict[str, Any]:
        values = (tenant, key, body)
        until_s = time.monotonic() + (self.bounds.closed_wait_s if self.bounds else 0)
        while not self.over:
            try:
                token = self.commit(values)
            except psycopg.Error as error:
                if error.sqlstate == "MG011":
                    self.learn()
                    with suppress(psycopg.Error):
                        self.beat()
                elif error.sqlstate == "MG001" and time.monotonic() < until_s:
                    time.sleep(0.05)  # a client looks again, as the contract says
                elif error.sqlstate == "MG001":
                    raise Refused("closed") from error
                elif isinstance(error, psycopg.OperationalError):
                    self.learn_from_limitless()
                else:
                    raise
            else:
                if wait and token is not None and self.broken != "returns before the mirror has it":
                    self.wait(token)
                return {"side": "classic", "token": token}
        with self.conn("limitless").transaction():
            self.conn("limitless").execute(PUT, values)
        if wait and self.broken != "returns before all know":
            self.wait_known()
        return {"side": "limitless", "token": "w1-over"}

    def commit(self, values: tuple[str, int, str]) -> str | None:
        conn, mark = self.conn("classic"), secrets.token_hex(8)
        conn.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE DEFERRABLE")
        try:
            conn.execute(
                "SELECT set_config('migrator.begun', %s, true) AS a, set_config('migrator.parts', '00', true) AS b",
                (mark,),
            )
            conn.execute(PUT, values)
            token = None
            if self.broken != "commits without a token":
                token = self.ask("SELECT migrator.client_token(%s) AS token", mark).token
        except psycopg.Error:
            with suppress(psycopg.Error):
                conn.execute("ROLLBACK")
            raise
        try:
            conn.execute("COMMIT")
        except psycopg.OperationalError as error:
            if self.broken == "says that it failed":
                raise Refused("unavailable") from error
            if token is None or self.outcome(token) != "committed":
                raise Refused("unknown") from error
        return token

    def outcome(self, token: str) -> str:
        for _ in range(20):
            with suppress(psycopg.OperationalError):
                found = str(self.ask("SELECT migrator.client_outcome(%s) AS outcome", token).outcome)
                if found != "in progress":
                    return found
            time.sleep(0.1)  # a client looks again, as the contract says
        return "unknown"

    def wait(self, token: str) -> None:
        began_s = time.monotonic()
        statement = "SELECT migrator.client_wait(%s, %s, %s) AS state"
        while (waited_s := time.monotonic() - began_s) < self.bounds.give_up_s:
            try:
                if self.ask(statement, self.process, token, self.bounds.ack_wait_s / 2).state == "seen":
                    return
                if waited_s >= self.bounds.ack_wait_s and self.broken != "never falls back":
                    self.ask("SELECT migrator.client_fall_back(%s, %s)", self.process, token)
                self.beat()  # what it waits for may be its own confirmation
            except psycopg.errors.DatabaseError as error:
                if error.sqlstate != "MG014":
                    raise Refused("unconfirmed") from error
                self.beat()
        raise Refused("unconfirmed")

    def wait_known(self) -> None:
        longest_s = 10.0
        while not self.known and time.monotonic() < self.over_s + longest_s:
            try:
                row = self.ask("SELECT * FROM migrator.client_over()")
                self.known, longest_s = row.known_to_all, row.wait_s
            except psycopg.OperationalError:
                self.learn_from_limitless()
            if not self.known:
                time.sleep(0.05)  # a client looks again, as the contract says
        self.known = True

    def close(self) -> None:
        with suppress(psycopg.Error, KeyError):
            self.conns["classic"].execute("SELECT migrator.client_leave(%s)", (self.process,))
        for conn in self.conns.values():
            conn.close()


def main() -> None:
    broken = sys.argv[sys.argv.index("--broken") + 1] if "--broken" in sys.argv else ""
    assert not broken or broken in BROKEN
    client: SimpleClient | None = None
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if command["do"] == "start":
                client = SimpleClient(command, broken)
                answer = {"process": client.process}
            else:
                assert client is not None
                answer = DO[command["do"]](client, command)
            answer["ok"] = True
        except Refused as error:
            answer = {"ok": False, "error": str(error)}
        except psycopg.OperationalError as error:
            answer = {"ok": False, "error": "unavailable", "text": str(error)}
        except Exception as error:
            answer = {"ok": False, "error": "other", "text": f"{type(error).__name__}: {error}"}
        print(json.dumps({"id": command["id"], **answer}), flush=True)
    if client is not None:
        client.close()


DO: dict[str, Callable[[SimpleClient, dict[str, Any]], dict[str, Any]]] = {
    "write": lambda c, m: c.write(m["tenant"], m["key"], m["body"], m.get("wait", True)),
    "read": lambda c, m: c.read(m["tenant"], m["key"], m.get("token")),
    "begin_read": lambda c, m: c.open_read(m["tenant"]),
    "end_read": lambda c, m: c.close_read(m["key"]),
}

if __name__ == "__main__":
    main()
