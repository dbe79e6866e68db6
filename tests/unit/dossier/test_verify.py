"""Whatever is changed in a dossier is found, and named: each byte, each member, each entry of the log, and the key."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.dossier import archive, log, manifest
from migrator.dossier.signing import key_line
from migrator.dossier.verify import examine
from migrator.dossier.write import assemble
from migrator.model.dossier import FORMAT, Examined
from tests.fixtures.dossier import AT, a_key, chained, dossier, gathered

KEY = a_key()
MTIME = int(AT.timestamp())


@pytest.fixture(scope="module", params=["signed", "unsigned"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    key = KEY if request.param == "signed" else None
    return dossier(tmp_path_factory.mktemp("dossier"), key, reports=b'{"a": 1}\n', empty=b"").read_bytes()


def seen(data: bytes, only: str | None = None) -> Examined:
    return examine(io.BytesIO(data), only=only)


def texts(data: bytes) -> list[str]:
    return [problem.line for problem in seen(data).problems]


def test_a_dossier_as_it_was_written_has_no_problem(data: bytes) -> None:
    found = seen(data)

    assert found.intact and found.problems == () and found.entries == 3
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        names = other.getnames()
    assert names[0] == manifest.MANIFEST and names[-1] == "empty.jsonl"


@given(position=st.integers(min_value=0), change=st.integers(1, 255))
def test_a_changed_byte_is_found_wherever_it_is(data: bytes, position: int, change: int) -> None:
    at = position % len(data)
    altered = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]

    found = seen(altered)
    assert not found.intact and found.problems


@given(length=st.integers(min_value=0))
def test_a_dossier_that_is_cut_off_anywhere_is_found(data: bytes, length: int) -> None:
    assert not seen(data[: length % len(data)]).intact


@given(st.binary(min_size=1, max_size=2000))
def test_what_was_added_behind_the_end_is_found(data: bytes, more: bytes) -> None:
    assert any("end of the archive" in text for text in texts(data + more))


def pieces(data: bytes) -> dict[str, tuple[int, int]]:
    """Where each member begins and ends, its header and zeros included."""
    found = archive.scan(io.BytesIO(data), {}).pieces
    return {one.name: (one.at, one.at + archive.BLOCK + one.size + -one.size % archive.BLOCK) for one in found}


def test_each_byte_of_each_header_counts(data: bytes) -> None:
    found = pieces(data)
    for begin, _ in (found[manifest.MANIFEST], found["reports.jsonl"]):
        for at in range(begin, begin + archive.BLOCK):
            assert not seen(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).intact, at


def test_a_header_that_was_made_anew_is_named(data: bytes) -> None:
    """With a checksum of its own, so that any program that reads tar files takes it."""
    begin, _ = pieces(data)["reports.jsonl"]
    made = tarfile.TarInfo("reports.jsonl")
    made.size, made.mtime, made.mode = 9, MTIME, 0o777
    altered = data[:begin] + made.tobuf(tarfile.USTAR_FORMAT) + data[begin + archive.BLOCK :]
    assert texts(altered) == ["reports.jsonl: its header in the archive was altered"]


def test_an_altered_member_is_named(data: bytes) -> None:
    begin, _ = pieces(data)["reports.jsonl"]
    at = begin + archive.BLOCK + 3
    (text,) = texts(data[:at] + b"X" + data[at + 1 :])
    assert text == "reports.jsonl: its bytes were altered: they have another SHA-256 than the manifest says"


def test_a_missing_member_is_named(data: bytes) -> None:
    begin, end = pieces(data)["reports.jsonl"]
    assert texts(data[:begin] + data[end:]) == ["reports.jsonl: it is missing"]


def test_a_member_that_is_there_twice_is_named(data: bytes) -> None:
    begin, end = pieces(data)["reports.jsonl"]
    assert texts(data[:end] + data[begin:end] + data[end:]) == ["reports.jsonl: it is there 2 times"]


def test_an_added_member_is_named(data: bytes) -> None:
    _, end = pieces(data)["reports.jsonl"]
    added = archive.header("more.txt", 1, MTIME) + b"x" + archive.padding(1)
    assert texts(data[:end] + added + data[end:]) == ["more.txt: it is not in the manifest: it was added"]


def test_members_in_another_order_are_named(data: bytes) -> None:
    (b1, e1), (b2, e2) = pieces(data)["reports.jsonl"], pieces(data)["empty.jsonl"]
    assert e1 == b2
    (text,) = texts(data[:b1] + data[b2:e2] + data[b1:e1] + data[e2:])
    assert text == "empty.jsonl: it stands where reports.jsonl belongs: members are in another order"


def test_an_altered_entry_of_the_log_is_named_by_the_chain(data: bytes) -> None:
    altered = data.replace(b"route/Gr\xc3\xb6\xc3\x9fe 2", b"route/Gr\xc3\xb6\xc3\x9fe 9")
    found = texts(altered)
    assert found[0].startswith("log.jsonl: its bytes were altered")
    assert found[1] == "log.jsonl: seal 2: entry 2 was altered: route.moved of 2027-01-31T11:00:00.000000Z"


def test_a_log_that_was_signed_anew_without_an_entry_is_named(tmp_path: Path) -> None:
    """Somebody with a key takes an entry out, and makes a dossier of the rest: the chain shows it."""
    made = gathered(tmp_path, KEY)
    rows = chained(3)
    (tmp_path / manifest.LOG).write_bytes(log.dumped(*rows[0]) + log.dumped(*rows[2]))
    with pytest.raises(Exception, match="seal 2 of the chain: missing"):
        assemble(made, KEY)


def test_another_key_is_refused_and_a_signature_of_another_key_too(tmp_path: Path) -> None:
    other = a_key()
    data = dossier(tmp_path, KEY).read_bytes()
    mine, theirs = KEY.line.fingerprint, other.line.fingerprint

    assert seen(data, mine).trusted == "it is signed by the key of --key"
    assert [p.text for p in seen(data, theirs).problems] == [f"it is signed by another key: {mine}, not {theirs}"]
    assert seen(data).trusted == "" and seen(data).intact
    known = examine(io.BytesIO(data), fingerprints={mine: "the plan names"})
    assert known.intact and known.trusted == "it is signed by the key that the plan names"
    assert not examine(io.BytesIO(data), fingerprints={theirs: "the plan names"}).intact


def test_a_whole_forgery_needs_the_key(tmp_path: Path) -> None:
    """The same members with another key: intact in itself, and not by the key that was asked for."""
    forged = dossier(tmp_path, a_key()).read_bytes()
    found = seen(forged, KEY.line.fingerprint)
    assert not found.intact and "another key" in found.problems[-1].text


def test_a_digest_stands_for_a_signature(tmp_path: Path) -> None:
    data = dossier(tmp_path, None).read_bytes()
    digest = seen(data).digest

    assert examine(io.BytesIO(data), digest=digest).trusted == "its digest is the one that was given"
    assert not examine(io.BytesIO(data), digest="sha256:" + "0" * 64).intact
    assert not seen(data, key_line(KEY.public_pem).fingerprint).intact, "an unsigned one has no key"


@pytest.mark.parametrize("data_", [b"", b"x", b"\0" * 4096, b"PK\x03\x04" * 500, archive.END])
def test_what_is_no_dossier_is_called_so(data_: bytes) -> None:
    found = examine(io.BytesIO(data_))
    assert found.manifest is None and "no dossier" in found.problems[0].text


@given(st.binary(max_size=3000))
def test_any_bytes_are_refused_without_an_error(data_: bytes) -> None:
    assert not examine(io.BytesIO(data_)).intact


@given(st.binary(max_size=400))
def test_any_manifest_that_was_not_signed_is_refused_without_an_error(body: bytes) -> None:
    data_ = archive.header(manifest.MANIFEST, len(body), MTIME) + body + archive.padding(len(body)) + archive.END
    assert not examine(io.BytesIO(data_)).intact


def hostile(**values: object) -> bytes:
    """A dossier whose manifest has other values."""
    body = {"plan": "shop", "kind": "final", "created_at": "2027-01-31T12:00:00Z", "format": FORMAT, "log": {},
            "key": None, "members": [], "installation": "", "tool": "0.1.0", "schema_version": 3, **values}  # fmt: skip
    data = json.dumps(body).encode()
    return archive.header(manifest.MANIFEST, len(data), MTIME) + data + archive.padding(len(data)) + archive.END


@pytest.mark.parametrize(
    "values",
    [
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"created_at": "9999-12-31T23:59:59-14:00"},
        {"members": [["a", float("inf"), "x"]]},
        {"members": [[["a"] * 3] * 3]},
        {"plan": ["shop"]},
        {"key": "x"},
        {"log": {"entries": 10**30}},
    ],
    ids=str,
)
def test_a_manifest_that_was_made_up_is_a_finding(values: dict[str, object]) -> None:
    found = seen(hostile(**values))
    assert not found.intact and found.problems


def test_a_manifest_that_never_ends_is_a_finding() -> None:
    data = archive.header(manifest.MANIFEST, 4000, MTIME) + b"[" * 4000 + archive.padding(4000) + archive.END
    assert "no manifest" in texts(data)[0]


@pytest.mark.parametrize("size", [b"-0000000005\0", b"\xff" * 12], ids=["octal", "binary"])
def test_a_size_below_zero_reads_nothing_at_once(data: bytes, size: bytes) -> None:
    made = bytearray(archive.header("more.txt", 1, MTIME))
    assert any("is damaged" in text for text in texts(data[:-1024] + with_sum(made, 124, size) + bytes(1024)))


def test_names_that_would_move_a_terminals_cursor_are_not_shown(data: bytes) -> None:
    made = with_sum(bytearray(archive.header("more.txt", 0, MTIME)), 0, b"\x1b[2J\n")
    assert "\x1b" not in "".join(texts(data[:-1024] + made + archive.END))


def with_sum(block: bytearray, at: int, change: bytes) -> bytes:
    """A header that was changed, with a checksum that fits."""
    block[at : at + len(change)] = change
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
