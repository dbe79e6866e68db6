"""Reads the objects of a schema dump beside tables: views, functions, triggers, types, extensions and others."""

from __future__ import annotations

from typing import Any

from migrator.audit.catalog import Attribute, Function, Policy, Relation, RelationKind, Thing, Trigger
from migrator.audit.evidence.dump_reader import Reader, dotted, option, type_text
from migrator.grammar.parse import constant
from migrator.grammar.tree import Tree

KINDS = {
    "CreateExtensionStmt": "extension",
    "CreateEventTrigStmt": "event trigger",
    "CreatePublicationStmt": "publication",
    "CreateSubscriptionStmt": "subscription",
    "CreateForeignServerStmt": "foreign server",
    "CreatePLangStmt": "language",
    "CreateTransformStmt": "transform",
}


NAMES = ("extname", "trigname", "pubname", "subname", "servername", "plname", "lang")
"""Where the name of one of KINDS stands."""


def apply(reader: Reader, node: Tree, text: str) -> bool:
    """Apply one statement that is no table, index or sequence; return False for what does not concern Limitless."""
    things, source = reader.catalog.things, reader.source
    if node.tag == "ViewStmt":
        _view(reader, node, RelationKind.VIEW, text)
    elif node.tag == "CreateTableAsStmt" and node.objtype == "OBJECT_MATVIEW":
        schema, name = reader.name_of(node.into.rel)
        relation = Relation(schema, name, RelationKind.MATVIEW, view_sql=_query(reader), source=source)
        reader.catalog.relations[relation.qualified] = relation
    elif node.tag == "CreateFunctionStmt":
        _function(reader, node, text)
    elif node.tag == "CreateTrigStmt":
        known = reader.known(node.relation)
        if known is None:
            reader.outside(".".join(reader.name_of(node.relation)), f"trigger {node.trigname} on a table")
        elif not node.isconstraint:
            function = ".".join(n.sval for n in node.funcname)
            known.triggers.append(Trigger(node.trigname, " ".join(text.split()), function, source))
    elif node.tag == "RuleStmt":
        known = reader.known(node.relation)
        if known is None:
            reader.outside(".".join(reader.name_of(node.relation)), f"rule {node.rulename} on a table")
        elif node.rulename != "_RETURN":
            known.rules.append(Trigger(node.rulename, " ".join(text.split()), "", source))
    elif node.tag == "CreatePolicyStmt":
        _policy(reader, node)
    elif node.tag in ("CreateEnumStmt", "CreateRangeStmt"):
        names = node.typeName
        reader.catalog.types[".".join(dotted(names, reader.default))] = "e" if node.tag == "CreateEnumStmt" else "r"
    elif node.tag == "CreateDomainStmt":
        reader.catalog.types[".".join(dotted(node.domainname, reader.default))] = "d"
    elif node.tag == "CompositeTypeStmt":
        schema, name = reader.name_of(node.typevar)
        reader.catalog.types[f"{schema}.{name}"] = "c"
    elif node.tag == "DefineStmt":
        _define(reader, node)
    elif node.tag == "CreateStatsStmt":
        name = ".".join(n.sval for n in node.defnames or ())
        table = node.relations[0]
        of = ".".join(filter(None, (table.schemaname, table.relname)))
        things.append(Thing("extended statistics", name, of, source))
    elif node.tag == "AlterDefaultPrivilegesStmt":
        things.append(Thing("default privileges", f"line {source.line}", " ".join(text.split())[:200], source))
    elif node.tag == "AlterDatabaseSetStmt":
        setting = node.setstmt
        values = ", ".join(constant(a.body) or "" for a in setting.args or ())
        things.append(Thing("database setting", f"{setting.name}={values}", "", source))
    elif node.tag == "CommentStmt":
        _count(reader, "comments")
    elif node.tag == "GrantStmt":
        _grant(reader, node)
    elif node.tag in KINDS:
        name = next(str(node.body[f]) for f in NAMES if f in node.body)
        things.append(Thing(KINDS[node.tag], name, "", source))
    else:
        return False
    return True


def _query(reader: Reader) -> str:
    """Return the query of CREATE MATERIALIZED VIEW … AS query [WITH [NO] DATA]."""
    written = reader.written
    begin = written.after(0, "AS") + 1
    *_, first, second, last = (t.word for t in written.tokens if t.word != ";")
    end = len(written.data)
    if last == "DATA" and "WITH" in (first if second == "NO" else "", second):
        end = written.tokens[written.before(end, "WITH")].begin
    return written.text(written.tokens[begin].begin, end)


def _word(node: Tree | None) -> str:
    return str(node.sval or "") if node is not None else ""


def _view(reader: Reader, node: Any, kind: RelationKind, text: str) -> None:
    schema, name = reader.name_of(node.view)
    relation = Relation(schema, name, kind, view_sql=text, source=reader.source)
    relation.options = tuple(option(o) for o in node.options or ())
    for alias in node.aliases or ():
        relation.columns[alias.sval] = Attribute(alias.sval, "")
    reader.catalog.relations[relation.qualified] = relation


def _function(reader: Reader, node: Any, text: str) -> None:
    names = [n.sval for n in node.funcname]
    schema = names[-2] if len(names) > 1 else reader.default
    options = {o.defname: o.arg for o in node.options or ()}
    arguments, types = [], []
    for parameter in node.parameters or ():
        mode = parameter.mode
        if ("OUT" in mode and "INOUT" not in mode) or "TABLE" in mode:
            continue
        arguments.append(parameter.name or "")
        types.append(type_text(parameter.argType))
    body = options.get("as")
    if node.replace:
        reader.catalog.functions = [
            f
            for f in reader.catalog.functions
            if (f.schema, f.name, f.argument_types) != (schema, names[-1], tuple(types))
        ]
    volatility = {"immutable": "i", "stable": "s"}.get(_word(options.get("volatility")), "v")
    reader.catalog.functions.append(
        Function(
            schema=schema,
            name=names[-1],
            argument_names=tuple(arguments),
            argument_types=tuple(types),
            language=(_word(options.get("language")) or "sql").lower(),
            body=body[0].sval if body else "",
            definition=text,
            volatility=volatility,
            security_definer="security" in options and bool(options["security"].boolval),
            returns=type_text(node.returnType) if node.returnType is not None else "",
            kind="p" if node.is_procedure else "f",
            source=reader.source,
        )
    )


def _policy(reader: Reader, node: Any) -> None:
    relation = reader.known(node.table)
    if relation is None:
        reader.outside(".".join(reader.name_of(node.table)), f"policy {node.policy_name} on a table")
        return
    command = {"all": "*", "select": "r", "insert": "a", "update": "w", "delete": "d"}.get(node.cmd_name or "all", "*")
    roles = node.roles or ()
    everybody = not roles or any(r.roletype == "ROLESPEC_PUBLIC" for r in roles)
    using = reader.written.in_brackets(node.qual.node, "USING") if node.qual is not None else None
    check = reader.written.in_brackets(node.with_check.node, "CHECK") if node.with_check is not None else None
    permissive = bool(node.permissive)
    relation.policies.append(Policy(node.policy_name, permissive, command, everybody, using, check, reader.source))


def _define(reader: Reader, node: Any) -> None:
    names = ".".join(n.sval for n in node.defnames)
    if node.kind == "OBJECT_AGGREGATE":
        schema, _, name = names.rpartition(".")
        reader.catalog.functions.append(Function(schema or reader.default, name, kind="a", source=reader.source))
    elif node.kind == "OBJECT_TYPE":
        reader.catalog.types[".".join(dotted(node.defnames, reader.default))] = "b"
    elif node.kind == "OBJECT_TSCONFIGURATION":
        reader.catalog.things.append(Thing("text search configuration", names, "", reader.source))


def _count(reader: Reader, sort: str) -> None:
    for thing in reader.catalog.things:
        if thing.sort == sort:
            thing.name = str(int(thing.name) + 1)
            return
    reader.catalog.things.append(Thing(sort, "1", "", reader.source))


def _grant(reader: Reader, node: Any) -> None:
    if not node.is_grant or node.privileges or node.objtype != "OBJECT_TABLE":
        return
    if any(g.roletype == "ROLESPEC_PUBLIC" for g in node.grantees or ()):
        for item in node.objects or ():
            relation = reader.known(item) if item.relname else None
            if relation is not None:
                relation.public_all = True
