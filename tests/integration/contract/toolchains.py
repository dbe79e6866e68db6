"""The examples in other languages, made ready to run where their tools are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

EXAMPLES = ROOT / "examples"


def _run(*command: str, cwd: Path) -> str:
    """Return what went wrong; '' when nothing did."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "timeout"
    return (done.stderr or done.stdout).strip() if done.returncode else ""


@pytest.fixture(scope="session")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the Node example with its dependencies."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    there = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLES / "node", there, symlinks=True)
    if not (there / "node_modules").is_dir():
        wrong = _run("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", cwd=there)
        if wrong:
            pytest.skip(f"npm cannot install the example's dependencies: {wrong.splitlines()[-1]}")
    yield there


@pytest.fixture
def node(node_example: Path) -> str:
    """The command that speaks the line protocol."""
    return f"node {node_example / 'speak.js'}"


@pytest.fixture(scope="session")
def java_example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of the Java example, compiled, and of its driver."""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("no JDK is installed")
    wanted = re.search(r"<version>(42[0-9.]+)</version>", (EXAMPLES / "java" / "pom.xml").read_text())
    assert wanted is not None
    there = Path.home() / ".m2/repository/org/postgresql/postgresql" / wanted[1] / f"postgresql-{wanted[1]}.jar"
    if not there.is_file():
        there = Path("/usr/share/java/postgresql.jar")  # as the example's README has it
    if not there.is_file():
        pytest.skip("pgjdbc is neither in Maven's local repository nor installed: see examples/java/README.md")
    classes = tmp_path_factory.mktemp("java")
    sources = sorted(map(str, (EXAMPLES / "java").glob("*.java")))
    wrong = _run("javac", "-Xlint:all", "-Werror", "-cp", str(there), "-d", str(classes), *sources, cwd=classes)
    assert wrong == ""
    return f"{classes}:{there}"


@pytest.fixture
def java(java_example: str) -> str:
    """The command that speaks the line protocol."""
    return f"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp {java_example} Speak"
