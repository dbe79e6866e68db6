"""The decision log and approvals: nothing is altered unseen, and nobody approves who may not."""

from __future__ import annotations

from tests.mutation.mutation import Mutation

CHAIN = "tests/unit/control/test_chain.py"
SEALING = "tests/integration/control/test_sealing.py"
VOTES = "tests/unit/model/test_approval.py"
APPROVING = "tests/integration/governance/test_approving.py"

OF_GOVERNANCE = (
    Mutation(
        "log-content",
        "migrator/control/chain.py",
        "        elif content_of(entry) != seal.content:\n",
        "        elif False:\n",
        (f"{CHAIN}::test_any_altered_field_is_found_in_its_entry",),
        "an entry is what its seal says",
    ),
    Mutation(
        "log-deleted",
        "migrator/control/chain.py",
        "            if seal.repeated:\n",
        "            if True:\n",
        (f"{CHAIN}::test_a_deleted_entry_is_named_unless_the_tool_may_thin_it_out",),
        "only what the tool repeats may be gone",
    ),
    Mutation(
        "log-linked",
        "migrator/control/chain.py",
        "        if hash_of(seal) != seal.hash:\n",
        "        if False:\n",
        (f"{CHAIN}::test_a_deleted_entry_is_named_unless_the_tool_may_thin_it_out",),
        "a seal is what was hashed",
    ),
    Mutation(
        "log-numbered",
        "migrator/control/chain.py",
        "        if seal.seq != expected:\n",
        "        if False:\n",
        (f"{CHAIN}::test_what_is_taken_out_or_swapped_is_found_at_the_first_place",),
        "no seal is missing or in another place",
    ),
    Mutation(
        "log-anchored",
        "migrator/control/chain.py",
        '        name = f"{anchor.hash[:16]}…',
        '        continue\n        name = f"{anchor.hash[:16]}…',
        (f"{CHAIN}::test_a_log_cut_off_or_rewritten_is_held_to_an_anchor",),
        "an end that was cut off shows by what was written down elsewhere",
    ),
    Mutation(
        "log-forgiven",
        "migrator/control/chain.py",
        "        if anchor.where and anchor.hash in forgiven:",
        "        if anchor.hash in forgiven:",
        (f"{CHAIN}::test_a_log_cut_off_or_rewritten_is_held_to_an_anchor",),
        "what an auditor wrote down is not excused by an entry of the log",
    ),
    Mutation(
        "log-anchor-held",
        "migrator/control/sealing.py",
        "        if row is None or row[0] != last.hash:\n",
        "        if False:\n",
        (f"{SEALING}::test_limitless_holds_the_log_to_what_it_was",),
        "a log that was rewritten gets no anchor of its own",
    ),
    Mutation(
        "log-append-only",
        "migrator/control/classic.sql",
        "ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER refuse_change;\n",
        "",
        (f"{SEALING}::test_nobody_changes_the_log",),
        "replication's role does not switch the triggers off",
    ),
    Mutation(
        "approval-two-people",
        "migrator/model/approval.py",
        "    by = tuple(dict.fromkeys(v.approver for v in sorted(counted, key=lambda v: v.at)))\n",
        "    by = tuple(v.approver for v in sorted(counted, key=lambda v: v.at))\n",
        (f"{VOTES}::test_two_different_people_agree_about_the_same_evidence",),
        "the same person twice is one person",
    ),
    Mutation(
        "approval-evidence",
        "migrator/model/approval.py",
        "[v for v in every if v.evidence == evidence and not _expired(v, now) and v.at - now <= AHEAD]",
        "[v for v in every if not _expired(v, now)]",
        (f"{VOTES}::test_two_different_people_agree_about_the_same_evidence",),
        "what was said of other evidence is not said of this",
    ),
    Mutation(
        "approval-expires",
        "migrator/model/approval.py",
        "[v for v in every if v.evidence == evidence and not _expired(v, now) and v.at - now <= AHEAD]",
        "[v for v in every if v.evidence == evidence]",
        (f"{VOTES}::test_an_approval_expires_at_its_second",),
        "an approval counts for as long as the plan says",
    ),
    Mutation(
        "approval-signed",
        "migrator/governance/check.py",
        '    return key is not None and keys.is_signed(key, said, kept.proof.get("signature", ""))\n',
        "    return key is not None\n",
        (f"{APPROVING}::test_a_vote_that_was_written_by_hand_does_not_count",),
        "a vote is signed by the person whose it is",
    ),
)
