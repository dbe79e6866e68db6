"""Reads a dossier that was examined: status, the facts of the migration, decisions, reports. Needs no server."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from migrator.control.chain import Anchor, Entry, Verified
from migrator.dossier import archive, log, manifest
from migrator.dossier.archive import Scan, lines, scan
from migrator.dossier.place import Place
from migrator.dossier.verify import examine
from migrator.errors import MigratorError, NoGo, UsageError
from migrator.model.dossier import Examined, Manifest
from migrator.model.migration import MigrationFacts

FACTS: TypeAdapter[MigrationFacts] = TypeAdapter(MigrationFacts)


def contents_of(where: Place) -> Examined | None:
    """Return the examination of what lies at *where*; None where it may not be read."""
    try:
        with where.opened() as file:
            return examine(file)
    except MigratorError:
        return None


@dataclass
class Dossier:
    """A dossier, open. Every byte of it was examined."""

    name: str
    file: BinaryIO
    examined: Examined

    @property
    def contents(self) -> Manifest:
        assert self.examined.manifest is not None  # as `opened` says
        return self.examined.manifest

    @cached_property
    def _scan(self) -> Scan:
        return scan(self.file, {})

    def lines(self, member: str) -> Iterator[bytes]:
        """Yield the lines of a member.

        Raises:
            UsageError: there is none of that name.
        """
        piece = next((one for one in self._scan.pieces if one.name == member), None)
        if piece is None:
            names = ", ".join(one.name for one in self._scan.pieces)
            raise UsageError(f"{self.name} has no member {member!r}", hint=f"It has: {names}.")
        return lines(self.file, piece)

    def chunks(self, member: str) -> Iterator[bytes]:
        """Yield the bytes of a member; raises as `lines` does."""
        self.lines(member)
        piece = next(one for one in self._scan.pieces if one.name == member)
        self.file.seek(piece.at + archive.BLOCK)
        left = piece.size
        while left and (chunk := self.file.read(min(left, archive.CHUNK))):
            left -= len(chunk)
            yield chunk

    @cached_property
    def facts(self) -> MigrationFacts:
        """Everything that the status and the report of the migration rest on, at the moment of the dossier.

        Raises:
            NoGo: it holds other facts than this version of the tool knows.
        """
        try:
            return FACTS.validate_json(b"\n".join(self.lines(manifest.FACTS)))
        except ValidationError:
            by = self.contents.tool
            raise NoGo(
                "dossier",
                [f"{manifest.FACTS} of {self.name} holds other facts than this version of migrator reads"],
                hint=f"Read it with version {by}, which wrote it. Its page needs none: "
                f"migrator dossier show {self.name} --member {manifest.PAGE} > dossier.html",
            ) from None

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a member of JSON lines, by its name without ending."""
        for line in self.lines(f"{name}.jsonl"):
            yield json.loads(line)

    def newest(self, limit: int) -> list[tuple[Entry, int | None, str | None]]:
        """Return the newest entries of the decision log, each with number and hash of its seal; None: not sealed."""
        newest: deque[tuple[Entry, int | None, str | None]] = deque(maxlen=limit)
        for line in self.lines(manifest.LOG):
            seal, entry = log.parsed(line)
            if entry is not None:
                newest.append((entry, seal.seq if seal else None, seal.hash if seal else None))
        return list(newest)

    def verify_log(self, held_to: Sequence[Anchor] = ()) -> Verified:
        """Recompute the chain of the decision log, and hold it to those of *held_to* that are not newer than it."""
        end = self.contents.log.sealed
        here = [anchor for anchor in held_to if anchor.seq <= end]
        forgiven = (one["after"] for one in self.decided("log.restored"))
        hashes = {str(after["anchor"]) for after in forgiven if after}
        followed = log.follow(self.lines(manifest.LOG), here, hashes)
        followed.verified.unsealed = followed.unsealed
        return followed.verified

    def decided(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the decisions of one kind."""
        for line in self.lines(manifest.LOG):
            if (found := log.decision(line)) is not None and found["kind"] == kind:
                yield found

    def decisions(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest decisions, the oldest of them first."""
        newest: deque[dict[str, Any]] = deque(maxlen=limit)
        for line in self.lines(manifest.LOG):
            if (found := log.decision(line)) is not None:
                newest.append(found)
        return sorted(newest, key=lambda one: (one["at"], one["id"]))

    def incidents(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest incidents, the oldest of them first."""
        return list(deque(self.rows("incidents"), maxlen=limit))

    def reports(self) -> list[dict[str, Any]]:
        """Return the kinds of reports with their number and the newest one's time."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows("reports"):
            seen = found.setdefault(row["kind"], {"kind": row["kind"], "reports": 0, "newest": ""})
            seen["reports"], seen["newest"] = seen["reports"] + 1, row["at"]
        return [found[kind] for kind in sorted(found)]

    def newest_report(self, kind: str) -> dict[str, Any] | None:
        """Return the newest report of *kind*: at, kind, body."""
        newest = None
        for row in self.rows("reports"):
            if row["kind"] == kind:
                newest = {name: row[name] for name in ("at", "kind", "body")}
        return newest


@contextmanager
def opened(where: Place, *, fingerprints: dict[str, str] | None = None, only: str | None = None) -> Iterator[Dossier]:
    """Open a dossier to read from; a damaged one, or one by another key, is refused.

    Raises:
        NoGo: with everything that is wrong with it.
        UsageError: there is none.
    """
    with where.opened() as file:
        found = examine(file, fingerprints=fingerprints, only=only)
        if found.problems or found.manifest is None:
            texts = [problem.line for problem in found.problems]
            raise NoGo("dossier", texts, hint=f"{where.name} is not what was written: look for another copy of it.")
        yield Dossier(where.name, file, found)
