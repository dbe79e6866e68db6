"""Examines a dossier: whether each byte is as it was written, and who wrote it. Needs nothing but the file.

What is found is named: the member, and the entry of the decision log, as its hash chain tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from migrator.dossier import log, manifest, signing
from migrator.dossier.archive import BLOCK, Piece, Scan, header, lines, scan
from migrator.model.dossier import Examined, Manifest, Problem

_KEPT = {manifest.MANIFEST: manifest.MOST, manifest.SIGNATURE: 1024, manifest.CHECKSUM: 1024, manifest.PUBLIC_KEY: 4096}
OPTION = "--key"
SHOWN = 5
"""Faults of the log's chain that are named one by one."""


def examine(
    file: BinaryIO, *, fingerprints: dict[str, str] | None = None, only: str | None = None, digest: str | None = None
) -> Examined:
    """Return everything that is wrong with a dossier, and why its author is known.

    Args:
        fingerprints: keys that are trusted, and why each is ("it is the plan's").
        only: the fingerprint that a person gave: then no other key is trusted.
        digest: of the manifest, which a person noted: it stands for a signature.
    """
    found = scan(file, _KEPT)
    first = found.pieces[0] if found.pieces else None
    if first is None or first.name != manifest.MANIFEST:
        return Examined(None, problems=(Problem("", "it is no dossier: it does not begin with a manifest"),))
    try:
        contents = manifest.parsed(first.kept)
    except ValueError as error:
        return Examined(None, manifest.digest_of(first.kept), (Problem(first.name, str(error)), *_whole(found)))
    problems = [*_sealed(found, contents, first.kept), *_pieces(found, contents), *_whole(found)]
    trusted, refused = _author(contents, manifest.digest_of(first.kept), fingerprints or {}, only, digest)
    entries, broken = _log(file, found, contents)
    # What the manifest says itself was so when it was signed.
    faults, broken = (broken, []) if contents.log.problem else ([], broken)
    found_wrong = (*problems, *broken, *refused)
    return Examined(contents, manifest.digest_of(first.kept), found_wrong, tuple(faults), trusted, entries)


def _whole(found: Scan) -> list[Problem]:
    return [Problem("", text) for text in found.problems]


def _named(found: Scan, name: str) -> Piece | None:
    return next((piece for piece in found.pieces if piece.name == name), None)


def _sealed(found: Scan, contents: Manifest, data: bytes) -> list[Problem]:
    """Look at what stands for the manifest: its signature, or where nothing was signed its checksum."""
    if contents.key is None:
        summed = _named(found, manifest.CHECKSUM)
        if summed is None or summed.kept != manifest.checksum(data):
            return [Problem(manifest.MANIFEST, f"it is not what {manifest.CHECKSUM} says")]
        return []
    signature, public = _named(found, manifest.SIGNATURE), _named(found, manifest.PUBLIC_KEY)
    if signature is None or public is None:
        return [Problem(manifest.MANIFEST, "its signature or the public key is missing")]
    try:
        line = signing.key_line(public.kept)
    except ValueError as error:
        return [Problem(manifest.PUBLIC_KEY, str(error))]
    if line != contents.key:
        return [Problem(manifest.PUBLIC_KEY, f"it is {line.fingerprint}, and the manifest names another key")]
    if not signing.is_signed(public.kept, signature.kept, data):
        return [Problem(manifest.MANIFEST, f"its signature is not one of {line.fingerprint}: one of them was altered")]
    return []


def expected(contents: Manifest) -> list[str]:
    """Return the names of all files of a dossier, in their order."""
    seal = [manifest.CHECKSUM] if contents.key is None else [manifest.SIGNATURE]
    return [manifest.MANIFEST, *seal, *(member.name for member in contents.members)]


def _pieces(found: Scan, contents: Manifest) -> Iterator[Problem]:
    """Compare what lies there with what the manifest names."""
    names, there = expected(contents), [piece.name for piece in found.pieces]
    listed = {member.name: member for member in contents.members}
    mtime = int(contents.created_at.timestamp())
    for piece in found.pieces:
        member = listed.get(piece.name)
        if piece.name not in names:
            yield Problem(piece.name, "it is not in the manifest: it was added")
            continue
        if piece.short:
            yield Problem(piece.name, f"{piece.short:,} of its {piece.size:,} bytes are missing: the file is cut off")
        elif member is not None and piece.size != member.size:
            yield Problem(piece.name, f"it has {piece.size:,} bytes, and the manifest says {member.size:,}")
        elif member is not None and piece.sha256 != member.sha256:
            yield Problem(piece.name, "its bytes were altered: they have another SHA-256 than the manifest says")
        if not piece.padded:
            yield Problem(piece.name, f"the {-piece.size % BLOCK} bytes behind it are no zeros: something was added")
        if not _has_our_header(piece, mtime):
            yield Problem(piece.name, "its header in the archive was altered")
    if not found.problems and there != names:
        yield from (Problem(name, "it is missing") for name in names if name not in there)
        twice = sorted({name for name in there if there.count(name) > 1})
        yield from (Problem(name, f"it is there {there.count(name)} times") for name in twice)
        if sorted(there) == sorted(names):
            where = next(i for i, (one, other) in enumerate(zip(there, names, strict=True)) if one != other)
            yield Problem(there[where], f"it stands where {names[where]} belongs: members are in another order")


def _has_our_header(piece: Piece, mtime: int) -> bool:
    try:
        return piece.head == header(piece.name, piece.size, mtime)
    except ValueError:  # a name or a moment that no dossier has
        return False


def _author(
    contents: Manifest, data: str, fingerprints: dict[str, str], only: str | None, digest: str | None
) -> tuple[str, list[Problem]]:
    """Return why the author is known, and what speaks against it."""
    if digest is not None:
        if digest != data:
            return "", [Problem("", f"it is another dossier: its digest is {data}, not {digest}")]
        return "its digest is the one that was given", []
    if contents.key is None:
        if only is None:
            return "", []
        return "", [Problem("", f"it is not signed, and {OPTION} names the key that it has to be signed with")]
    mine = contents.key.fingerprint
    if only is not None:
        if mine != only:
            return "", [Problem("", f"it is signed by another key: {mine}, not {only}")]
        return f"it is signed by the key of {OPTION}", []
    if mine in fingerprints:
        return f"it is signed by the key that {fingerprints[mine]}", []
    if fingerprints:
        known = "; ".join(f"{name} ({why})" for name, why in fingerprints.items())
        return "", [Problem("", f"it is signed by another key, {mine}, and this place knows {known}")]
    return "", []


def _log(file: BinaryIO, found: Scan, contents: Manifest) -> tuple[int, list[Problem]]:
    """Follow the chain of the decision log; the entries that break it are named."""
    piece = _named(found, manifest.LOG)
    if piece is None:
        return 0, []
    try:
        followed = log.follow(lines(file, piece))
    except (ValueError, TypeError, AttributeError) as error:  # values of other kinds than a log has
        return 0, [Problem(manifest.LOG, f"it is no decision log ({type(error).__name__})")]
    chain, said = followed.verified, contents.log
    problems = [Problem(manifest.LOG, log.shown(fault)) for fault in chain.faults[:SHOWN]]
    if chain.fault_count > SHOWN:
        problems.append(Problem(manifest.LOG, f"and {chain.fault_count - SHOWN:,} more faults of the chain"))
    if (followed.entries, chain.sealed, chain.head) != (said.entries, said.sealed, said.head):
        text = f"it has {followed.entries:,} entries with the head {chain.head[:12] or '(none)'}"
        told = f"the manifest says {said.entries:,} with the head {said.head[:12] or '(none)'}"
        problems.append(Problem(manifest.LOG, f"{text}, and {told}"))
    return followed.entries, problems


def report(found: Examined) -> dict[str, Any]:
    """Return an examination for --json."""
    contents = found.manifest
    return {
        "intact": found.intact,
        "signed": bool(contents and contents.key),
        "trusted": found.trusted,
        "digest": found.digest,
        "entries": found.entries,
        "problems": [problem.line for problem in found.problems],
        "faults": [fault.line for fault in found.faults],
        "manifest": contents,
    }
