"""Audits files: schema dumps, statement files, logs and gathered evidence. Needs no server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from migrator.audit.catalog import Catalog, Source
from migrator.audit.evidence.dump import read_dump
from migrator.audit.evidence.dump_outside import settle
from migrator.audit.evidence.enough import Input
from migrator.audit.evidence.live import Progress
from migrator.audit.evidence.logs import read_log
from migrator.audit.evidence.rows import Evidence, RawStatement, absorb
from migrator.audit.evidence.statistics_file import read_statistics_file
from migrator.audit.report.baseline import accept
from migrator.audit.report.values import AuditReport
from migrator.audit.run import conclude
from migrator.audit.shardkey.shape import Shapes, shapes_of_key, shapes_of_plan
from migrator.audit.sizing.tenants import TableCounts
from migrator.audit.target import Outlook, Target
from migrator.errors import UsageError
from migrator.plan.schema import Plan
from migrator.scripts.directions import forward
from migrator.scripts.folder import CODE, expand
from migrator.scripts.input_file import read_text
from migrator.scripts.statement_file import includes, split

Paths = Sequence[Path]


def audit_files(
    *,
    schema: Paths = (),
    statements: Paths = (),
    logs: Paths = (),
    gathered: Path | None = None,
    tenant_key: str | None = None,
    aliases: Mapping[str, str] | None = None,
    plan: Plan | None = None,
    shapes: Callable[[Catalog, str | None], Shapes] | None = None,
    target: Target | None = None,
    outlook: Outlook | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> AuditReport:
    """Audit files alone.

    Args:
        schema: plain-text schema dumps, migrations, or folders of them, read in order.
        statements: files with statements, `-- name: X` names the next one.
        gathered: output of the gather script; replaces *schema*.
        aliases: table → column where the tenant key has another name.
        plan: decides the kinds of the tables; without it *tenant_key* and *aliases* do.
        shapes: chooses them instead, from what was read and the key of the gathered rows.
        target: without it the plan's.
        processes: that judge statements, where these are many.

    Raises:
        UsageError: a file cannot be opened, or nothing says what the tenant key is.
    """
    evidence = read_statements(statements, logs)
    gathered_key = None
    for path in schema:
        if progress:
            progress(f"reading {path}")
        read_schema(path, evidence)
    evidence.outside += settle(evidence.catalog) if schema else ()
    if gathered is not None:
        gathered_key = read_gathered(gathered, evidence)
    key = tenant_key or gathered_key
    if shapes is not None:
        chosen = shapes(evidence.catalog, key)
    elif plan is not None:
        chosen = shapes_of_plan(evidence.catalog, plan.tables)
    elif key is None:
        raise UsageError("the tenant key is not known", hint="Give --tenant-key NAME, or --plan PLAN.toml.")
    else:
        chosen = shapes_of_key(evidence.catalog, key, aliases or {})
    report = conclude(
        evidence,
        chosen,
        counted_rows(evidence, chosen),
        mode="gathered" if gathered else "files",
        target=target or Target.of(plan),
        outlook=outlook,
        progress=progress,
        processes=processes,
    )
    return accept(report, plan.gates.acknowledged) if plan is not None else report


def read_schema(path: Path, evidence: Evidence) -> None:
    """Add a schema file, or a folder of migrations in their order, to *evidence*; ways back are left out."""
    reading = expand(path)
    found = evidence.inputs[str(path)] = Input("statements")
    back, lines = list(reading.back), 0
    for file in reading.files:
        text, problems = _text(file, evidence, found)
        way = forward(text)
        lines += way.lines
        if way.lines:
            first = next(m for m in way.markers if m.down)
            evidence.notes.append(
                f"{file}: {way.lines:,} lines that lead back were left out, from line {first.line} on ({first.text})"
            )
        if way.guessed:
            first = next(m for m in way.markers if m.down)
            evidence.doubts.append(
                (
                    str(file),
                    f"{file}: line {first.line} ({first.text}) seems to begin the way back, so {way.lines:,} lines "
                    "were left out: give a file that holds the way forward alone, or acknowledge this finding",
                )
            )
        evidence.problems += [f"{file}:{line}: {name} is not included: give it too" for line, name in includes(text)]
        if problems and not text and path.is_dir():
            evidence.doubts.append((str(file), problems[0]))
        read_dump(way.text, str(file), evidence, found)
    if path.is_dir() or back:
        shown = ", ".join(str(p.relative_to(path) if path.is_dir() else p) for p in back[:3])
        shown += " and more" if len(back) > 3 else ""
        evidence.notes.append(
            f"{path}: {len(reading.files):,} files were read in their order"
            + (f", {len(back):,} that lead back were left out ({shown})" if back else "")
        )
        found.others.update(files=len(reading.files), files_that_lead_back=len(back))
    if back and not reading.files:
        found.why = f"{path} leads back by its name, so nothing of it was read: give the way forward"
    code = {suffix: count for suffix, count in reading.others.items() if suffix.lower() in CODE}
    if code:
        sorts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(code.items()))
        evidence.problems.append(f"{path}: migrations in code were not read: {sorts}; give a schema dump instead")
    if lines:
        found.others["lines_that_lead_back"] = lines


def _text(path: Path, evidence: Evidence, found: Input) -> tuple[str, list[str]]:
    """Return the text of a file; what is wrong with it goes to *evidence*, and to *found* when it was not read."""
    text, problems = read_text(path)
    evidence.problems += problems
    if not text and problems:
        evidence.rejected += 1
        found.why = problems[0]
    return text, problems


def read_statements(statements: Paths, logs: Paths) -> Evidence:
    """Read statement files, folders of them, and logs; each may be rows of pg_stat_statements.

    Identical texts of a log count together.
    """
    evidence = Evidence()
    statements = [file for path in statements for file in (expand(path).files if path.is_dir() else (path,))]
    given = {path: _read_statistics(path, evidence) for path in dict.fromkeys((*statements, *logs))}
    for path in [p for p in statements if not given[p]]:
        found = evidence.inputs[str(path)] = Input("statements")
        text, _ = _text(path, evidence, found)
        pieces = list(split(text))
        found.read = found.wanted = len(pieces)
        evidence.statements.extend(
            RawStatement(piece.sql, Source(str(path), piece.line), piece.name) for piece in pieces
        )
    for path in [p for p in logs if not given[p]]:
        statements_found, counted = read_log(path)
        evidence.statements += statements_found
        evidence.problems += counted.problems
        evidence.rejected += counted.rejected
        evidence.inputs[str(path)] = Input(
            "records",
            counted.records,
            counted.rejected,
            counted.statements,
            counted.refusal,
            left_out=counted.left_out,
            others={"statements": counted.statements, "distinct": len(statements_found), "others": counted.others},
        )
    return evidence


def _read_statistics(path: Path, evidence: Evidence) -> bool:
    """Read a file with the rows of pg_stat_statements; return whether it is one."""
    read = read_statistics_file(path)
    if read is None:
        return False
    evidence.statements += read.statements
    evidence.problems += read.problems
    evidence.rejected += len(read.problems)
    evidence.hidden_statements += read.hidden
    evidence.inputs[str(path)] = Input(
        "rows", read.rows, len(read.problems), len(read.statements), others={"distinct": len(read.statements)}
    )
    return True


def read_gathered(path: Path, evidence: Evidence) -> str | None:
    """Read the output of the gather script; return the tenant key it was made for."""
    found = evidence.inputs[str(path)] = Input("rows")
    text, _ = _text(path, evidence, found)
    key: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            found.read += 1
            try:
                row = json.loads(line)
            except ValueError:
                evidence.rejected += 1
                evidence.problems.append(f"{path}: row {number} cannot be read as JSON")
                continue
            if isinstance(row, dict) and row.get("kind") == "gather":
                key.append(str(row.get("tenant_key") or ""))
            elif isinstance(row, dict):
                yield row
            else:
                evidence.rejected += 1
                evidence.problems.append(f"{path}: row {number} cannot be read: it is not a JSON object")

    rejected = evidence.rejected
    absorb(rows(), evidence, str(path))
    found.rejected = evidence.rejected - rejected
    found.wanted = found.read
    if not evidence.catalog.relations:
        evidence.problems.append(f"{path} holds no table: was the script run to its end, in the right database?")
    return key[0] if key and key[0] else None


def counted_rows(evidence: Evidence, shapes: Shapes) -> list[TableCounts]:
    """Turn the gathered counts into distributions; derived tables are not gathered."""
    found: dict[str, TableCounts] = {}
    for row in evidence.tenant_rows:
        relation = evidence.catalog.relations.get(row["relation"])
        if relation is None or row.get("column") != shapes.of(relation).key:
            continue
        counted = found.setdefault(row["relation"], TableCounts(row["relation"], bytes=relation.bytes))
        counted.rows[row["tenant"]] = int(row["rows"])
        counted.recent[row["tenant"]] = int(row.get("recent") or 0)
    return list(found.values())
