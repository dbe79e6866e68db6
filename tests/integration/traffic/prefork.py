"""An application as gunicorn and Celery run it: a shim in a module, perhaps opened when the module is imported."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from migrator.shim import Shim
from tests.integration.traffic.world import CALM, get, put

told = json.loads(Path(os.environ["TOLD"]).read_text())
shim = Shim(told["classic"], told["limitless"], "web", settings=CALM)
if told["open"]:
    shim.open()


def work(number: int) -> dict[str, Any]:
    shim.run_write("t1", put("t1", number, f"by {number}"))
    side, body = shim.run_read("t1", get("t1", number))
    return {"pid": os.getpid(), "process_id": shim.process_id, "side": side, "body": body}


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Writes and reads a note; its number is the path."""
    answer = work(int(environ["PATH_INFO"].strip("/")))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def when_ready(_: object) -> None:
    """For gunicorn without preload: nothing is opened in the parent."""


def post_fork(_: object, __: object) -> None:
    """For gunicorn: opened in each worker before its first request."""
    if not told["open"]:
        shim.open()


if "folder" in told:
    from celery import Celery
    from celery.signals import worker_process_shutdown

    folder = told["folder"]
    celery = Celery(
        "prefork",
        broker="filesystem://",
        backend=f"file://{folder}/results",
        broker_transport_options={f"data_folder_{way}": f"{folder}/queue" for way in ("in", "out")},
    )
    celery.conf.update(
        control_folder=f"{folder}/control", worker_hijack_root_logger=False, broker_connection_retry_on_startup=True
    )
    task = celery.task(name="work")(work)

    def leave(**_: Any) -> None:
        shim.close()

    worker_process_shutdown.connect(leave)
