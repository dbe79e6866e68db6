"""Runs a rehearsal inside the tools container, next to servers it cannot kill.

A proxy is put in front of each server: a crash is a network that is cut off. The report says what that leaves out.
Only the compose file's tools service sets MIGRATOR_LIMITLESS_ADMIN_DSN, and the second server must be a stand-in.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import psycopg
from psycopg import conninfo

from migrator.errors import UsageError
from migrator.local import compose, standin
from migrator.local.proxy import Proxy
from migrator.rehearse.machines_containers import BRING_UP, DATABASE, WITHOUT_DOCKER
from migrator.rehearse.stage import Machines


class ProxiedMachines(Machines):
    """Servers somewhere in the compose network, seen through proxies."""

    start = "behind proxies, with empty databases"
    crashes = "is cut off from the network"
    stopped = "cut off from the network"

    def __init__(self, shards: int) -> None:
        names = ("MIGRATOR_CLASSIC_DSN", compose.ADMIN, compose.TOOL, "MIGRATOR_TEMPORAL")
        absent = [name for name in names if not os.environ.get(name)]
        if absent:
            raise UsageError(
                f"this plan runs on containers: no docker program is here, and {', '.join(absent)} is not set",
                hint=f"Use a host with Docker, or the tools container of docker-compose.yml. {WITHOUT_DOCKER}",
            )
        self._classic_admin, self._limitless_admin, self._tool, self._temporal = (os.environ[n] for n in names)
        self._shards = shards
        self._stack = ExitStack()
        self._proxies: dict[str, Proxy] = {}
        self._dsns = ("", "")

    def up(self) -> None:
        """Make an empty database on both servers and put the proxies in front.

        Raises:
            UsageError: a server does not answer, or the second one is not a stand-in.
        """
        classic = conninfo.make_conninfo(self._classic_admin, dbname="postgres")
        try:
            with psycopg.connect(self._tool, connect_timeout=10) as conn:
                if not standin.is_standin(conn):
                    raise UsageError("a rehearsal runs on a stand-in for Limitless only, and this server is not one")
            direct = compose.fresh(classic, self._limitless_admin, self._tool, DATABASE, self._shards)
        except psycopg.OperationalError as error:
            why = str(error).strip().splitlines()
            raise UsageError(
                f"a server of the stack does not answer: {why[0] if why else 'no reason was given'}", hint=BRING_UP
            ) from None
        host, _, port = self._temporal.rpartition(":")
        self._proxies = {
            "classic": Proxy.to_dsn(direct[0]),
            "limitless": Proxy.to_dsn(direct[1]),
            "temporal": Proxy(host, int(port)),
        }
        for proxy in self._proxies.values():
            self._stack.enter_context(proxy)
        self._dsns = (self._proxies["classic"].dsn(direct[0]), self._proxies["limitless"].dsn(direct[1]))

    def down(self) -> None:
        self._stack.close()

    def remove(self) -> None:
        """The databases stay until the next rehearsal."""

    def pids(self) -> list[int]:
        return []

    def environment(self) -> dict[str, str]:
        return {
            "MIGRATOR_CLASSIC_DSN": self.classic,
            "MIGRATOR_LIMITLESS_DSN": self.limitless,
            "MIGRATOR_TEMPORAL": self._proxies["temporal"].address,
        }

    def left_out(self) -> list[str]:
        return [
            "Limitless was not killed: its network was cut off (no engine can be asked inside a container)",
            "Temporal and classic were not stopped: their network was cut off",
        ]

    @property
    def classic(self) -> str:
        return self._dsns[0]

    @property
    def limitless(self) -> str:
        return self._dsns[1]

    def kill_limitless(self) -> None:
        self._proxies["limitless"].cut_off()

    def start_limitless(self) -> None:
        self._proxies["limitless"].clear_faults()

    def kill_classic(self) -> None:
        self._proxies["classic"].cut_off()

    def start_classic(self) -> None:
        self._proxies["classic"].clear_faults()

    def stop_temporal(self) -> None:
        self._proxies["temporal"].cut_off()

    def start_temporal(self) -> None:
        self._proxies["temporal"].clear_faults()

    def stop_classic(self) -> None:
        self._proxies["classic"].cut_off()
