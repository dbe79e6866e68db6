"""Commands about approvals: what a gate's is about, who may give it, tokens of approvers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import completion
from migrator.cli.options import JsonOption, PlanOption
from migrator.cli.render import causes, emit_json, note, out, print_table

if TYPE_CHECKING:
    import psycopg

    from migrator.model.approval import Verdict
    from migrator.plan.schema import Plan
    from workflows.messages import Answer

group = typer.Typer(no_args_is_help=True, help="Who may approve, and the tokens by which they are known.")

UNAUTHENTICATED = "Approvals are NOT authenticated: any name that is given counts (governance.authentication)."


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: migrator gate dual_write")(gate)
    app.add_typer(group, name="approver")


def gate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="GATE",
            help="audit, provision, dual_write, cutover, decommission, or wave-N.",
            autocompletion=completion.gates,
        ),
    ],
    plan: PlanOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an approval of a gate is about: the evidence with its digest, blockers, who approved so far.

    What is shown is kept, so that an approval of evidence that has changed can be refused with what changed.
    """
    from migrator.cli.context import classic, require_installed
    from migrator.control import votes
    from migrator.control.phase import is_approved
    from migrator.governance.check import standing
    from migrator.model.gate import gate_of

    wanted = gate_of(name)
    with classic(plan) as conn:
        require_installed(conn)
        found = running(conn)
        facts = votes.facts_of(conn, wanted)
        digest = votes.keep_shown(conn, wanted, facts)
        waits, blockers = votes.waits(conn, wanted), votes.blockers(conn, wanted)
        verdict = standing(conn, found, wanted, facts)
        approved = is_approved(conn, wanted)
        notes = _tried(conn, found) if wanted == "provision" else ()
    if as_json:
        emit_json(
            {
                "gate": wanted,
                "waits": waits,
                "approved": approved,
                "blockers": list(blockers),
                "notes": list(notes),
                "evidence": digest,
                "facts": facts,
                "approved_by": list(verdict.by),
                "people_needed": found.governance.eyes(wanted),
                "authenticated": found.governance.required,
            }
        )
        return
    out(
        f"{wanted}: {'approved' if approved else 'waits for an approval' if waits else 'does not wait for an approval'}"
    )
    out(*(f"  {key}: {value}" for key, value in facts.items()))
    out(*causes(blockers, everything=True))
    out(*(f"Note: {line}" for line in notes))
    out(f"Evidence: {digest}")
    if verdict.by:
        out(f"Approved so far by {verdict.approver} (of {found.governance.eyes(wanted)}).")
    if not found.governance.required:
        note(UNAUTHENTICATED)
    if waits and not approved:
        note(f"Approve it with: migrator approve {wanted} --as NAME --evidence {digest}")


def _tried(conn: psycopg.Connection[Any], plan: Plan) -> tuple[str, ...]:
    """Return what was tried on Limitless, and what of that does not block: not asked for, or acknowledged."""
    from migrator import traffic_test

    return traffic_test.notes_of(traffic_test.look(conn, plan))


@group.command(epilog="Example: migrator approver token Ada")
def token(
    name: Annotated[str, typer.Argument(help="The person's name, as it stands in the decision log.")],
    as_json: JsonOption = False,
) -> None:
    """Make a token for an approver, and print it once with what the plan needs: its public key.

    The token is kept nowhere. Who has it approves in that name; a new one makes the old one worthless once it is in the
    plan (migrator plan apply).
    """
    import json

    from migrator.errors import UsageError
    from migrator.governance.keys import new_token
    from migrator.plan.governance import name_problem

    if problem := name_problem(name):
        raise UsageError(problem)
    secret, key = new_token()
    if as_json:
        emit_json({"name": name, "token": secret, "key": key})
        return
    out(secret)
    note(
        "This is the token. It is shown once and kept nowhere: hand it over, and keep it in a password store.",
        "The plan needs this, and no more:",
        f"[governance.approver.{json.dumps(name, ensure_ascii=False)}]",
        f'key = "{key}"',
    )


@group.command("list", epilog="Example: migrator approver list")
def list_(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """List who may approve what, until when, and how it is known who they are."""
    from migrator.cli.context import find_plan

    governance = find_plan(plan).governance
    if as_json:
        emit_json(
            {
                "authentication": governance.authentication,
                "four_eyes": list(governance.four_eyes),
                "approval_valid_s": governance.approval_valid_s,
                "approvers": {name: one.model_dump(mode="json") for name, one in governance.approver.items()},
            }
        )
        return
    rows = [
        (name, ", ".join(w for w, there in (("token", one.key), ("oidc", one.subject)) if there), str(one.until or "-"),
         ", ".join(one.acts))
        for name, one in governance.approver.items()
    ]  # fmt: skip
    print_table(["approver", "known by", "until", "may approve"], rows)
    if governance.four_eyes:
        out(f"Two people have to approve: {', '.join(governance.four_eyes)}.")
    if not governance.required:
        note(UNAUTHENTICATED)


def approve_gate(
    found: Plan, option: Path | None, gate: str, name: str, evidence: str | None, token: str | None
) -> Answer:
    """Take the vote of *name*, and tell the running migration once the gate is approved.

    Raises:
        MigratorError: see `migrator.governance.cast.cast` and `workflows.client.approve`.
    """
    from workflows import client

    if not found.governance.binding and evidence is None and token is None:
        return client.approve(found, gate, name)
    from migrator.cli.context import classic, require_installed

    with classic(option) as conn:
        require_installed(conn)
        verdict = vote(conn, running(conn), gate, name, evidence, token)
    if not verdict.approved:
        from workflows.messages import Answer

        return Answer(text=f"taken; {verdict.missing}")
    return client.approve(found, gate, verdict.approver)


def running(conn: psycopg.Connection[Any]) -> Plan:
    """Return the plan that is stored on classic: its rules count, whatever a file says."""
    from migrator.control.install import active_plan
    from migrator.plan.load import from_earlier

    return from_earlier(active_plan(conn))


def vote(
    conn: psycopg.Connection[Any],
    found: Plan,
    gate: str,
    name: str,
    evidence: str | None,
    token: str | None,
    facts: dict[str, str] | None = None,
) -> Verdict:
    """Take the vote of *name*, whose token is found at the reference *token*, or in the environment."""
    from migrator import settings
    from migrator.governance.cast import Claim, cast

    secret = settings.secret(token) if token else settings.approver_token()
    return cast(conn, found, gate, Claim(name, secret), evidence, facts)
