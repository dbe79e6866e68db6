"""An AsyncShim that is open when its process forks; the child says what became of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from migrator.errors import UsageError
from migrator.shim.aio import AsyncRead, AsyncShim


async def name(r: AsyncRead) -> Any:
    return await (await r.connection.execute("SELECT pg_backend_pid()")).fetchone()


async def main(classic: str, limitless: str) -> None:
    async with AsyncShim(classic, limitless, "web") as shim:
        parent = await shim.run_read("t1", name)
        read, write = os.pipe()
        if not os.fork():
            os.write(write, json.dumps(in_child(shim)).encode())
            os._exit(0)
        os.close(write)
        said = json.loads(await asyncio.to_thread(os.read, read, 4096))
        os.wait()  # noqa: ASYNC222 - the child has ended
        again = await shim.run_read("t1", name)
        print(json.dumps({**said, "parent": [parent[0], again[0]]}))


def in_child(shim: AsyncShim) -> dict[str, Any]:
    said: dict[str, Any] = {"before": shim.process_id}
    asyncio.events._set_running_loop(None)  # as a server does that forks from a running loop

    async def use() -> None:
        try:
            await shim.run_read("t1", name)
        except UsageError as error:
            said["refused"] = str(error)
        async with shim:
            said["child"] = (await shim.run_read("t1", name))[0]
            said["after"] = shim.process_id

    asyncio.run(use())
    return said


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
