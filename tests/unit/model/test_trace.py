"""A trace gives back what was put in, to its owner alone. What is damaged is an error; a torn end is not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import UsageError
from migrator.model import trace as traces
from migrator.model.trace import Call, call_of, line

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CALLS = st.builds(
    Call,
    sql=TEXT,
    values=st.lists(st.none() | TEXT | st.binary(), max_size=4).map(tuple),
    types=st.lists(st.integers(1, 20_000), max_size=4).map(tuple),
    session=TEXT,
    at_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ms=st.none() | st.floats(0, 1e9),
    tenant=st.none() | TEXT.filter(bool),
)


@given(call=CALLS)
def test_a_line_is_read_as_it_was_written(call: Call) -> None:
    import json

    text = line(call)

    assert "\n" not in text
    assert call_of(json.loads(text)) == call


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "t"
    traces.write(path, "csvlog", [Call("SELECT 1"), Call("SELECT 2", ("a\nb", None))])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert traces.sources([path]) == "csvlog"
    assert [call.sql for call in traces.read([path, path])] == ["SELECT 1", "SELECT 2"] * 2
    with pytest.raises(UsageError, match="exists already"):
        traces.write(path, "csvlog", [])
    traces.delete([path, path])
    assert not path.exists()


def test_what_is_damaged_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t"
    traces.write(path, "x", [Call("SELECT 1"), Call("SELECT 2")])
    whole = path.read_text()
    torn, damaged, other = tmp_path / "torn", tmp_path / "damaged", tmp_path / "other"
    torn.write_text(whole[:-3])
    damaged.write_text(whole.replace('{"sql": "SELECT 1"}', "{"))
    other.write_text("LOG:  statement: SELECT 1\n")

    assert [call.sql for call in traces.read([torn])] == ["SELECT 1"]
    with pytest.raises(UsageError, match="line 2 cannot be read"):
        list(traces.read([damaged]))
    for path in (other, tmp_path / "none"):
        with pytest.raises(UsageError):
            traces.sources([path])
