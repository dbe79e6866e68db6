"""What a dossier is, as values: its table of contents, and what an examination of it found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

FORMAT = "migrator-dossier/1"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a dossier. sha256: of its bytes, in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeyLine:
    """The key that signs. fingerprint: "sha256:" and the digest of the public key (DER, SubjectPublicKeyInfo)."""

    algorithm: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """The decision log in a dossier.

    Attributes:
        entries: all of them, sealed or not.
        sealed: those that belong to the hash chain.
        head: hash of the newest sealed entry; '' without one.
        problem: what was wrong with the chain when the dossier was written; '' when it was whole.
    """

    entries: int = 0
    sealed: int = 0
    head: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The table of contents of a dossier, which is what gets signed.

    Attributes:
        kind: "final", written after the hand-over and before anything is done to classic; or "interim".
        installation: tells two migrations of one name apart.
        created_at: classic's clock, in whole seconds; the snapshot that everything was read in.
        attempt: of the decommission that wrote it.
        key: None in a dossier that is not signed.
        members: in their order in the archive; the manifest itself and its signature are not among them.
    """

    plan: str
    kind: str
    installation: str
    created_at: datetime
    tool: str
    schema_version: int
    authentication: str = ""
    attempt: int | None = None
    log: LogLine = LogLine()
    key: KeyLine | None = None
    members: tuple[Member, ...] = ()
    format: str = FORMAT

    @property
    def final(self) -> bool:
        return self.kind == "final"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a dossier. member: the file in it that it is about; '' when it is the whole."""

    member: str
    text: str

    @property
    def line(self) -> str:
        return f"{self.member}: {self.text}" if self.member else self.text


@dataclass(frozen=True, slots=True)
class Examined:
    """What an examination of a dossier found.

    Attributes:
        manifest: None where it cannot be read.
        digest: "sha256:" and the digest of the manifest, which stands for every byte of the dossier.
        problems: empty when every byte is as it was written.
        faults: of the decision log's chain, which were there when the dossier was written: it says so itself.
        trusted: why its author is known ("the key is the one of --key"); '' when nothing says who wrote it.
        entries: of the decision log whose chain was followed.
    """

    manifest: Manifest | None
    digest: str = ""
    problems: tuple[Problem, ...] = ()
    faults: tuple[Problem, ...] = ()
    trusted: str = ""
    entries: int = 0

    @property
    def intact(self) -> bool:
        return self.manifest is not None and not self.problems


@dataclass(frozen=True, slots=True)
class Written:
    """A dossier that lies where it belongs.

    Attributes:
        place: path, or s3://bucket/key.
        kept: an earlier run had written the same; nothing was written now.
        notes: what the place said of itself: its version, encryption, until when it is locked.
    """

    place: str
    manifest: Manifest
    digest: str
    kept: bool = False
    notes: tuple[str, ...] = ()
