"""Commands of phase 1: audits a live cluster or files, and writes plans from an audit."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from migrator.cli.exits import ExitCode
from migrator.cli.options import JsonOption, NewFileArgument, PlanNameOption, PlanOption
from migrator.cli.progress import progress
from migrator.cli.render import emit_json, note, out, raw
from migrator.errors import UsageError
from migrator.model.counted import counted

if TYPE_CHECKING:
    from migrator.audit.report.values import AuditReport
    from migrator.audit.target import Outlook
    from migrator.model.blocker import Blocker
    from migrator.plan.schema import Plan
    from migrator.report.answers import Prices

SchemaOption = Annotated[
    list[Path] | None, typer.Option("--schema", help="Schema dump, migrations, or their folder, instead of a cluster.")
]
StatementsOption = Annotated[
    list[Path] | None, typer.Option("--statements", help="File or folder with statements; may be repeated.")
]
GatheredOption = Annotated[
    Path | None, typer.Option("--gathered", help="Output of the gather script, instead of a cluster.")
]
KeyAliasOption = Annotated[
    list[str] | None,
    typer.Option("--key-alias", help="TABLE=COLUMN where the key has another name; may be repeated."),
]
TENANT_KEY = typer.Option("--tenant-key", help="Name of the tenant column.")


@dataclass(frozen=True, slots=True)
class Given:
    """The audit's inputs and target, as given on the command line."""

    plan: Path | None
    schema: Sequence[Path]
    statements: Sequence[Path]
    logs: Sequence[Path]
    gathered: Path | None
    tenant_key: str | None
    key_alias: Sequence[str]
    engine_version: str | None
    shards: int | None
    sample_above_rows: int
    processes: int
    outlook: Outlook

    def beside(self, plan: Plan) -> list[str]:
        """Return the options by which a live audit covers more than *plan* and the cluster alone."""
        from migrator.audit.sizing.count import SAMPLE_ABOVE_ROWS

        options = {
            "--statements": self.statements, "--log": self.logs, "--uses": self.outlook.uses,
            "--sample-above-rows": self.sample_above_rows < SAMPLE_ABOVE_ROWS,
            "--engine-version": self.engine_version and self.engine_version != plan.limitless.engine_version,
        }  # fmt: skip
        return [name for name, chosen in options.items() if chosen]


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: migrator audit --schema schema.sql --statements q.sql --tenant-key tenant_id --html audit.html"
    )(audit)


def register_plan_init(plan_app: typer.Typer) -> None:
    """Add `plan init`, which writes a plan for an audited database."""
    plan_app.command(
        "init", epilog="Example: migrator plan init my-plan.toml --classic env:CLASSIC --tenant-key tenant_id"
    )(init)


def audit(
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT.JSON]", help="With --json: the file to write.", show_default=False)
    ] = None,
    plan: PlanOption = None,
    schema: SchemaOption = None,
    statements: StatementsOption = None,
    log: Annotated[
        list[Path] | None, typer.Option("--log", help="PostgreSQL log: csvlog, jsonlog or stderr; may be repeated.")
    ] = None,
    gathered: GatheredOption = None,
    tenant_key: Annotated[str | None, TENANT_KEY] = None,
    key_alias: KeyAliasOption = None,
    engine_version: Annotated[
        str | None,
        typer.Option("--engine-version", help="Target engine. Without it: the plan's, else 16.13-limitless."),
    ] = None,
    shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="Shards of the target, for the extra cost.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained HTML report.")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="Write SARIF 2.1.0, for code hosts.")] = None,
    fail_on: Annotated[
        Literal["blocker", "rewrite", "warning", "info"] | None,
        typer.Option("--fail-on", help="Exit 3 when an unacknowledged finding is this bad or worse."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Acknowledged findings, by id, with name and reason (TOML or JSON)."),
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option("--previous", help="Earlier JSON report to compare with. Without it: the file overwritten."),
    ] = None,
    growth_pct: Annotated[
        float, typer.Option("--growth-pct", help="Growth a month, in percent; of what is given here.")
    ] = 15.0,
    weeks: Annotated[float, typer.Option("--weeks", min=1, help="Weeks until decommission.")] = 24.0,
    writer_cpu_pct: Annotated[
        float | None,
        typer.Option(
            "--writer-cpu-pct", min=0, max=100, help="CPU of the classic writer at its peak. Without it: as measured."
        ),
    ] = None,
    writer_vcpus: Annotated[
        int | None, typer.Option("--writer-vcpus", min=1, help="vCPUs of the classic writer.")
    ] = None,
    sample_above_rows: Annotated[
        int, typer.Option("--sample-above-rows", min=1, help="Count tenants of larger tables in a sample of blocks.")
    ] = 200_000_000,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", min=1, help="Processes that judge statements. Without it: one a processor, at most 8."
        ),
    ] = None,
    uses: Annotated[
        list[str] | None,
        typer.Option(
            "--uses", help="A service you plan to use with Limitless (rds-proxy, data-api, ...); may be repeated."
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Ask Limitless for the plan of every statement; runs none of them."),
    ] = False,
    limitless: Annotated[
        str | None,
        typer.Option("--limitless", help="With --explain: where its DSN is found. Without it: the plan's."),
    ] = None,
    gather_script: Annotated[
        bool,
        typer.Option("--gather-script", help="Print a read-only psql script for sites without connectivity, and stop."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON instead of the summary; --json OUT.JSON writes a file.")
    ] = False,
) -> None:
    """Find every statement that would go to all shards, every object Limitless refuses, and the tenants' distribution.

    Live: reads classic through the plan. Offline: --schema with --statements, --log or --gathered. Changes nothing.
    """
    if gather_script:
        from migrator.audit.evidence.script import script

        raw(script(tenant_key or "tenant_id"))
        return
    from migrator.audit.report.baseline import acknowledge, compare, load_baseline, load_report
    from migrator.audit.sizing.runway import Writer
    from migrator.audit.sizing.tenants import Growth
    from migrator.audit.spread import available
    from migrator.audit.target import Outlook

    if target is not None and not as_json:
        raise UsageError(
            f"{target}: this file's use is not given", hint="Give --json OUT.JSON, --schema FILE or --statements FILE."
        )
    if limitless is not None and not explain:
        raise UsageError("--limitless says whom --explain asks", hint="Add --explain.")
    given = Given(
        plan=plan,
        schema=schema or [],
        statements=statements or [],
        logs=log or [],
        gathered=gathered,
        tenant_key=tenant_key,
        key_alias=key_alias or [],
        engine_version=engine_version,
        shards=shards,
        sample_above_rows=sample_above_rows,
        processes=processes or available(),
        outlook=Outlook(
            Growth(growth_pct / 100, weeks),
            Writer(None if writer_cpu_pct is None else writer_cpu_pct / 100, writer_vcpus),
            uses or (),
        ),
    )
    cluster = _asked_of(given, limitless) if explain else None
    acknowledged = load_baseline(baseline) if baseline else {}
    before = load_report(previous) if previous else load_report(target) if target and target.exists() else None
    with progress("Auditing", silent=as_json):
        if given.schema or given.gathered:
            report = _offline(given)
        else:
            report, stored = _live(given)
            before = before or stored
        if cluster is not None:
            report = _explained(report, *cluster)
    report = compare(acknowledge(report, acknowledged), before)
    _write(report, as_json and target is None, target, html, sarif, given)
    if fail_on:
        from migrator.audit.rules.rule import Severity

        failing = report.at_least(Severity(fail_on))
        if failing:
            note(f"{counted(len(failing), 'finding is', 'findings are')} {fail_on} or worse")
            raise typer.Exit(ExitCode.NO_GO)


def _offline(given: Given) -> AuditReport:
    from migrator.audit.files import audit_files
    from migrator.audit.target import Target

    plan = None
    if given.plan is not None:
        from migrator.plan.load import load

        plan = load(given.plan)
    elif given.tenant_key is None and given.gathered is None:
        raise UsageError("the tenant key is not known", hint="Give --tenant-key NAME, or --plan PLAN.toml.")
    return audit_files(
        schema=given.schema,
        statements=given.statements,
        logs=given.logs,
        gathered=given.gathered,
        tenant_key=given.tenant_key,
        aliases=_aliases(given.key_alias),
        plan=plan,
        target=Target.of(plan, given.engine_version, given.shards),
        outlook=given.outlook,
        progress=note,
        processes=given.processes,
    )


def _aliases(entries: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for entry in entries or ():
        table, _, column = entry.partition("=")
        if not table or not column:
            raise UsageError(f"--key-alias {entry!r}: write TABLE=COLUMN")
        found[table] = column
    return found


def _live(given: Given) -> tuple[AuditReport, dict[str, object] | None]:
    from contextlib import ExitStack
    from functools import partial

    from migrator import settings
    from migrator.audit.files import read_statements
    from migrator.audit.report.accepted import verdict_of
    from migrator.audit.run import audit_live
    from migrator.cli.context import APP, find_plan
    from migrator.control.history import keep_audit, last_audit
    from migrator.db.connect import connect
    from migrator.plan.load import digest

    plan = find_plan(given.plan)
    plan_digest, others = digest(plan), given.beside(plan)
    if given.engine_version:
        aim = plan.limitless.model_copy(update={"engine_version": given.engine_version})
        plan = plan.model_copy(update={"limitless": aim})
    extra = read_statements(given.statements, given.logs)
    with ExitStack() as stack:
        conn = stack.enter_context(connect(settings.resolve(plan.classic.writer), APP, side="classic"))
        reader = None
        if plan.classic.readers:
            reader = stack.enter_context(
                connect(settings.resolve(plan.classic.readers[0]), APP, side="classic's reader")
            )
        before = last_audit(conn)
        report = audit_live(
            conn,
            plan,
            reader,
            outlook=given.outlook,
            sample_above_rows=given.sample_above_rows,
            extra=extra,
            progress=note,
            processes=given.processes,
        )
        kept = keep_audit(conn, report.to_json(), partial(verdict_of, report), digest=plan_digest, inputs=others)
    if kept is not None and kept.blockers is None:
        note(f"This audit does not count for the running migration: {kept.why}. Its gate is unchanged.")
    return report, before


def _asked_of(given: Given, limitless: str | None) -> tuple[str, Sequence[str]]:
    """Return the connection string of the cluster that --explain asks, and what the plan acknowledges."""
    from migrator import settings
    from migrator.cli.context import find_plan

    if limitless is not None and given.plan is None and (given.schema or given.gathered):
        return settings.resolve(limitless), ()
    plan = find_plan(given.plan)
    return settings.resolve(limitless or plan.limitless.dsn), plan.gates.acknowledged


def _explained(report: AuditReport, dsn: str, acknowledged: Sequence[str]) -> AuditReport:
    """Hold the verdicts against the plans of the cluster."""
    from migrator.audit.explain import ask
    from migrator.audit.explain.prepared import prepared
    from migrator.audit.report.baseline import accept
    from migrator.cli.context import APP
    from migrator.db.connect import connect, masked

    with connect(
        dsn, APP, statement_timeout_s=ask.STATEMENT_TIMEOUT_S, lock_timeout_s=ask.LOCK_TIMEOUT_S, side="Limitless"
    ) as conn:
        report = ask.explain(report, conn, masked(dsn), note)
        return accept(prepared(report, conn, "limitless"), acknowledged)


def _prices(given: Given) -> Prices:
    """Return what the plan says that capacity costs."""
    from migrator.cli.context import find_plan
    from migrator.report.answers import Prices

    if given.plan is None and (given.schema or given.gathered):
        return Prices()
    cost = find_plan(given.plan).cost
    return Prices(cost.acu_hour_usd, cost.classic_monthly_usd)


def _write(
    report: AuditReport, print_json: bool, target: Path | None, html: Path | None, sarif: Path | None, given: Given
) -> None:
    import json

    data = report.to_json()
    if target is not None:
        target.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        note(f"{target} written")
    if html is not None:
        from migrator.report.audit import page

        html.write_text(page(data, _prices(given)), encoding="utf-8")
        note(f"{html} written")
    if sarif is not None:
        from migrator.audit.report.sarif import sarif as to_sarif

        sarif.write_text(json.dumps(to_sarif(data), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        note(f"{sarif} written")
    if print_json:
        emit_json(data)
    else:
        from migrator.audit.report.terminal import summary_lines

        out(*summary_lines(report))


def init(
    path: NewFileArgument,
    name: PlanNameOption = "my-migration",
    classic: Annotated[
        str | None, typer.Option("--classic", help="Where classic's DSN is found (env:NAME, file:PATH, ...).")
    ] = None,
    limitless: Annotated[
        str, typer.Option("--limitless", help="Where the DSN of limitless is found.")
    ] = "env:LIMITLESS_DSN",
    schema: SchemaOption = None,
    statements: StatementsOption = None,
    gathered: GatheredOption = None,
    schemas: Annotated[list[str] | None, typer.Option("--in", help="Schema to migrate; may be repeated.")] = None,
    tenant_key: Annotated[
        str | None,
        typer.Option("--tenant-key", help="Name of the tenant column. Without it the likeliest candidate is taken."),
    ] = None,
    key_alias: KeyAliasOption = None,
    as_json: JsonOption = False,
) -> None:
    """Audit a database and write a complete, commented plan for it.

    What only a person can decide is marked DECIDE, and the plan is refused until it is decided.
    """
    from functools import partial

    from migrator.audit.plan_init import plan_text, survey, survey_files
    from migrator.model.blocker import UNIQUE_ACROSS
    from migrator.plan.load import DECIDE, accepted, from_body

    if path.exists():
        raise UsageError(f"{path} exists already; nothing was written")
    aliases = _aliases(key_alias)
    write = partial(plan_text, name=name, classic=classic or "env:CLASSIC_DSN", limitless=limitless)
    foreseen: tuple[Blocker, ...] = ()
    if schema or gathered:
        report = survey_files(
            schema=schema or (),
            statements=statements or (),
            gathered=gathered,
            tenant_key=tenant_key,
            aliases=aliases,
            progress=note,
        )
    elif classic is None:
        raise UsageError("nothing to audit", hint="Give --classic env:NAME, --schema FILE or --gathered FILE.")
    else:
        from migrator import settings
        from migrator.cli.context import APP
        from migrator.db.connect import connect
        from migrator.provision.foresee import foresee

        with connect(settings.resolve(classic), APP, side="classic") as conn:
            report = survey(conn, schemas=schemas, tenant_key=tenant_key, aliases=aliases, progress=note)
            foreseen = foresee(conn, from_body(accepted(tomllib.loads(write(report))), str(path)))
    text = write(report, foreseen=foreseen)
    from_body(accepted(tomllib.loads(text)), str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; nothing was written") from None
    undecided = text.count(f'"{DECIDE}')
    fix = [b.text for b in foreseen if b.code != UNIQUE_ACROSS]
    if as_json:
        tables = [t.to_json() for t in report.tables]
        keys = report.evidence["tenant_keys"]
        emit_json(
            {
                "path": str(path),
                "tenant_key": report.tenant_key,
                "tenant_keys": keys,
                "decide": undecided,
                "fix": fix,
                "tables": tables,
            }
        )
        return
    out(
        f"{path} written: {counted(len(report.tables), 'table')} by "
        f"{report.tenant_key}, {counted(undecided, 'value')} to decide (DECIDE)."
    )
    for problem in fix:
        out(f"To fix first: {problem}")
    out(f"Next: read it, then: migrator plan check {path} --connect")
