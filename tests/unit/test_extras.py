"""What each extra is for can be imported with what it installs, whatever else this environment has."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

import pytest
from packaging.requirements import Requirement

from tests import ROOT

LIBRARY = ("errors.py", "model/", "login/", "shim/", "testing.py")
"""What an application without any extra may import."""

PARTS = {
    "sqlalchemy/": "sqlalchemy",
    "django/": "django",
    "serve/": "serve",
    "metrics/exposition.py": "serve",
    "metrics/otlp.py": "otel",
    "metrics/tracing.py": "otel",
    "traffic/incident/routes.py": "serve",
    "traffic/incident/serve.py": "serve",
    "local/": "local",
    "rehearse/": "local",
    "shim/traced.py": "otel",  # only where an application has OpenTelemetry
    "shim/aio/traced.py": "otel",
    **dict.fromkeys(LIBRARY, ""),
}
"""Beginnings of paths in migrator/, and the extra that they are for. Everything else is `ops`."""

BESIDE = {"otel": "ops"}
"""What is installed with an extra that is nothing by itself."""

PROBE = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {foreign!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
if {django!r}:
    import django
    from django.conf import settings
    settings.configure(INSTALLED_APPS=["migrator.django"], DATABASES={{}})
    django.setup()
for name in {names!r}:
    importlib.import_module(name)
"""


def _extras() -> dict[str, list[Requirement]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(text) for text in texts] for extra, texts in extras.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_by(extra: str) -> set[str]:
    """Return the distributions that come with the project and *extra*, followed through what each requires."""
    ours = _extras()
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [*ours[""], *(ours[extra] if extra else ())]
    while todo:
        one = todo.pop()
        key = (_normal(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        if one.name == "migrator":
            todo += [more for inner in one.extras for more in ours[inner]]
            continue
        try:
            requires = [Requirement(text) for text in distribution(one.name).requires or ()]
        except PackageNotFoundError:  # for other platforms, mostly
            continue
        for more in requires:
            if more.marker is None or any(more.marker.evaluate({"extra": e}) for e in ("", *one.extras)):
                todo.append(more)
    return {name for name, _ in found}


def _part_of(path: str) -> str:
    matching = [begin for begin in PARTS if path.startswith(begin)]
    return PARTS[max(matching, key=len)] if matching else "ops"


def modules_of(extra: str) -> list[str]:
    """Return the modules that *extra* is for."""
    paths = [p.relative_to(ROOT / "migrator") for p in sorted((ROOT / "migrator").rglob("*.py"))]
    ours = [("migrator", *p.with_suffix("").parts) for p in paths if _part_of(p.as_posix()) == extra]
    if extra == "ops":
        ours += [p.relative_to(ROOT).with_suffix("").parts for p in sorted((ROOT / "workflows").rglob("*.py"))]
    return [".".join(parts).removesuffix(".__init__") for parts in ours if parts[-1] != "__main__"]


@pytest.mark.parametrize("extra", ["", "sqlalchemy", "django", "ops", "local", "serve", "otel"])
def test_an_extra_installs_what_its_modules_import(extra: str) -> None:
    names = modules_of(extra)
    brought = installed_by(extra) | installed_by(BESIDE.get(extra, ""))
    foreign = {
        top
        for top, owners in packages_distributions().items()
        if not {_normal(o) for o in owners} & {*brought, "migrator"} and top not in sys.stdlib_module_names
    }
    probe = PROBE.format(foreign=foreign, django=extra == "django", names=names)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False)

    assert names
    assert foreign > {"pytest"}, "something is kept away"
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_part_is_there() -> None:
    """A beginning that fits nothing would let its modules pass for others."""
    paths = [p.relative_to(ROOT / "migrator").as_posix() for p in (ROOT / "migrator").rglob("*.py")]
    assert [begin for begin in PARTS if not any(p.startswith(begin) for p in paths)] == []


def test_metrics_of_a_worker_are_there_with_what_a_rehearsal_needs() -> None:
    """A rehearsal's workers are scraped; the module is imported when one is asked to serve."""
    assert "prometheus-client" in installed_by("local") & installed_by("serve")
    assert "prometheus-client" not in installed_by("ops")
