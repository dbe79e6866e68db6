"""What runs a function on Lambda, in small: events come on stdin as JSON lines, answers go to stdout."""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    folder, module = sys.argv[1:]
    sys.path.insert(0, folder)
    function = importlib.import_module(module).handler
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        try:
            answer = function(json.loads(line), None)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
