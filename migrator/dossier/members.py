"""Reads a dossier's members from classic, each into a file of a directory, and hashes them meanwhile.

All in one snapshot, row by row: a log of a hundred thousand entries takes no more memory than one of ten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from migrator import __version__
from migrator.control import evidence, sealing
from migrator.control.migration import facts_here
from migrator.control.plan import stored
from migrator.control.plan_change import Version, versions
from migrator.dossier import log, manifest
from migrator.dossier.contents import dossier_facts
from migrator.dossier.read import FACTS
from migrator.dossier.read_me import read_me
from migrator.dossier.signing import Signer
from migrator.errors import NotInstalled
from migrator.logs import masked_text
from migrator.model.dossier import LogLine, Manifest, Member
from migrator.model.shown import plain
from migrator.report import dossier as pages
from migrator.report.dossier import VersionLine

Connection = psycopg.Connection[Any]

ORDER = (
    manifest.PUBLIC_KEY, manifest.SUMS, manifest.READ_ME, manifest.PAGE, "migration.html", manifest.FACTS, "plan.json",
    manifest.LOG, "approvals.jsonl", "votes.jsonl", "incidents.jsonl", "phases.jsonl", manifest.REPORTS,
    "tenants.jsonl", "verdicts.jsonl", "validations.jsonl", "divergences.jsonl", "schema_changes.jsonl",
    "workers.jsonl", "installed.jsonl",
)  # fmt: skip
"""Members in their order in the archive."""
_FINDING = ("id", "rule", "severity", "object", "title", "acknowledged")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Members as files of a directory, and what the manifest says."""

    directory: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        return self.directory / name


def gather(conn: Connection, directory: Path, kind: str, attempt: int | None, key: Signer | None) -> Gathered:
    """Write all members into *directory*; owns its transaction.

    Args:
        kind: "final" or "interim". attempt: of the decommission, for a final one.
        key: that will sign.

    Raises:
        NotInstalled: no plan was started on this cluster, so there is nothing to write down.
    """
    made: dict[str, Member] = {}

    def keep(name: str, chunks: Iterable[bytes]) -> None:
        made[name] = _kept(directory, name, chunks)

    sealing.seal_all(conn)
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        where, plan = evidence.origin(conn), stored(conn)
        if plan is None:
            raise NotInstalled("no plan was started on this classic cluster, so there is nothing to write down")
        counts: dict[str, int] = {}
        for name in evidence.KINDS:
            keep(f"{name}.jsonl", _counted(name, counts, map(_line, _clean(name, evidence.rows(conn, name)))))
        kept_versions = versions(conn)
        keep("plan.json", [_whole({"running": plan.body, "digest": plan.digest, "versions": kept_versions})])
        keep(manifest.LOG, _log(conn))
        chain = log.follow(_lines(directory / manifest.LOG))
        facts = facts_here(conn)
    fault = next(iter(chain.verified.faults), None)
    told = LogLine(chain.entries, chain.verified.sealed, chain.verified.head, log.shown(fault) if fault else "")
    who = str((plan.body.get("governance") or {}).get("authentication", "none"))
    contents = Manifest(
        plan.plan_id, kind, where.installation, where.at, __version__, where.schema_version,
        authentication=who, attempt=attempt, log=told, key=key.line if key else None,
    )  # fmt: skip
    body = _whole(facts)
    keep(manifest.FACTS, [body])
    facts = FACTS.validate_json(body)  # the pages show what the dossier holds
    keep("migration.html", [pages.migration(facts).encode()])
    read = dossier_facts(contents, facts, [_version(v) for v in kept_versions], _reader(directory), counts)
    keep(manifest.PAGE, [pages.page(read).encode()])
    keep(manifest.READ_ME, [read_me(contents, len(ORDER) + (2 if key else 1)).encode()])
    if key is not None:
        keep(manifest.PUBLIC_KEY, [key.public_pem])
    listed = tuple(made[name] for name in ORDER if name in made)
    keep(manifest.SUMS, [manifest.sums(listed)])
    members = tuple(made[name] for name in ORDER if name in made)
    return Gathered(directory, replace(contents, members=members))


def _kept(directory: Path, name: str, chunks: Iterable[bytes]) -> Member:
    digest, size = hashlib.sha256(), 0
    with (directory / name).open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return Member(name, size, digest.hexdigest())


def _log(conn: Connection) -> Iterator[bytes]:
    for seal, entry in sealing.read_chain(conn):
        yield log.dumped(seal, entry)
    for entry in sealing.unsealed(conn):
        yield log.dumped(None, entry)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _reader(directory: Path) -> Callable[[str], Iterator[dict[str, Any]]]:
    return lambda name: (json.loads(line) for line in _lines(directory / f"{name}.jsonl"))


def _counted(name: str, counts: dict[str, int], lines: Iterable[bytes]) -> Iterator[bytes]:
    counts[name] = 0
    for line in lines:
        counts[name] += 1
        yield line


def _clean(name: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Leave out what may hold values of rows: the texts of statements that an audit read."""
    for row in rows:
        if name == "reports" and str(row["kind"]).startswith("audit"):
            yield {**row, "body": _audit(row["body"])}
        else:
            yield row


def _audit(body: Any) -> Any:
    if not isinstance(body, dict) or "findings" not in body:
        return body
    found = body["findings"]
    return {
        "created_at": body.get("created_at"),
        "findings": [{name: one.get(name) for name in _FINDING} for one in found if isinstance(one, dict)],
        "left_out": "texts of statements, and the evidence of findings",
    }


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(_masked(plain(row)), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _whole(value: Any) -> bytes:
    return json.dumps(_masked(plain(value)), ensure_ascii=False, indent=1).encode() + b"\n"


def _masked(value: Any) -> Any:
    """Return JSON without what looks like a connection string's credentials, which a person may have written."""
    match value:
        case str():
            return masked_text(value)
        case dict():
            return {name: _masked(one) for name, one in value.items()}
        case list():
            return [_masked(one) for one in value]
    return value


def _version(version: Version) -> VersionLine:
    return VersionLine(version.number, version.at, version.who, version.reason, version.approver, version.changed)
