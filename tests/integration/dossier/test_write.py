"""A dossier of a real migration: what is in it, what never is, how it is verified without us, a log of any length."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from migrator.control.log import decide
from migrator.control.status import collect
from migrator.db.connect import connect
from migrator.decommission import attempt, run
from migrator.dossier import known, write
from migrator.dossier.place import FilePlace
from migrator.dossier.read import opened
from migrator.dossier.verify import examine
from migrator.errors import NoGo, NotInstalled, PreconditionFailed
from migrator.model.dossier import Written
from migrator.plan.schema import Plan
from tests.fixtures.dossier import a_key, pem_of
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg]

KEY = a_key()
MARK = "m4rk-of-a-row"
SECRET = "s3cret-of-a-dsn"


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("DOSSIER_KEY", pem_of(KEY))
    rules = {"dossier": f"{tmp_path}/evidence/", "dossier_key": "env:DOSSIER_KEY", "release_classic": False}
    return stored(shop, small_plan(decommission=rules), monkeypatch)


def written(shop: Shop, plan: Plan, home: Path, attempt: int | None = 1) -> Written:
    return write.write(shop.classic, write.order(plan, home, attempt=attempt), home)


def rows(file: str, name: str) -> list[Any]:
    with tarfile.open(file) as archive:
        member = archive.extractfile(name)
        assert member is not None
        return [json.loads(line) for line in member]


def test_it_holds_what_was_decided_and_neither_rows_nor_secrets(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    classic = shop.classic
    decide(classic, "Größe", "gate.approved", 'a "select"', "approved", after={"n": 1})
    classic.execute("INSERT INTO migrator.approval (gate, approver, evidence) VALUES ('audit', 'ana', 'abc')")
    classic.execute(
        "INSERT INTO migrator.approval_vote (at, gate, approver, how, evidence, facts, proof)"
        " VALUES (now(), 'audit', 'Ana <b>', 'token', 'abc', '{}', '{\"key\": \"k\"}')"
    )
    classic.execute(
        "INSERT INTO migrator.incident (kind, reason, reported_by) VALUES ('reported', %s, 'ben')",
        (f"tried postgresql://ben:{SECRET}@db/app",),
    )
    classic.execute("INSERT INTO shop.tenant VALUES (77, %s)", (MARK,))
    classic.execute("INSERT INTO migrator.tenant (tenant_id, part, rows, divergent) VALUES ('77', 1, 5, 0)")
    classic.execute(
        "INSERT INTO migrator.divergence (run_id, table_name, tenant_id, key, kind, columns, fence)"
        " VALUES (gen_random_uuid(), 'shop.tenant', '77', %s, 'missing', '{name}', '1:1:')",
        (json.dumps({"name": MARK}),),
    )
    audit = {"created_at": "2027", "findings": [{"id": "F1", "severity": "info", "evidence": MARK}], "statements": MARK}
    for kind, body in (("audit", audit), ("decommission.sequences", {"column_max": {"a": MARK}})):
        classic.execute("INSERT INTO migrator.report (kind, body) VALUES (%s, %s)", (kind, json.dumps(body)))

    made = written(shop, plan, tmp_path)

    data = Path(made.place).read_bytes()
    assert MARK.encode() not in data and SECRET.encode() not in data and b"PRIVATE KEY" not in data
    assert rows(made.place, "approvals.jsonl")[0]["gate"] == "audit"
    assert rows(made.place, "votes.jsonl")[0]["proof"] == {"key": "k"}
    assert rows(made.place, "incidents.jsonl")[0]["reason"] == "tried postgresql://…@db/app"
    assert [d["key"] for d in rows(made.place, "divergences.jsonl") if "key" in d] == []
    assert rows(made.place, "log.jsonl")[-1]["decision"]["who"] == "Größe"
    assert made.manifest.key == KEY.line and made.manifest.log.sealed == made.manifest.log.entries > 0
    assert Path(made.place).stat().st_mode & 0o222 == 0
    assert [one.place for one in known.dossiers(tmp_path)] == [made.place]
    with opened(FilePlace(Path(made.place)), only=KEY.line.fingerprint) as dossier:
        assert dossier.facts.status.plan == plan.name
        assert dossier.decisions(1)[0]["after"] == {"n": 1}
        assert dossier.newest_report("audit") is not None
        page = b"".join(dossier.chunks("dossier.html")).decode()
    assert "Ana &lt;b&gt;" in page and '<td data-label="known by">token' in page
    assert KEY.line.fingerprint in page


def test_the_recipe_inside_verifies_it_without_us(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    """Its own README's commands, run as an auditor would; one altered byte makes one of them fail."""
    made = written(shop, plan, tmp_path)

    def run(dossier: Path, where: Path) -> tuple[list[str], bool]:
        where.mkdir()
        with tarfile.open(dossier) as archive:
            text = archive.extractfile("README.txt")
            assert text is not None
            recipe = text.read().decode()
        lines = [line.partition("  #")[0].strip() for line in recipe.splitlines() if line.startswith("    ")]
        assert len(lines) == 5
        done = [
            subprocess.run(["bash", "-o", "pipefail", "-c", line.replace("DOSSIER", str(dossier))], cwd=where,
                           capture_output=True, text=True)
            for line in lines
        ]  # fmt: skip
        return [one.stdout.strip() for one in done], all(one.returncode == 0 for one in done)

    said, fine = run(Path(made.place), tmp_path / "one")
    assert fine, said
    assert said[1].startswith(KEY.line.fingerprint.removeprefix("sha256:"))
    assert said[2] == "Signature Verified Successfully" and said[3] == "1"
    assert said[4] == str(len(made.manifest.members) + 2)

    altered = tmp_path / "altered"
    altered.write_bytes(Path(made.place).read_bytes().replace(b'"installed": true', b'"installed": trux'))
    assert not run(altered, tmp_path / "two")[1]


def test_written_again_it_is_found_and_another_one_gets_another_name(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    first, again = written(shop, plan, tmp_path), written(shop, plan, tmp_path)
    assert again.kept and (again.place, again.digest) == (first.place, first.digest)
    before = Path(first.place).read_bytes()

    write.record(shop.classic, first, "ana", "test")  # the log has grown
    second = written(shop, plan, tmp_path)
    interim = written(shop, plan, tmp_path, attempt=None)

    assert not second.kept and second.place == first.place.replace(".dossier", "-2.dossier")
    assert "-interim-" in interim.place and interim.manifest.kind == "interim"
    assert Path(first.place).read_bytes() == before
    assert sorted(p.name for p in Path(first.place).parent.iterdir()) == sorted(
        Path(one.place).name for one in (first, second, interim)
    ), "no draft is left"


def test_a_broken_chain_is_written_down_and_said(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    """The dossier of a log that was forged on classic is as intact as any, and says that the log is not."""
    decide(shop.classic, "ana", "gate.approved", "audit", "approved")
    written(shop, plan, tmp_path)
    shop.classic.execute("SET session_replication_role = replica")
    shop.classic.execute("ALTER TABLE migrator.decision DISABLE TRIGGER USER")
    shop.classic.execute("UPDATE migrator.decision SET who = 'eve' WHERE who = 'ana' AND kind = 'gate.approved'")

    made = written(shop, plan, tmp_path)

    assert "was altered: gate.approved" in made.manifest.log.problem
    with Path(made.place).open("rb") as file:
        found = examine(file)
    assert found.intact and "was altered: gate.approved" in found.faults[0].text


@pytest.mark.once
def test_a_long_log_takes_no_memory(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    """20,000 entries of 2 kB are 40 MB; writing and reading them takes a fraction of that."""
    shop.classic.execute(
        "INSERT INTO migrator.decision (who, kind, subject, reason)"
        " SELECT 'test', 'route.moved', 'route/' || n, repeat('x', 2000) FROM generate_series(1, 20000) n"
    )
    tracemalloc.start()
    try:
        made = written(shop, plan, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert made.manifest.log.entries >= 20_000
    assert Path(made.place).stat().st_size > 40_000_000
    assert peak < 20_000_000


def test_another_key_than_the_plan_names_signs_nothing(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    rules = plan.decommission.model_copy(update={"dossier_fingerprint": a_key().line.fingerprint})
    with pytest.raises(PreconditionFailed, match="the key that signs dossiers is sha256:"):
        write.order(plan.model_copy(update={"decommission": rules}), tmp_path)


def test_there_is_nothing_to_write_down_without_a_plan(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    shop.classic.execute("DELETE FROM migrator.plan")
    with pytest.raises(NotInstalled, match="nothing to write down"):
        written(shop, plan, tmp_path)


def test_status_says_until_when_classic_has_to_stay(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    """The phase is done before the dossier, which says so itself; whoever looks sees that it is not there yet."""
    number = attempt.begin(shop.classic, "ana")
    rules = plan.decommission.model_copy(update={"dossier_fingerprint": a_key().line.fingerprint})
    other = plan.model_copy(update={"decommission": rules})

    with pytest.raises(PreconditionFailed):
        run.export(shop.classic, shop.limitless, number, other, tmp_path)
    before = detail(shop)
    place = run.export(shop.classic, shop.limitless, number, plan, tmp_path)

    assert "the dossier is being written: keep classic" in before
    assert f"the dossier is {place}" in detail(shop) and Path(place).exists()


def detail(shop: Shop) -> str:
    (line,) = [line for line in collect(shop.classic).phases if line.phase == "decommission"]
    assert line.state == "done"
    return line.detail


def test_status_refuses_a_dossier_that_was_altered(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    made = written(shop, plan, tmp_path)
    altered = tmp_path / "altered"
    altered.write_bytes(Path(made.place).read_bytes().replace(b'"installed": true', b'"installed": trux'))
    with pytest.raises(NoGo, match=r"facts.json: its bytes were altered"), opened(FilePlace(altered)):
        pass


def test_a_second_reader_is_not_waited_for(shop: Shop, plan: Plan, tmp_path: Path) -> None:
    """A transaction that has written to the log and does not end delays no dossier; its entry is not in it."""
    with connect(shop.classic_dsn, "test") as other, other.transaction(force_rollback=True):
        decide(other, "late", "gate.approved", "audit", "not committed")
        made = written(shop, plan, tmp_path)
    assert b"not committed" not in Path(made.place).read_bytes()
