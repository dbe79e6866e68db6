"""What an installation of the wheel brings: the library alone to applications, everything to operators."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.once

LIBRARY = ("psycopg", "psycopg_binary", "psycopg_binary.libs", "typing_extensions.py")
"""What the base installation requires, as it lies in this environment."""

THEIRS = "WHOSE = 'the application'\n"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel in it, and with an application that has a package `workflows` of its own."""

    root: Path

    @property
    def site(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.root), "platbase": str(self.root)}))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIGRATOR_", "PYTHON"))}
        return subprocess.run(
            [str(self.root / "bin" / words[0]), *words[1:]],
            cwd=self.root, env=kept | {"PATH": "/nonexistent"}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the pinned back end that the development environment has, so no registry is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [found] = folder.glob("*.whl")
    return found


def environment(root: Path, wheel: Path) -> Environment:
    """Install as pip does, only quicker: unpack the wheel, write a script for each of its entry points."""
    venv.create(root, with_pip=False, symlinks=True)
    made = Environment(root)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made.site)
    for script in scripts(made.site):
        file = root / "bin" / script.name
        file.write_text(f"#!{root}/bin/python\nfrom {script.module} import {script.attr}\n{script.attr}()\n")
        file.chmod(0o755)
    (made.site / "workflows").mkdir()
    (made.site / "workflows" / "__init__.py").write_text(THEIRS)
    return made


def scripts(site: Path) -> list[EntryPoint]:
    [found] = Distribution.discover(path=[str(site)])
    return [script for script in found.entry_points if script.group == "console_scripts"]


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install migrator`, as an application does."""
    made = environment(tmp_path_factory.mktemp("base"), wheel)
    for name in LIBRARY:
        found = Path(sysconfig.get_path("purelib")) / name
        if found.exists():
            (made.site / name).symlink_to(found)
    return made


@pytest.fixture(scope="module")
def ops(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install 'migrator[ops]'`, with the dependencies of this environment."""
    made = environment(tmp_path_factory.mktemp("ops"), wheel)
    (made.site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def names(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        yield from archive.namelist()


def test_the_wheel_brings_one_name_and_its_licence(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    [info] = [name for name in tops if name.endswith(".dist-info")]

    assert tops == {"migrator", info}
    assert f"{info}/licenses/LICENSE" in names(wheel)


def test_every_file_of_the_sources_is_in_the_wheel(wheel: Path) -> None:
    """SQL, templates, plans: whatever a command reads."""
    tracked = subprocess.run(
        ["git", "ls-files", "migrator", "workflows", "plans"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {
        f"migrator/_ops/{name}" if not name.startswith("migrator/") else name for name in tracked.stdout.splitlines()
    }

    assert wanted - set(names(wheel)) == set()


def test_an_application_gets_the_library_and_keeps_its_own_workflows(base: Environment) -> None:
    probe = (
        "import migrator.shim, migrator.testing, workflows, sys;"
        "print(workflows.WHOSE, *sorted(m for m in sys.modules if '_ops' in m))"
    )
    done = base.run("python", "-c", probe)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "the application", "")


def test_without_the_extra_a_command_says_what_is_missing(base: Environment) -> None:
    done = base.run("migrator", "status")

    assert done.returncode == 2
    assert "is not installed" in done.stderr and "pip install 'migrator[ops]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_use_the_workflows_of_the_release(ops: Environment) -> None:
    """Also beside an application's package of the same name, in the process of a command and nowhere else."""
    inside = ops.run("python", "-c", "import migrator.cli, workflows.worker as w; print(w.__file__)")
    outside = ops.run("python", "-c", "import migrator.shim, workflows; print(workflows.WHOSE)")

    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.strip() == str(ops.site / "migrator" / "_ops" / "workflows" / "worker.py")
    assert outside.stdout.strip() == "the application"


def test_a_worker_of_the_wheel_starts(ops: Environment, tmp_path: Path) -> None:
    """As far as a Temporal that is not there."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "shop"\n[classic]\nwriter = "env:A"\n[limitless]\ndsn = "env:B"\n[tables]\nschemas = ["app"]\n'
        '[temporal]\naddress = "127.0.0.1:1"\n'
    )
    done = ops.run("migrator", "worker", "--plan", str(plan))

    assert done.returncode == 5 and "no answer from 127.0.0.1:1" in done.stderr, done.stderr


def test_the_plans_of_the_release_are_found(ops: Environment) -> None:
    """By a rehearsal, and as a first plan; from any directory."""
    written = ops.run("migrator", "plan", "template", "mine.toml", "--like", "demo", "--name", "mine")
    checked = ops.run("migrator", "plan", "check", "mine.toml")
    unknown = ops.run("migrator", "plan", "template", "other.toml", "--like", "demos")
    rehearsed = ops.run("migrator", "rehearse", "compose")  # reads its plan, then looks for Docker

    assert (written.returncode, checked.returncode) == (0, 0), (written.stderr, checked.stderr)
    assert unknown.returncode == 2 and "demo" in unknown.stderr
    assert rehearsed.returncode == 2 and "Docker" in rehearsed.stderr, rehearsed.stderr
