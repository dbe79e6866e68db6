"""A second process with a shim. Commands come on stdin as JSON lines, answers go to stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

from migrator.shim import Settings, Shim
from tests.integration.traffic.world import get, put


def main() -> None:
    classic, limitless, name, settings = json.loads(sys.stdin.readline())
    with Shim(classic, limitless, name, settings=Settings(**settings)) as shim:
        print(json.dumps({"ready": shim.process_id}), flush=True)
        reading: Any = None
        for line in sys.stdin:
            command = json.loads(line)
            try:
                match command:
                    case ["write", tenant, number, body]:
                        shim.run_write(tenant, put(tenant, number, body))
                        answer: Any = "ok"
                    case ["read", tenant, number]:
                        answer = shim.run_read(tenant, get(tenant, number))
                    case ["session_write", tenant, number, body, token]:
                        session = shim.session(token)
                        session.run_write(tenant, put(tenant, number, body))
                        answer = session.token
                    case ["session_read", tenant, number, token]:
                        answer = shim.session(token).run_read(tenant, get(tenant, number))
                    case ["begin_read", tenant]:
                        reading = shim.read(tenant)
                        reading.__enter__()
                        answer = str(reading.side)
                    case ["end_read", tenant, number]:
                        answer = get(tenant, number)(reading)
                        reading.__exit__(None, None, None)
                    case _:
                        raise ValueError(f"unknown command {command}")
            except Exception as error:
                answer = {"error": type(error).__name__}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
