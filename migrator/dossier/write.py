"""Writes a dossier: members from classic, the manifest, its signature, one file; then puts it where the plan says.

Killed at any byte, it leaves nothing under the dossier's name; run again, it finds what an earlier run put there. What
lies under a name is never replaced: another dossier of the same name becomes NAME-2.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.dossier import archive, known, manifest, signing
from migrator.dossier.archive import BLOCK
from migrator.dossier.members import Gathered, gather
from migrator.dossier.place import Place, moment_ending
from migrator.dossier.places import place
from migrator.dossier.read import contents_of
from migrator.dossier.verify import examine
from migrator.errors import InvariantBroken, PreconditionFailed
from migrator.model.dossier import Examined, Manifest, Written
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Order:
    """What to write.

    Attributes:
        where: the place of the final dossier; an interim one gets a name beside it, unless *named*.
        attempt: of the decommission; then it is the final dossier.
    """

    where: Place
    key: signing.Signer | None
    attempt: int | None = None
    named: bool = False

    @property
    def kind(self) -> str:
        return "interim" if self.attempt is None else "final"


def order(plan: Plan, home: Path, *, to: str | None = None, attempt: int | None = None) -> Order:
    """Return where a dossier of *plan* goes and what signs it; *to* wins over the plan.

    Raises:
        UsageError, PreconditionFailed, ClusterUnavailable: the key cannot be had, or is another than the plan names.
    """
    rules = plan.decommission
    where = place(
        to or rules.dossier or f"{home}/dossiers/", plan=plan.name, kms_key=rules.dossier_kms_key_id,
        retain_days=rules.dossier_retain_days,
    )  # fmt: skip
    key = signing.signer(rules.dossier_key)
    if rules.dossier_fingerprint is not None:
        found = key.line.fingerprint if key else "none"
        if found != signing.wanted_fingerprint(rules.dossier_fingerprint):
            raise PreconditionFailed(
                f"the key that signs dossiers is {found}, and the plan says {rules.dossier_fingerprint}",
                hint="Correct decommission.dossier_key, or decommission.dossier_fingerprint.",
            )
    return Order(where, key, attempt, named=to is not None and not to.endswith("/"))


def probe(wanted: Order) -> tuple[str, ...]:
    """Try the key and the place, without a dossier; return what the place says of itself.

    Raises:
        PreconditionFailed, ClusterUnavailable: a dossier cannot be signed, or cannot be put there.
    """
    if wanted.key is not None:
        message = b"A dossier can be signed.\n"
        if not signing.is_signed(wanted.key.public_pem, wanted.key.sign(message), message):
            raise PreconditionFailed("what the key signs, its public half does not confirm")
    return wanted.where.probe()


def write(conn: Connection, wanted: Order, home: Path) -> Written:
    """Write the dossier; return where it lies. `record` then says so in the decision log.

    Args:
        home: where this machine notes which dossiers it knows.

    Raises:
        NotInstalled: no plan was started on this cluster.
        PreconditionFailed, ClusterUnavailable: it cannot be signed, or cannot be put there.
    """
    with tempfile.TemporaryDirectory(prefix="migrator-dossier-") as name:
        directory = Path(name)
        gathered = gather(conn, directory, wanted.kind, wanted.attempt, wanted.key)
        file, digest = assemble(gathered, wanted.key)
        written = _put(wanted, gathered.manifest, file, digest)
    known.remember(home, written)
    return written


def record(conn: Connection, written: Written, who: str, reason: str) -> None:
    """Say in the decision log that a dossier was written; in the caller's transaction."""
    contents = written.manifest
    fingerprint = contents.key.fingerprint if contents.key else None
    decide(
        conn, who, "dossier.written", written.place, reason,
        after={"digest": written.digest, "key": fingerprint, "kind": contents.kind, "entries": contents.log.entries,
               "head": contents.log.head, "place": list(written.notes)},
    )  # fmt: skip


def assemble(gathered: Gathered, key: signing.Signer | None) -> tuple[Path, str]:
    """Make the archive of gathered members; return the file and the digest of its manifest. It was read back.

    Raises:
        InvariantBroken: it is not what was written.
    """
    contents = gathered.manifest
    body = manifest.dumped(contents)
    seal = (manifest.CHECKSUM, manifest.checksum(body)) if key is None else (manifest.SIGNATURE, key.sign(body))
    mtime = int(contents.created_at.timestamp())
    file = gathered.path("dossier.assembled")
    first = (_member(name, data, mtime) for name, data in ((manifest.MANIFEST, body), seal))
    others = (_file_member(gathered.path(one.name), one.name, one.size, mtime) for one in contents.members)
    with file.open("wb") as target:
        for chunk in chain(chain.from_iterable(first), chain.from_iterable(others), (archive.END,)):
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    digest = manifest.digest_of(body)
    with file.open("rb") as back:
        problems = [p.line for p in examine(back, digest=digest).problems]
    if problems:
        raise InvariantBroken(f"the dossier is not what was written: {'; '.join(problems)}")
    return file, digest


def _member(name: str, data: bytes, mtime: int) -> Iterable[bytes]:
    return archive.header(name, len(data), mtime), data, archive.padding(len(data))


def _file_member(path: Path, name: str, size: int, mtime: int) -> Iterator[bytes]:
    yield archive.header(name, size, mtime)
    with path.open("rb") as file:
        while chunk := file.read(archive.CHUNK):
            yield chunk
    yield bytes(-size % BLOCK)


def _put(wanted: Order, contents: Manifest, file: Path, digest: str) -> Written:
    """Put the file under the first name that is free, or find the same dossier there."""
    base = wanted.where
    if wanted.attempt is None and not wanted.named:
        base = base.beside(moment_ending(contents.kind, contents.created_at))
    for number in count(1):
        target = base if number == 1 else base.beside(f"-{number}")
        notes = target.put(file)
        if notes is not None:
            return Written(target.name, contents, digest, notes=notes)
        there = contents_of(target)
        if there is not None and there.intact and there.manifest and _same(there.manifest, contents):
            return Written(target.name, there.manifest, there.digest, kept=True, notes=("written by an earlier run",))
        if number == _MOST_NAMES:
            break
    raise PreconditionFailed(
        f"{_MOST_NAMES} dossiers are named like {base.name}", hint="Name another place: decommission.dossier."
    )


def _same(there: Manifest, contents: Manifest) -> bool:
    """Return whether a dossier says the same as another: written for the same attempt, from the same log."""
    return there.final and (there.plan, there.installation, there.kind, there.attempt, there.key, there.log) == (
        contents.plan,
        contents.installation,
        contents.kind,
        contents.attempt,
        contents.key,
        contents.log,
    )


def examined(where: Place, **known_keys: Any) -> Examined:
    """Return the examination of what lies at *where*."""
    with where.opened() as file:
        return examine(file, **known_keys)
