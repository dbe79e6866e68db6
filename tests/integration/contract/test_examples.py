"""The small applications of examples/ in other languages, as people run them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo

from migrator.contract.scene import Scene, scene
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

# What the service does with a function: it calls the handler, and freezes the process between two calls.
CALLED = """
import { createInterface } from "node:readline";
const { handler } = await import(process.argv[1]);
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await handler(JSON.parse(line))));
}
process.exit(0);
"""


@pytest.fixture
def world(machines: Machines) -> Iterator[Scene]:
    dsns = machines.new_classic(fresh_name("classic")), machines.new_limitless(fresh_name("limitless"))
    with scene(*dsns, "true") as made:
        yield made
    machines.drop_pair(dsns)


def urls(world: Scene, scheme: str = "postgres") -> dict[str, str]:
    found = {}
    for side, dsn in zip(("CLASSIC_URL", "LIMITLESS_URL"), world.client_dsns, strict=True):
        p = conninfo.conninfo_to_dict(dsn)
        login = f"{p['user']}:{p['password']}@" if scheme == "postgres" else ""
        found[side] = f"{scheme}://{login}{p['host']}:{p['port']}/{p['dbname']}?sslmode=disable"
    return found


@contextmanager
def started(command: list[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **more}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def test_a_function_that_was_frozen_finds_where_reads_go_now(world: Scene, node_example: Path) -> None:
    world.write("t1", 1, "before")
    world.up("t1")
    command = ["node", "--input-type=module", "-e", CALLED, str(node_example / "lambda.js")]
    with started(command, **urls(world)) as process:
        assert process.stdin is not None and process.stdout is not None

        def call(method: str, path: str, **more: Any) -> Any:
            assert process.stdin is not None and process.stdout is not None
            event = {"requestContext": {"http": {"method": method, "path": path}}, **more}
            process.stdin.write(json.dumps(event) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        assert call("GET", "/tenants/t1/notes/1")["body"] == "before"
        assert world.live() == [], "no rollback waits for a function that sleeps"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        world.mirror.hold()
        assert world.back("t1").expired == 0
        world.write("t1", 1, "after")
        process.send_signal(signal.SIGCONT)

        assert call("GET", "/tenants/t1/notes/1")["body"] == "after"
        stored = call("PUT", "/tenants/t1/notes/2", body="mine")
        (cookie,) = stored["cookies"]
        assert call("GET", "/tenants/t1/notes/2", cookies=[cookie.partition(";")[0]])["body"] == "mine"
        assert call("GET", "/elsewhere")["statusCode"] == 404


def test_the_application_over_http_shows_a_caller_its_own_writes(world: Scene, node_example: Path) -> None:
    world.up("t1")
    world.mirror.hold()
    with started(["node", str(node_example / "app.js")], PORT="0", **urls(world)) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(" ")[2])

        def ask(method: str, path: str, body: str | None = None, cookie: str = "") -> tuple[int, str, str]:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", method=method, data=body.encode() if body else None,
                headers={"cookie": cookie} if cookie else {},
            )  # fmt: skip
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                    return answer.status, answer.read().decode(), answer.headers.get("set-cookie") or ""
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode(), ""

        status, _, cookie = ask("PUT", "/tenants/t1/notes/1", "Größe")
        assert status == 200
        assert ask("GET", "/tenants/t1/notes/1", cookie=cookie.partition(";")[0])[:2] == (200, "Größe")
        assert ask("GET", "/tenants/t1/notes/1")[0] == 404, "others see it when the mirror has it"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    assert world.live() == []


def test_the_java_application_stores_and_shows_a_note(world: Scene, java_example: str) -> None:
    login = conninfo.conninfo_to_dict(world.client_dsns[0])
    other = conninfo.conninfo_to_dict(world.client_dsns[1])
    env = {
        **urls(world, "jdbc:postgresql"),
        "DB_USER": str(login["user"]), "DB_PASSWORD": str(login["password"]),
        "LIMITLESS_USER": str(other["user"]), "LIMITLESS_PASSWORD": str(other["password"]),
    }  # fmt: skip

    def run(*words: str) -> str:
        command = ["java", "-cp", java_example, "Notes", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S, env={**os.environ, **env}
        ).stdout.strip()

    token = run("put", "t1", "1", "hello")
    assert re.fullmatch(r"w1-[0-9]+-[0-9a-f]{32}-[0-9]+-2", token)
    assert run("get", "t1", "1", token) == "hello"
    assert world.stored("t1", 1) == "hello"
