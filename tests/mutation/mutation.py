"""What is taken out, and who must notice?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests import ROOT


@dataclass(frozen=True, slots=True)
class Mutation:
    """A line without which a promise does not hold.

    Attributes:
        file: below the root of the tree.
        text: occurs there exactly once.
        instead: what replaces it.
        tests: arguments for pytest; each of them names a file of the default suite, or a test in it.
        why: what the line is for.
        says: part of the message that the failure has to give; for a failure that is no assertion of the test's, the
            name of the exception.
    """

    name: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]
    why: str
    says: str = ""

    def faults(self, root: Path = ROOT) -> list[str]:
        """Return what is wrong with this entry, as the tree is now."""
        path = root / self.file
        if not path.is_file():
            return [f"{self.name}: there is no {self.file}"]
        count = path.read_text(encoding="utf-8").count(self.text)
        found = [] if count == 1 else [f"{self.name}: its text stands {count} times in {self.file}"]
        if self.text == self.instead:
            found.append(f"{self.name}: changes nothing")
        for target in self.tests:
            file, _, test = target.partition("::")
            source = root / file
            if not source.is_file() or f"def {test.partition('[')[0]}" not in source.read_text(encoding="utf-8"):
                found.append(f"{self.name}: there is no test {target}")
        return found

    def apply(self, root: Path) -> str:
        """Change the file below *root*; returns what it held before."""
        path = root / self.file
        before = path.read_text(encoding="utf-8")
        path.write_text(before.replace(self.text, self.instead), encoding="utf-8")
        return before
