"""Who approves, of which evidence, for how long: taken by commands, checked again where the gate is passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator import gates
from migrator.control import votes
from migrator.control.incident import add_incident
from migrator.control.install import install
from migrator.control.phase import is_approved, set_phase
from migrator.db.connect import connect
from migrator.errors import MigratorError, NoGo, NotAuthenticated, PreconditionFailed, UsageError
from migrator.governance.cast import Claim, cast, prove
from migrator.governance.check import problem, standing
from migrator.governance.keys import new_token, sign, statement
from migrator.model.approval import How, Verdict, Vote
from migrator.plan.load import digest, dump, from_body, shim_settings
from migrator.plan.schema import Plan
from migrator.traffic.cutover.wave import _approved
from tests.fixtures.operator import Operator

pytestmark = pytest.mark.pg

Connection = psycopg.Connection[Any]
ADA, ADA_KEY = new_token()
BOB, BOB_KEY = new_token()
EVE, _ = new_token()
PEOPLE = {
    "Ada": {"key": ADA_KEY, "subject": "ada@shop"},
    "Größe, Bob": {"key": BOB_KEY},
    "Old": {"key": new_token()[1], "until": "2020-01-01"},
    "Clerk": {"subject": "clerk@shop", "acts": ["audit"]},
}
OIDC = {"oidc_header": "X-Token", "oidc_issuer": "https://id", "oidc_audience": "b", "oidc_jwks": "file:/none"}


def plan_of(**governance: Any) -> Plan:
    values = {"authentication": "required", "approver": PEOPLE, **OIDC, **governance}
    return from_body({"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"},
                      "tables": {"schemas": ["app"]}, "temporal": {"address": "127.0.0.1:1"},
                      "waves": {"approve_each": True}, "governance": values})  # fmt: skip


STRICT = plan_of(four_eyes=["cutover", "waves"])


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[Connection]:
    with connect(classic_dsn, "test") as conn:
        install(conn, "shop", digest(STRICT), dump(STRICT), shim_settings(STRICT))
        yield conn


def wait_for(conn: Connection, gate: str, phase: str = "cutover") -> str:
    """Have the gate wait, as a workflow notes it; return the digest of its evidence."""
    set_phase(conn, phase, "waiting", f"waiting for an approval of {gate}", (), f"migrator approve {gate} --as NAME")
    return votes.keep_shown(conn, gate, votes.facts_of(conn, gate))


def ada(token: str | None = ADA, **more: str) -> Claim:
    return Claim("Ada", token, **more)


def refused(conn: Connection, claim: Claim, gate: str = "audit", plan: Plan = STRICT) -> MigratorError:
    with pytest.raises(MigratorError) as told:
        cast(conn, plan, gate, claim, votes.keep_shown(conn, gate, votes.facts_of(conn, gate)))
    return told.value


def recorded(conn: Connection, kind: str) -> list[tuple[str, str]]:
    return conn.execute("SELECT who, reason FROM migrator.decision WHERE kind = %s ORDER BY id", (kind,)).fetchall()


def test_an_approver_signs_what_was_seen_and_that_is_recorded(classic: Connection) -> None:
    evidence = wait_for(classic, "audit", "audit")

    assert cast(classic, STRICT, "audit", ada(), evidence) == Verdict(("Ada",))
    assert cast(classic, STRICT, "audit", ada(), evidence) == Verdict(("Ada",)), "again is once"
    gates.approve(classic, "audit", "Ada", STRICT)

    assert is_approved(classic, "audit") and gates.recheck_approval(classic, "audit", STRICT) == ""
    row = classic.execute("SELECT who, after FROM migrator.decision WHERE kind = 'approval.given'").fetchall()
    ((who, told),) = row
    assert (who, told["how"], told["evidence"], told["proof"]["key"]) == ("Ada", "token", evidence, ADA_KEY)
    approved = classic.execute("SELECT after -> 'by' FROM migrator.decision WHERE kind = 'gate.approved'").fetchone()
    assert approved is not None and [(one["approver"], one["how"]) for one in approved[0]] == [("Ada", "token")]
    everything = str(classic.execute("SELECT d::text FROM migrator.decision d").fetchall())
    everything += str(classic.execute("SELECT v::text FROM migrator.approval_vote v").fetchall())
    assert ADA not in everything and ADA.removeprefix("migapp_") not in everything


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (ada(EVE), "not the token of Ada"),
        (ada("hunter2"), "no token of an approver"),
        (ada(None), "a name alone does not count"),
        (Claim("Eve", EVE), "Eve is no approver"),
        (Claim("ada", ADA), "ada is no approver"),
        (Claim("Größe, Bob", ADA), "not the token of Größe"),
        (Claim("Old", ADA), "until 2020-01-01"),
        (Claim("Clerk", ADA), "not the token of Clerk"),
        (Claim("Clerk", None, "https://id", "ada@shop"), "does not say that this is Clerk"),
        (Claim("Clerk", None, "https://evil", "clerk@shop"), "does not say that this is Clerk"),
    ],
)
def test_who_is_not_known_is_refused_in_one_sentence_and_recorded(classic: Connection, claim: Claim, said: str) -> None:
    """Without the token, in the message and in the log."""
    wait_for(classic, "audit", "audit")

    error = refused(classic, claim)

    assert isinstance(error, NotAuthenticated) and said in str(error)
    ((who, why),) = recorded(classic, "approval.refused")
    assert who == claim.name and said in why
    assert all(secret not in f"{error}{why}" for secret in (ADA, EVE, "hunter2"))
    assert votes.votes(classic, "audit") == []


def test_wrong_tokens_keep_no_approver_out_and_leave_a_bounded_trace(classic: Connection) -> None:
    """Whoever reaches the board may try: the right token is let in, and a log that nobody may prune stays small."""
    evidence = wait_for(classic, "audit", "audit")
    for number in range(8):
        refused(classic, ada(EVE))
        refused(classic, Claim(f"{number}" * 5000, EVE))

    assert cast(classic, STRICT, "audit", ada(), evidence).approved
    kept = recorded(classic, "approval.refused")
    assert len(kept) == 10 and max(len(who + why) for who, why in kept) < 300


def test_made_up_names_leave_a_bounded_trace_too(classic: Connection) -> None:
    """Nothing in the log is ever deleted: who has no name of the plan cannot fill it by making up new ones."""
    evidence = wait_for(classic, "audit", "audit")
    for number in range(8):
        refused(classic, Claim(f"Mallory {number} \x1b[2J{'x' * 5000}", EVE))

    found = recorded(classic, "approval.refused")
    assert len(found) == 5 and all(len(who) <= 80 and who.isprintable() and len(why) < 150 for who, why in found)
    assert cast(classic, STRICT, "audit", ada(), evidence).approved, "others go on"


def test_somebody_approves_only_what_the_plan_lets_them(classic: Connection) -> None:
    wait_for(classic, "dual_write", "dual_write")
    clerk = Claim("Clerk", None, "https://id", "clerk@shop")

    assert "may not approve dual_write" in str(refused(classic, clerk, "dual_write"))
    assert cast(classic, STRICT, "audit", clerk, wait_for(classic, "audit", "audit")).approved


def test_four_eyes_are_two_people_and_the_worker_counts_again(classic: Connection) -> None:
    evidence = wait_for(classic, "cutover")
    first = cast(classic, STRICT, "cutover", ada(), evidence)

    assert not first.approved and "second approver" in first.missing
    assert "another person" in str(refused(classic, ada(), "cutover"))
    by_oidc = Claim("Ada", None, "https://id", "ada@shop")
    assert "another person" in str(refused(classic, by_oidc, "cutover")), "the same person by another way"
    with pytest.raises(PreconditionFailed, match="second approver"):
        gates.approve(classic, "cutover", "Ada", STRICT)
    with pytest.raises(PreconditionFailed, match="second approver"):
        gates.approve(classic, "cutover", "Ada and Größe, Bob", STRICT)
    both = cast(classic, STRICT, "cutover", Claim("Größe, Bob", BOB), evidence)
    with pytest.raises(PreconditionFailed, match="not by Eve"):
        gates.approve(classic, "cutover", "Eve", STRICT)
    gates.approve(classic, "cutover", both.approver, STRICT)

    assert both.approver == "Ada and Größe, Bob" and is_approved(classic, "cutover")


def test_one_token_under_two_names_is_one_person(classic: Connection, tmp_path: Path) -> None:
    """The vote is refused; one that was written by hand, signed with that token, does not count either."""
    (tmp_path / "key").write_text(ADA_KEY)
    people = {**PEOPLE, "Ada Two": {"key": f"file:{tmp_path}/key"}}
    plan = plan_of(four_eyes=["cutover"], approver=people)
    evidence = wait_for(classic, "cutover")
    cast(classic, plan, "cutover", ada(), evidence)
    assert "they are one person" in str(refused(classic, Claim("Ada Two", ADA), "cutover", plan))

    at, facts = votes.now(classic), votes.facts_of(classic, "cutover")
    signed = sign(ADA, statement("shop", "cutover", evidence, "Ada Two", at))
    votes.put(classic, "cutover", Vote("Ada Two", How.TOKEN, evidence, at), facts, {"signature": signed})
    assert standing(classic, plan, "cutover", facts).by == ("Ada",)


def test_a_message_to_temporal_alone_approves_nothing(classic: Connection) -> None:
    wait_for(classic, "audit", "audit")
    with pytest.raises(PreconditionFailed, match="it has no approval"):
        gates.approve(classic, "audit", "Ada", STRICT)
    assert not is_approved(classic, "audit")


def test_a_vote_that_was_written_by_hand_does_not_count(classic: Connection) -> None:
    """Of another gate, of other evidence, of another person, of another moment: the signature does not fit."""
    evidence = wait_for(classic, "audit", "audit")
    cast(classic, STRICT, "audit", ada(), evidence)
    facts = votes.facts_of(classic, "audit")
    for change in (
        "gate = 'provision'",
        "approver = 'Größe, Bob'",
        "at = at + interval '1 hour'",
        "how = 'none'",
        "proof = '{}'",
        "evidence = 'ffffffffffffffff'",
        """facts = facts || '{"plan": "x"}'""",
    ):
        with classic.transaction(force_rollback=True):
            classic.execute(f"UPDATE migrator.approval_vote SET {change}".encode())
            gate = "provision" if "provision" in change else "audit"
            seen = {**facts, "gate": gate} if gate == "audit" else votes.facts_of(classic, gate)
            assert not standing(classic, STRICT, gate, seen).approved, change
    assert standing(classic, STRICT, "audit", facts).approved
    without = plan_of(approver={k: v for k, v in PEOPLE.items() if k != "Ada"})
    assert not standing(classic, without, "audit", facts).approved, "who is no approver any more"


def test_evidence_that_changed_is_refused_with_what_changed(classic: Connection) -> None:
    """Before the approval, and between it and the moment the gate is passed."""
    seen = wait_for(classic, "cutover")
    with pytest.raises(UsageError, match="none was named"):
        cast(classic, STRICT, "cutover", ada(), None)
    add_incident(classic, "test", "it burnt", "eve")
    with pytest.raises(NoGo) as told:
        cast(classic, STRICT, "cutover", ada(), seen)
    assert "incidents: 0 → 1" in told.value.blockers
    with pytest.raises(NoGo, match="no evidence 'abc' was ever shown"):
        cast(classic, STRICT, "cutover", ada(), "abc")

    now = wait_for(classic, "cutover")
    cast(classic, STRICT, "cutover", ada(), now)
    add_incident(classic, "test", "again", "eve")
    later = cast(classic, STRICT, "cutover", Claim("Größe, Bob", BOB), wait_for(classic, "cutover"))
    assert not later.approved, "two people about two things"
    assert "second approver" in problem(classic, STRICT, "cutover")
    assert cast(classic, STRICT, "cutover", ada(), wait_for(classic, "cutover")).approved
    gates.approve(classic, "cutover", "Größe, Bob and Ada", STRICT)
    add_incident(classic, "test", "third", "eve")
    why = gates.recheck_approval(classic, "cutover", STRICT)
    assert "approved other evidence" in why and "incidents: 2 → 3" in why
    gates.void(classic, "cutover", "Größe, Bob and Ada", why)
    assert not is_approved(classic, "cutover") and votes.votes(classic, "cutover") == []


def test_an_approval_that_expired_is_none_when_the_wave_begins(classic: Connection) -> None:
    """And may be given again."""
    plan = plan_of(approval_valid_s=3600)
    evidence = wait_for(classic, "wave-1")
    cast(classic, plan, "wave-1", ada(), evidence)
    gates.approve(classic, "wave-1", "Ada", plan)
    assert _approved(classic, "wave-1", plan)

    strict = plan_of(approval_valid_s=1e-6)
    assert not _approved(classic, "wave-1", strict)
    assert not is_approved(classic, "wave-1")
    ((_, why),) = recorded(classic, "gate.approval_voided")
    assert "the approval of Ada expired at" in why
    assert cast(classic, plan, "wave-1", ada(), evidence).approved
    gates.approve(classic, "wave-1", "Ada", plan)
    assert _approved(classic, "wave-1", plan)


def test_without_governance_a_name_is_enough_and_evidence_may_be_named(classic: Connection) -> None:
    plan = plan_of(authentication="none")
    evidence = wait_for(classic, "audit", "audit")

    assert cast(classic, plan, "audit", Claim("Zoe"), evidence).approver == "Zoe"
    with pytest.raises(NotAuthenticated):
        cast(classic, plan, "audit", ada(EVE), evidence)
    with pytest.raises(PreconditionFailed, match="provision does not wait"):
        cast(classic, plan, "provision", Claim("Zoe"), None)
    gates.approve(classic, "audit", "anybody", plan)
    assert is_approved(classic, "audit")


def test_without_classic_a_token_is_held_to_the_plan_alone() -> None:
    """As for the deletion of classic, when it is stopped."""
    now = datetime.now(UTC)
    assert prove(STRICT, ada(), "decommission", now).how == "token"
    assert prove(plan_of(authentication="none"), Claim("Zoe"), "decommission", now).how == "none"
    for claim, gate in ((ada(EVE), "decommission"), (ada(None), "decommission"), (Claim("Zoe"), "decommission")):
        with pytest.raises(NotAuthenticated):
            prove(STRICT, claim, gate, now)


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(classic: Connection, classic_dsn: str, tmp_path: Path) -> Operator:
    return Operator(tmp_path, {"A": classic_dsn, "MIGRATOR_CLASSIC_DSN": classic_dsn, "ADA": ADA, "BOB": BOB})


def test_commands_show_the_evidence_and_take_the_vote(classic: Connection, operator: Operator) -> None:
    wait_for(classic, "cutover")
    shown = operator("gate", "cutover", "--json").json
    assert (shown["waits"], shown["people_needed"], shown["authenticated"]) == (True, 2, True)

    wrong = operator("approve", "cutover", "--as", "Ada", "--evidence", shown["evidence"], "--token", "env:BOB")
    assert wrong.code == 3 and "not the token of Ada" in wrong.err and BOB not in wrong.err
    bare = operator("approve", "cutover", "--as", "Ada", "--token", "env:ADA")
    assert bare.code == 2 and "migrator gate cutover" in bare.err
    one = operator("approve", "cutover", "--as", "Ada", "--evidence", shown["evidence"], MIGRATOR_APPROVER_TOKEN=ADA)
    assert one.code == 0 and "second approver" in one.out
    assert "Approved so far by Ada (of 2)" in operator("gate", "cutover").out
    two = operator("approve", "cutover", "--as", "Größe, Bob", "--evidence", shown["evidence"], "--token", "env:BOB")
    assert two.code == 5, "it is approved, and Temporal does not answer: the same again goes on"
    assert operator("gate", "cutover", "--json").json["approved_by"] == ["Ada", "Größe, Bob"]


def test_a_token_is_printed_once_with_what_the_plan_needs(operator: Operator) -> None:
    made = operator("approver", "token", 'Zoë "Z"')
    assert made.code == 0 and made.out.strip().startswith("migapp_")
    assert made.out.strip() not in made.err and '[governance.approver."Zoë \\"Z\\""]' in made.err
    assert operator("approver", "token", "A and B").code == 2
    listed = operator("approver", "list")
    assert listed.code == 0 and "until" in listed.out and "Two people" in listed.out


def test_a_change_of_the_plan_is_approved_by_the_rules_that_run(
    classic: Connection, operator: Operator, tmp_path: Path
) -> None:
    """Also the change that would switch them off."""
    from migrator.plan.load import from_earlier
    from migrator.plan.toml import to_toml

    strict = plan_of(four_eyes=["plan_change"])
    install(classic, "shop", digest(strict), dump(strict), shim_settings(strict))
    loose = strict.model_copy(update={"governance": plan_of(authentication="none").governance})
    (tmp_path / "loose.toml").write_text(to_toml(dump(loose)))
    apply = ("plan", "apply", str(tmp_path / "loose.toml"), "-r", "less work", "--yes")

    assert operator(*apply, "--as", "Ada").code == 3
    first = operator(*apply, "--as", "Ada", "--token", "env:ADA")
    assert first.code == 3 and "second approver" in first.err
    assert operator(*apply, "--as", "Ada", "--token", "env:ADA").code == 3
    second = operator(*apply, "--as", "Größe, Bob", "--token", "env:BOB")
    assert second.code == 0, second.err
    row = classic.execute("SELECT body FROM migrator.plan").fetchone()
    assert row is not None and from_earlier(row[0]).governance.authentication == "none"
    told = classic.execute("SELECT after ->> 'approved_by' FROM migrator.decision WHERE kind = 'plan.changed'")
    assert told.fetchall() == [("Ada and Größe, Bob",)]
