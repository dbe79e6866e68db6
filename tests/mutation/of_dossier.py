"""The dossier: every byte is looked at, who signed it is asked, and nothing is done to classic before it lies there."""

from __future__ import annotations

from tests.mutation.mutation import Mutation

VERIFY = "tests/unit/dossier/test_verify.py"
PLACE = "tests/unit/dossier/test_place.py"

OF_DOSSIER = (
    Mutation(
        "dossier-header",
        "migrator/dossier/verify.py",
        "        return piece.head == header(piece.name, piece.size, mtime)\n",
        "        return True\n",
        (f"{VERIFY}::test_a_header_that_was_made_anew_is_named",),
        "bytes of the archive beside the members' own are looked at too",
    ),
    Mutation(
        "dossier-padding",
        "migrator/dossier/verify.py",
        "        if not piece.padded:\n",
        "        if False:\n",
        (f"{VERIFY}::test_a_changed_byte_is_found_wherever_it_is",),
        "and the zeros behind a member",
    ),
    Mutation(
        "dossier-other-key",
        "migrator/dossier/verify.py",
        "        if mine != only:\n",
        "        if False:\n",
        (f"{VERIFY}::test_a_whole_forgery_needs_the_key",),
        "a dossier that somebody signed anew is not believed",
    ),
    Mutation(
        "dossier-signature",
        "migrator/dossier/verify.py",
        "    if not signing.is_signed(public.kept, signature.kept, data):\n",
        "    if False:\n",
        (f"{VERIFY}::test_a_changed_byte_is_found_wherever_it_is",),
        "the manifest is what was signed",
    ),
    Mutation(
        "dossier-replaced",
        "migrator/dossier/s3.py",
        'IfNoneMatch="*",',
        'IfMatch="*",',
        (f"{PLACE}::test_an_object_is_written_by_one_request_encrypted_and_locked",),
        "what lies under a name is never replaced",
        says="StubAssertionError",
    ),
    Mutation(
        "dossier-gate",
        "migrator/decommission/prepare.py",
        "    problems += dossier.blockers(classic, plan, settings.home(), keep=True, fresh=True)\n",
        "",
        ("tests/integration/dossier/test_gate.py::test_nothing_is_closed_while_the_dossier_cannot_be_written",),
        "no write is closed for a decommission whose dossier could not be written",
    ),
)
