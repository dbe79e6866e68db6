"""`manage.py migrator_check`: what of this project would not work through the shim, or on Limitless.

Exit codes are those of `migrator` itself: 0 nothing that stops it, 2 it cannot be asked so, 3 errors were found.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import connections, router

from migrator.django.checks import project
from migrator.django.findings import Finding, Severity, without
from migrator.django.model_facts import models_of
from migrator.django.model_findings import model_findings
from migrator.django.options import ENGINE, options_of
from migrator.django.settings_findings import settings_findings

WIDTH = 80


class Command(BaseCommand):
    """Asks no server."""

    help = (
        "Say what of this project's settings, models and middleware would not work through the shim, or on Limitless. "
        "Asks no server. Exit codes: 0 no errors, 2 wrong options, 3 errors were found."
    )
    requires_system_checks: Sequence[str] = ()  # its own findings are those checks

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--database", default="default", help='alias that writes; "default" when not given')
        parser.add_argument("--tenant-column", help="whose a row is; MIGRATOR['tenant_column'] otherwise")
        parser.add_argument(
            "--reference", action="append", metavar="APP[.MODEL]",
            help="its tables belong to no tenant; may be given again, in addition to MIGRATOR['reference']",
        )  # fmt: skip
        parser.add_argument(
            "--accept", action="append", metavar="ID[:SUBJECT]", default=[],
            help="known and left so, for example M008:shop.Product; in addition to MIGRATOR['accepted']",
        )  # fmt: skip
        parser.add_argument("--strict", action="store_true", help="exit with 3 for warnings as well")
        parser.add_argument("--json", action="store_true", help="JSON on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        of_models, accepted = _of_models(options)
        found = without([*settings_findings(project()), *of_models], [*accepted, *options["accept"]])
        counts = {severity: sum(f.severity is severity for f in found) for severity in Severity}
        if options["json"]:
            answer = {"findings": [f.to_json() for f in found], **{f"{s}s": n for s, n in counts.items()}}
            self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
        else:
            for finding in sorted(found, key=lambda f: list(Severity).index(f.severity)):
                self.stdout.write(_shown(finding, wrapped=self.stdout.isatty()))
            told = ", ".join(f"{n} {s}{'s' if n != 1 and s is not Severity.INFO else ''}" for s, n in counts.items())
            self.stdout.write(f"{told}." if found else "Nothing found.")
        if counts[Severity.ERROR] or (options["strict"] and counts[Severity.WARNING]):
            sys.exit(3)


def _of_models(options: dict[str, Any]) -> tuple[list[Finding], Sequence[str]]:
    """Return what is found of models, and what the settings accept."""
    alias = options["database"]
    if alias not in connections.databases:
        known = ", ".join(sorted(connections.databases))
        raise CommandError(f"there is no database {alias!r}; there are {known}", returncode=2)
    database = connections.databases[alias]
    said = options_of(database)[0]
    column = options["tenant_column"] or said.tenant_column
    if not column:
        raise CommandError(
            "it is not known which column has the tenant\n"
            "Say --tenant-column, or \"tenant_column\" in DATABASES[...]['MIGRATOR'].",
            returncode=2,
        )
    if database.get("ENGINE") != ENGINE:
        raise CommandError(
            f"the database {alias!r} has the backend {database.get('ENGINE')}\nIts ENGINE should be {ENGINE}.",
            returncode=2,
        )
    models = models_of(apps, connections[alias], lambda model: router.allow_migrate_model(alias, model))
    return model_findings(models, column, {*said.reference, *(options["reference"] or ())}), said.accepted


def _shown(finding: Finding, *, wrapped: bool) -> str:
    """Return the text: lines of a terminal, or two in a file."""
    if not wrapped:
        return "\n".join(filter(None, (str(finding), finding.hint and f"    {finding.hint}")))
    whole = textwrap.TextWrapper(WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    lines = whole.wrap(str(finding))
    whole.initial_indent = "    "
    return "\n".join((*lines, *whole.wrap(finding.hint)))
