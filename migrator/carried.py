"""What the wheel carries beside the library: the workflows, and the plans that come with a release.

Both lie inside the package (`migrator/_ops`), so that installing migrator for its shim brings no other name into an
application's site-packages. In the sources they are the folders `workflows/` and `plans/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def make_workflows_importable() -> None:
    """Let this process import `workflows` from inside the package, before another of that name; in the sources it is
    importable already."""
    inside = _PACKAGE / "_ops"
    if (inside / "workflows").is_dir() and str(inside) not in sys.path:
        sys.path.insert(0, str(inside))


def plans() -> dict[str, Path]:
    """Return the plans that come with this release, by name: demo, compose, adr.example."""
    inside = _PACKAGE / "_ops" / "plans"
    folder = inside if inside.is_dir() else _PACKAGE.parent / "plans"
    return {path.name.removesuffix(".toml"): path for path in sorted(folder.glob("*.toml"))}


def plan(path: Path) -> Path:
    """Return *path*, or where no such file is the plan of this release that it names: `plans/demo.toml`, `demo`."""
    named = path.parent in (Path(), Path("plans")) and not path.exists()
    return plans().get(path.name.removesuffix(".toml"), path) if named else path
