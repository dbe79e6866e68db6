"""Analyses the bodies of SQL and PL/pgSQL functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from migrator.audit.catalog import Catalog, Function
from migrator.audit.evidence.rows import RawStatement
from migrator.audit.report.values import StatementReport
from migrator.audit.rules import statement as rules_statement
from migrator.audit.rules.findings import Collector
from migrator.audit.rules.rule import Severity
from migrator.audit.rules.rulebook import RULES
from migrator.audit.shardkey.parameters import Placed
from migrator.audit.shardkey.verdict import StatementVerdict, judge
from migrator.audit.shardkey.walk import Context, FunctionSummary
from migrator.audit.statements import Audit, Occurrence, report_statement
from migrator.grammar.parse import Parsed, Unparsable, parse, parse_plpgsql

DDL_TAGS = {"CreateStmt", "AlterTableStmt", "DropStmt", "IndexStmt", "CreateTableAsStmt", "TruncateStmt", "RenameStmt"}


@dataclass(slots=True)
class Body:
    """One function with its statements. `dynamic` counts EXECUTE; `problem` says why the body cannot be read."""

    function: Function
    statements: list[Parsed] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    dynamic: int = 0
    problem: str | None = None


@dataclass(slots=True)
class Bodies:
    bodies: list[Body] = field(default_factory=list)
    summaries: dict[str, FunctionSummary] = field(default_factory=dict)


def read(catalog: Catalog, context: Context, out: Collector) -> Bodies:
    """Parse every body and summarise what a call touches; report the functions themselves."""
    found = Bodies()
    for function in catalog.functions:
        if function.kind == "a":
            out.add("LIM-OBJ-07", f"aggregate {function.signature}", "user aggregate", source=function.source)
            continue
        if function.language not in ("sql", "plpgsql"):
            if function.language not in ("internal", "c"):
                out.add(
                    "LIM-FN-03",
                    function.signature,
                    f"written in {function.language}, which the audit cannot read",
                    source=function.source,
                )
            continue
        found.bodies.append(body_of(function))
    # Twice, so that a function that calls another one sees its summary.
    for _ in range(2):
        summaries: dict[str, FunctionSummary] = {}
        for body in found.bodies:
            summary = summarise(body, context)
            name = body.function.name
            if summary is not None:
                summaries[name] = either(summaries[name], summary) if name in summaries else summary
        context.summaries = found.summaries = summaries
    for body in found.bodies:
        _report(body, context, out)
    return found


def body_of(function: Function) -> Body:
    """Return the statements of a function's body."""
    body = Body(function)
    for position, name in enumerate(function.argument_names, 1):
        body.variables[f"${position}"] = f"${position}"
        if name:
            body.variables[name] = f"${position}"
            body.variables[f"{function.name}.{name}"] = f"${position}"
    if function.language == "sql":
        text = function.body
        if not text.strip() and "BEGIN ATOMIC" in function.definition:
            text = function.definition.partition("BEGIN ATOMIC")[2].rpartition("END")[0]
        elif not text.strip() and re.search(r"(?i)\breturn\b", function.definition):
            text = "SELECT " + re.split(r"(?i)\breturn\b", function.definition)[-1]
        try:
            body.statements = parse(text)
            body.lines = [1 + text[: p.offset].count("\n") for p in body.statements]
        except Unparsable as error:
            body.problem = error.why
        return body
    definition = function.definition or _definition(function)
    try:
        tree = parse_plpgsql(definition)
    except (Unparsable, ValueError) as error:
        body.problem = str(error)
        return body
    _plpgsql(tree, body)
    return body


def _definition(function: Function) -> str:
    arguments = ", ".join(f"{n} {t}" for n, t in zip(function.argument_names, function.argument_types, strict=False))
    kind = "PROCEDURE" if function.kind == "p" else "FUNCTION"
    returns = "" if function.kind == "p" else f" RETURNS {function.returns or 'void'}"
    return f"CREATE {kind} f({arguments}){returns} LANGUAGE plpgsql AS $migrator_body$ {function.body} $migrator_body$"


def _plpgsql(tree: Any, body: Body) -> None:
    """Collect variables and statements of a PL/pgSQL tree."""
    changed: set[str] = set()
    stack = [(tree, 0)]
    while stack:
        node, line = stack.pop()
        if isinstance(node, list):
            stack.extend((n, line) for n in reversed(node))
            continue
        if not isinstance(node, dict):
            continue
        for key, value in node.items():
            here = line
            if isinstance(value, dict):
                here = value.get("lineno", line)
                if key in ("PLpgSQL_var", "PLpgSQL_rec", "PLpgSQL_row"):
                    name = value.get("refname", "")
                    body.variables.setdefault(name, f"variable {name}")
                if key.startswith("PLpgSQL_stmt_dyn") or key == "PLpgSQL_stmt_dynexecute":
                    body.dynamic += 1
                if key == "PLpgSQL_expr" and "query" in value:
                    _expression(value, body, here)
                    if value.get("parseMode", 0) >= 3:
                        changed.add(re.split(r":?=", value["query"], maxsplit=1)[0].strip().lower())
                if key == "target":
                    changed.update(_targets(value))
                stack.append((value, here))
            elif isinstance(value, list):
                stack.append((value, here))
    for name in changed:  # a parameter that the body assigns no longer has the caller's value
        if body.variables.get(name, "").startswith("$"):
            body.variables[name] = f"variable {name}"


def _targets(node: Any) -> list[str]:
    """Return the names that a SELECT INTO or a loop assigns."""
    [(kind, value)] = node.items() if len(node) == 1 else [("", {})]
    if kind == "PLpgSQL_row":
        return [f.get("name", "") for f in value.get("fields", ())]
    return [value.get("refname", "")] if isinstance(value, dict) else []


def _expression(value: dict[str, Any], body: Body, line: int) -> None:
    query, mode = value["query"], value.get("parseMode", 0)
    text = query if mode == 0 else f"SELECT {query}" if mode == 2 else None
    if mode >= 3:  # an assignment: name := expression
        text = "SELECT " + re.split(r":?=", query, maxsplit=1)[-1]
    if text is None:
        return
    try:
        found = parse(text)
    except Unparsable as error:
        body.problem = body.problem or f"line {line}: {error.why}"
        return
    for parsed in found:
        # Expressions without a table are not worth a line in the report; calls in them are.
        if mode != 0 and "fromClause" not in str(parsed.body) and "FuncCall" not in str(parsed.body):
            continue
        body.statements.append(parsed)
        body.lines.append(line)


def summarise(body: Body, context: Context) -> FunctionSummary | None:
    """Return what a call of the function touches; None when it touches no table."""
    touches: dict[str, None] = {}
    bound: set[int] | None = set()
    why = ""
    if body.dynamic:
        bound, why = None, f"{body.function.name} runs dynamic SQL"
    if body.problem:
        bound, why = None, f"the body of {body.function.name} cannot be read"
    for statement in body.statements:
        judged = judge(context, statement.tag, statement.body, body.variables)
        for name in judged.relations:
            touches[name] = None
        if judged.verdict is StatementVerdict.CROSS_SHARD:
            bound, why = None, why or f"{body.function.name}: {judged.reasons[0]}"
        elif judged.keys and bound is not None:
            for key in judged.keys:
                if re.fullmatch(r"\$\d+", key):
                    bound.add(int(key[1:]) - 1)
                else:
                    bound, why = None, f"{body.function.name} takes its key from inside the function"
                    break
    if not touches and bound is not None:
        return None
    if not touches:
        return FunctionSummary((), None, why)
    return FunctionSummary(tuple(touches), frozenset(bound) if bound is not None else None, why)


def either(one: FunctionSummary, other: FunctionSummary) -> FunctionSummary:
    """Return what a call by a name with several functions may do: the union, bound only where both are alike."""
    touches = tuple(dict.fromkeys((*one.touches, *other.touches)))
    bound = one.bound_to if one.bound_to == other.bound_to else None
    return FunctionSummary(touches, bound, one.why or other.why or "several functions have that name")


def _report(body: Body, context: Context, out: Collector) -> None:
    function = body.function
    name = function.signature
    if function.returns in ("trigger", "event_trigger"):
        out.add(
            "LIM-FN-01",
            name,
            f"it returns {function.returns}",
            source=function.source,
            fix="goes with its trigger; this tool does not create it on Limitless",
        )
    if body.problem:
        out.add("AUD-EVD-02", f"function {name}", f"its body cannot be read: {body.problem}", source=function.source)
    if body.dynamic:
        out.add("LIM-FN-03", name, f"{body.dynamic} EXECUTE in its body", source=function.source)
    reads = {t for s in body.statements for t in judge(context, s.tag, s.body, body.variables).relations}
    if function.volatility == "i" and reads:
        out.add("LIM-FN-06", name, f"IMMUTABLE, and it reads {', '.join(sorted(reads))}", source=function.source)
    ddl = sorted({s.tag for s in body.statements if s.tag in DDL_TAGS})
    if ddl:
        out.add(
            "LIM-FN-08", name, f"{', '.join(t.removesuffix('Stmt') for t in ddl)} in its body", source=function.source
        )
    summary = context.summaries.get(function.name)
    sharded = [t for t in reads if context.shapes.by_table.get(t) and context.shapes.by_table[t].sharded]
    if sharded and function.returns not in ("trigger", "event_trigger"):
        if summary is not None and summary.bound_to is not None and len(summary.bound_to) == 1:
            [position] = summary.bound_to
            argument = function.argument_names[position] if position < len(function.argument_names) else ""
            shown = argument or f"argument {position + 1}"
            sql = None
            if argument and "'" not in name:
                sql = f"SELECT rds_aurora.limitless_distribute_function('{name}', ARRAY['{argument}'], '{sharded[0]}')"
            heat = f", {function.calls:,} calls" if function.calls else ""
            out.add(
                "LIM-FN-04",
                name,
                f"every sharded table in it is bound to {shown}{heat}",
                sql=sql,
                source=function.source,
            )
        else:
            out.add(
                "LIM-FN-05", name, summary.why if summary else "it is not bound to one tenant", source=function.source
            )


def audit_bodies(bodies: Bodies, audit: Audit) -> Iterator[StatementReport]:
    """Yield a report for every statement of every function body; refused ones become findings of the function."""
    context, out = audit.context, audit.out
    for body in bodies.bodies:
        function = body.function
        trigger = function.returns in ("trigger", "event_trigger")
        for number, (statement, line) in enumerate(zip(body.statements, body.lines, strict=True), 1):
            judged = judge(context, statement.tag, statement.body, body.variables)
            if (
                not judged.relations
                and judged.verdict is StatementVerdict.NO_TABLE
                and not rules_statement.check(statement, None, context)
            ):
                continue
            item = RawStatement(
                statement.text, function.source, calls=float(function.calls or 0), function=function.signature
            )
            label = f"{function.qualified}:{line}" + (f"#{number}" if body.lines.count(line) > 1 else "")
            found = Occurrence(label, statement.text.strip(), statement, item, Placed(statement.text))
            quiet = Collector(out.engine, context.shapes.tenant_key)
            report = report_statement(found, judged, replace(audit, out=quiet))
            if not trigger:
                _lift(quiet, function, line, out)
            if function.language == "plpgsql" and judged.verdict is StatementVerdict.SINGLE_SHARD and not trigger:
                out.add("LIM-QRY-04", function.signature, f"line {line} depends on variables", source=function.source)
            yield report


def _lift(quiet: Collector, function: Function, line: int, out: Collector) -> None:
    """Findings on a statement inside a body are the function's: refused ones under FN-02, the rest under their rule."""
    for finding in quiet.findings():
        where = f"line {line}: {finding.evidence}"
        if finding.rule.startswith(
            ("LIM-DML", "LIM-TBL-04", "LIM-SEQ-02", "LIM-OBJ", "LIM-TXN")
        ) and finding.severity in (
            Severity.BLOCKER,
            Severity.REWRITE,
        ):
            out.add(
                "LIM-FN-02",
                function.signature,
                f"{where} ({finding.rule})",
                fix=RULES[finding.rule].fix,
                severity=finding.severity,
                source=function.source,
            )
        out.add(
            finding.rule,
            f"{function.signature} line {line}",
            finding.evidence,
            sql=finding.sql,
            severity=finding.severity,
            source=function.source,
        )
