"""Commands that make, show and delete the Limitless cluster, on AWS or on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import DryRunOption, JsonOption, PlanOption, YesOption
from migrator.cli.progress import progress
from migrator.cli.render import announce, confirm, emit_json, note, out
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.aws.cluster import Wanted
    from migrator.plan.schema import Plan
    from migrator.provision.cluster import ClusterProvisioner, ClusterState

group = typer.Typer(no_args_is_help=True, help="Make, show and delete the Limitless cluster.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="cluster")


@group.command(epilog="Example: migrator cluster create --monitoring-role-arn ARN --master-password env:PW --dry-run")
def create(
    plan: PlanOption = None,
    subnet_group: Annotated[
        str | None, typer.Option("--subnet-group", help="AWS: DB subnet group; without it aws.subnet_group.")
    ] = None,
    security_group: Annotated[
        list[str] | None, typer.Option("--security-group", help="AWS: VPC security group; may be repeated.")
    ] = None,
    monitoring_role_arn: Annotated[
        str | None, typer.Option("--monitoring-role-arn", help="AWS: role of Enhanced Monitoring, which is required.")
    ] = None,
    master_username: Annotated[
        str | None, typer.Option("--master-username", help="AWS: master user; without it aws.master_username.")
    ] = None,
    master_password: Annotated[
        str | None,
        typer.Option("--master-password", help="AWS: where it is found: env:NAME, file:PATH or aws-secret:ID#KEY."),
    ] = None,
    kms_key_id: Annotated[str | None, typer.Option("--kms-key-id", help="AWS: key of the storage.")] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make what is missing, change what the plan says otherwise, and wait until it is so.

    Takes tens of minutes on AWS. Safe to run again; --dry-run says what would be made and changed, from what to what.
    Options win over the plan's section aws.
    """
    from dataclasses import replace

    from migrator import settings
    from migrator.cli.context import find_plan

    found = find_plan(plan)
    password = master_password
    provisioner = _provisioner(
        found,
        lambda wanted: replace(
            wanted,
            subnet_group=subnet_group or wanted.subnet_group,
            security_groups=tuple(security_group or ()) or wanted.security_groups,
            monitoring_role_arn=monitoring_role_arn or wanted.monitoring_role_arn,
            master_username=master_username or wanted.master_username,
            master_password=None if password is None else (lambda: settings.secret(password)),
            kms_key_id=kms_key_id or wanted.kms_key_id,
        ),
    )
    _refuse_unless_ours(found, "cluster create")
    todo = provisioner.actions()
    if dry_run:
        announce(todo, as_json=as_json)
        return
    if todo:
        confirm(f"{'; '.join(a.summary for a in todo)}? This costs money on AWS.", yes=yes)
    with progress("Making the cluster", silent=as_json):
        state = provisioner.ensure(lambda action: note(f"  {action.summary}"))
    _show(state, as_json)


@group.command(epilog="Example: migrator cluster status --json")
def status(plan: PlanOption = None, as_json: JsonOption = False) -> None:
    """Show what exists, and where it differs from the plan. Exits 5 when it is not ready, 3 when it differs."""
    from migrator.cli.context import find_plan

    state = _provisioner(find_plan(plan)).state()
    _show(state, as_json)
    if not state.ready:
        raise typer.Exit(ExitCode.TRY_AGAIN)
    if state.differences:
        raise typer.Exit(ExitCode.NO_GO)


@group.command(epilog="Example: migrator cluster delete --snapshot orders-last --dry-run")
def delete(
    snapshot: Annotated[str | None, typer.Option("--snapshot", help="Name of the final snapshot.")] = None,
    no_snapshot: Annotated[bool, typer.Option("--no-snapshot", help="Keep nothing.")] = False,
    plan: PlanOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete shard group and cluster. Refuses while reads of the plan's tenants come from there."""
    from migrator.cli.context import find_plan
    from migrator.model.action import Action

    if bool(snapshot) == no_snapshot:
        raise UsageError("what is kept was not given", hint="Give exactly one of --snapshot NAME and --no-snapshot.")
    found = find_plan(plan)
    _refuse_unless_ours(found, "cluster delete")
    provisioner = _provisioner(found)
    state = provisioner.state()
    kept = f"a last snapshot {snapshot} is kept" if snapshot else "nothing is kept"
    if dry_run:
        undo = f"restore {snapshot}" if snapshot else None
        todo = [] if state.absent else [Action("cluster/delete", f"Delete {_name(found)}; {kept}", undo)]
        announce(todo, as_json=as_json)
        return
    if not state.absent:
        _refuse_while_needed(found)
        confirm(f"Delete {_name(found)}; {kept}?", yes=yes)
        with progress("Deleting the cluster", silent=as_json):
            state = provisioner.remove(final_snapshot=snapshot, on_step=lambda action: note(f"  {action.summary}"))
    _show(state, as_json)


def _refuse_unless_ours(plan: Plan, what: str) -> None:
    """Raise NoGo when the plan says that Terraform makes the cluster: two owners undo each other's changes."""
    from migrator.errors import NoGo

    if plan.aws.managed_by == "terraform" and plan.limitless.dsn != "local:limitless":
        raise NoGo(
            what,
            ["aws.managed_by is terraform: Terraform makes, changes and deletes this cluster"],
            "migrator plan terraform writes its variables; then terraform plan and terraform apply.",
        )


def _refuse_while_needed(plan: Plan) -> None:
    """Raise NoGo while reads or writes go to Limitless; an unreachable classic proves nothing either."""
    from migrator import settings
    from migrator.cli.context import APP
    from migrator.control.status import collect
    from migrator.db.connect import connect
    from migrator.errors import NoGo

    with connect(settings.resolve(plan.classic.writer), APP, statement_timeout_s=10, side="classic") as conn:
        status = collect(conn)
    moved = dict(status.by_level).get("limitless", 0) + dict(status.by_level).get("joining", 0)
    if status.write_mode == "limitless_only":
        raise NoGo("cluster delete", ["writes go to Limitless only: it is the one and only copy"])
    if moved:
        raise NoGo(
            "cluster delete",
            [f"{counted(moved, 'tenant reads', 'tenants read')} from it: migrator rollback --all --reason …"],
        )


def _provisioner(plan: Plan, with_more: Callable[[Wanted], Wanted] | None = None) -> ClusterProvisioner:
    """Return the provisioner of the place the plan names."""
    from migrator import settings
    from migrator.provision.cluster import LocalProvisioner

    if plan.limitless.dsn == "local:limitless":
        return LocalProvisioner(settings.home(), plan.limitless.shards)
    from migrator.provision.aws import AwsProvisioner, rds_client
    from migrator.provision.wanted import wanted_of

    wanted = wanted_of(plan)
    if with_more is not None:
        wanted = with_more(wanted)
    return AwsProvisioner(wanted, rds_client(plan.aws.region))


def _name(plan: Plan) -> str:
    return plan.limitless.cluster_id or "the local servers"


def _show(state: ClusterState, as_json: bool) -> None:
    if as_json:
        emit_json({"ready": state.ready, "state": state})
        return
    out(f"cluster: {state.cluster}, shard group: {state.shard_group}")
    if state.max_acu is not None:
        out(
            f"capacity: {state.min_acu:g} to {state.max_acu:g} ACU, "
            f"{counted(state.compute_redundancy or 0, 'standby')} per shard"
        )
    if state.endpoint:
        out(f"endpoint: {state.endpoint}")
    for difference in state.differences:
        how = "migrator cluster create changes it" if difference.changes else "only the plan can be changed"
        out(f"differs: {difference.what}, {difference} ({how})")
    if state.untold:
        out(f"not told by AWS, so not known to be as planned: {', '.join(state.untold)}")
