"""`migrator` and `python -m migrator`: the command line, where it is installed."""

from __future__ import annotations

import sys

NOT_INSTALLED = """migrator: the command line needs {name}, which is not installed
hint: pip install 'migrator[ops]'. Without it there is only what applications import, such as migrator.shim."""


def main() -> None:
    """Run a command; in an application's environment, which has the library alone, say what is missing."""
    try:
        from migrator.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("migrator", "workflows"):
            raise  # a part of this project is missing: a bug
        sys.stderr.write(f"{NOT_INSTALLED.format(name=error.name)}\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
