"""The command that writes the variables of infra/terraform from a plan, and says where both disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.cli.options import DryRunOption, JsonOption, PlanOption, UnaskedOption
from migrator.cli.render import emit_json, out, raw
from migrator.errors import NoGo, UsageError


def register(group: typer.Typer) -> None:
    group.command(epilog="Example: migrator plan terraform --file infra/terraform/terraform.tfvars.json --check")(
        terraform
    )


def terraform(
    plan: PlanOption = None,
    file: Annotated[Path, typer.Option("--file", help="File of Terraform's variables.")] = Path(
        "terraform.tfvars.json"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say where file and plan disagree, and exit 3 then.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: UnaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write Terraform's variables from the plan: what is made on AWS, and for which workers.

    They hold no secret. What the plan does not say (network, image, certificate) stands in a file of your own beside
    it; docs/infrastructure.md.
    """
    from migrator.cli.context import find_plan
    from migrator.provision.terraform import disagreements, text_of, variables

    found = find_plan(plan)
    text = text_of(variables(found))
    before = _read(file)
    if check:
        if before is None:
            raise UsageError(f"{file}: no such file", hint=f"Write it with: migrator plan terraform --file {file}")
        different = disagreements(before, found, str(file))
        if different:
            hint = f"migrator plan terraform --file {file} writes it from the plan."
            raise NoGo(f"{file}", [str(one) for one in different], hint)
        emit_json({"file": str(file), "agrees": True}) if as_json else out(f"{file} says what the plan says.")
        return
    if dry_run:
        emit_json({"file": str(file), "would_write": before != text}) if as_json else raw(text.rstrip("\n"))
        return
    if before != text:
        _write(file, text)
    if as_json:
        emit_json({"file": str(file), "written": before != text})
    else:
        out(f"{file} {'written' if before != text else 'is as the plan says already'}. Next: terraform plan")


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({type(error).__name__})") from None


def _write(file: Path, text: str) -> None:
    """Write the file in one step: Terraform never reads half of it."""
    scratch = file.with_name(f".{file.name}.new")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror})") from None
