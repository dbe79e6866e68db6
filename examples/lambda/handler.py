"""A function on AWS Lambda that keeps notes of many tenants.

Lambda freezes a process between two invocations, for milliseconds or for an hour, and ends it without a word. So the
shim has no threads, and the process takes part only within an invocation: docs/processes.md.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from migrator.shim import Read, Shim, Write

# In the module, so that connections live as long as the process. It opens with the first invocation. For tokens of AWS
# IAM in the place of passwords: classic=rds.token(...), from migrator.shim.rds.
shim = Shim(
    classic=os.environ["CLASSIC_DSN"],
    limitless=os.environ["LIMITLESS_DSN"],
    name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "notes"),
    threads=False,
    pool_size=1,  # a process has one invocation at a time
)

with suppress(ImportError):  # only there with SnapStart: one picture of memory becomes many processes
    from snapshot_restore_py import register_after_restore  # type: ignore[import-not-found]  # in Lambda alone

    register_after_restore(shim.restored)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Write or read one note: {"do": "write", "tenant": ..., "number": ..., "body": ...}."""
    with shim.invocation():
        return write(event) if event["do"] == "write" else read(event)


def write(event: dict[str, Any]) -> dict[str, Any]:
    def put(w: Write) -> None:
        w.connection.execute(
            "INSERT INTO app.note (tenant_id, id, body) VALUES (%(tenant)s, %(number)s, %(body)s)"
            " ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body",
            event,
        )

    shim.run_write(event["tenant"], put)  # returns when every read that begins now sees it
    return {"written": event["number"]}


def read(event: dict[str, Any]) -> dict[str, Any]:
    def get(r: Read) -> dict[str, Any]:
        row = r.connection.execute(
            "SELECT body FROM app.note WHERE tenant_id = %(tenant)s AND id = %(number)s", event
        ).fetchone()
        return {"body": row and row[0], "side": r.side.value}

    return shim.run_read(event["tenant"], get)
