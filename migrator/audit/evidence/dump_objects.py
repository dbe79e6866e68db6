"""Which objects beside tables does a schema dump create? Views, functions, triggers, types, extensions and the rest."""

from __future__ import annotations

from typing import Any

from pglast import ast
from pglast.enums import ObjectType

from migrator.audit.catalog import Attribute, Function, Policy, Relation, RelationKind, Thing, Trigger
from migrator.audit.evidence.dump_reader import Reader, dotted, render, type_text

KINDS = {
    ast.CreateExtensionStmt: "extension",
    ast.CreateEventTrigStmt: "event trigger",
    ast.CreatePublicationStmt: "publication",
    ast.CreateSubscriptionStmt: "subscription",
    ast.CreateForeignServerStmt: "foreign server",
    ast.CreatePLangStmt: "language",
    ast.CreateTransformStmt: "transform",
}


def apply(reader: Reader, statement: Any, text: str) -> bool:
    """Apply one statement that is no table, index or sequence; return False for what does not concern Limitless."""
    things, source = reader.catalog.things, reader.source
    node: Any = statement  # the checker narrows `statement`, whose optional fields the grammar always fills here
    if isinstance(statement, ast.ViewStmt):
        _view(reader, node, RelationKind.VIEW, text)
    elif isinstance(statement, ast.CreateTableAsStmt) and node.objtype == ObjectType.OBJECT_MATVIEW:
        schema, name = reader.name_of(node.into.rel)
        relation = Relation(schema, name, RelationKind.MATVIEW, view_sql=render(node.query), source=source)
        reader.catalog.relations[relation.qualified] = relation
    elif isinstance(statement, ast.CreateFunctionStmt):
        _function(reader, node, text)
    elif isinstance(statement, ast.CreateTrigStmt):
        known = reader.known(node.relation)
        if known is None:
            reader.outside(".".join(reader.name_of(node.relation)), f"trigger {node.trigname} on a table")
        elif not node.isconstraint:
            function = ".".join(n.sval for n in node.funcname)
            known.triggers.append(Trigger(node.trigname, " ".join(text.split()), function, source))
    elif isinstance(statement, ast.RuleStmt):
        known = reader.known(node.relation)
        if known is None:
            reader.outside(".".join(reader.name_of(node.relation)), f"rule {node.rulename} on a table")
        elif node.rulename != "_RETURN":
            known.rules.append(Trigger(node.rulename, " ".join(text.split()), "", source))
    elif isinstance(statement, ast.CreatePolicyStmt):
        _policy(reader, node)
    elif isinstance(statement, (ast.CreateEnumStmt, ast.CreateRangeStmt)):
        names = node.typeName
        reader.catalog.types[".".join(dotted(names, reader.default))] = (
            "e" if isinstance(statement, ast.CreateEnumStmt) else "r"
        )
    elif isinstance(statement, ast.CreateDomainStmt):
        reader.catalog.types[".".join(dotted(node.domainname, reader.default))] = "d"
    elif isinstance(statement, ast.CompositeTypeStmt):
        schema, name = reader.name_of(node.typevar)
        reader.catalog.types[f"{schema}.{name}"] = "c"
    elif isinstance(statement, ast.DefineStmt):
        _define(reader, node)
    elif isinstance(statement, ast.CreateStatsStmt):
        things.append(
            Thing(
                "extended statistics", ".".join(n.sval for n in node.defnames or ()), render(node.relations[0]), source
            )
        )
    elif isinstance(statement, ast.AlterDefaultPrivilegesStmt):
        things.append(Thing("default privileges", f"line {source.line}", " ".join(text.split())[:200], source))
    elif isinstance(statement, ast.AlterDatabaseSetStmt):
        setting = node.setstmt
        things.append(
            Thing("database setting", f"{setting.name}={render(setting).partition('=')[2].strip()}", "", source)
        )
    elif isinstance(statement, ast.CommentStmt):
        _count(reader, "comments")
    elif isinstance(statement, ast.GrantStmt):
        _grant(reader, node)
    elif type(statement) in KINDS:
        name = next(
            str(v)
            for v in (
                getattr(node, f, None) for f in ("extname", "trigname", "pubname", "subname", "servername", "plname")
            )
            if v
        )
        things.append(Thing(KINDS[type(statement)], name, "", source))
    else:
        return False
    return True


def _view(reader: Reader, node: Any, kind: RelationKind, text: str) -> None:
    schema, name = reader.name_of(node.view)
    relation = Relation(schema, name, kind, view_sql=text, source=reader.source)
    relation.options = tuple(
        f"{o.defname}={render(o.arg) if o.arg is not None else 'true'}" for o in node.options or ()
    )
    for alias in node.aliases or ():
        relation.columns[alias.sval] = Attribute(alias.sval, "")
    reader.catalog.relations[relation.qualified] = relation


def _function(reader: Reader, node: Any, text: str) -> None:
    names = [n.sval for n in node.funcname]
    schema = names[-2] if len(names) > 1 else reader.default
    options = {o.defname: o.arg for o in node.options or ()}
    arguments, types = [], []
    for parameter in node.parameters or ():
        mode = getattr(parameter.mode, "name", str(parameter.mode))
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
    volatility = {"immutable": "i", "stable": "s"}.get(getattr(options.get("volatility"), "sval", ""), "v")
    reader.catalog.functions.append(
        Function(
            schema=schema,
            name=names[-1],
            argument_names=tuple(arguments),
            argument_types=tuple(types),
            language=getattr(options.get("language"), "sval", "sql").lower(),
            body=body[0].sval if body else "",
            definition=text,
            volatility=volatility,
            security_definer=bool(getattr(options.get("security"), "boolval", False)),
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
    everybody = not roles or any(getattr(r.roletype, "name", "") == "ROLESPEC_PUBLIC" for r in roles)
    using = render(node.qual) if node.qual is not None else None
    check = render(node.with_check) if node.with_check is not None else None
    permissive = bool(node.permissive)
    relation.policies.append(Policy(node.policy_name, permissive, command, everybody, using, check, reader.source))


def _define(reader: Reader, node: Any) -> None:
    names = ".".join(n.sval for n in node.defnames)
    if node.kind == ObjectType.OBJECT_AGGREGATE:
        schema, _, name = names.rpartition(".")
        reader.catalog.functions.append(Function(schema or reader.default, name, kind="a", source=reader.source))
    elif node.kind == ObjectType.OBJECT_TYPE:
        reader.catalog.types[".".join(dotted(node.defnames, reader.default))] = "b"
    elif node.kind == ObjectType.OBJECT_TSCONFIGURATION:
        reader.catalog.things.append(Thing("text search configuration", names, "", reader.source))


def _count(reader: Reader, sort: str) -> None:
    for thing in reader.catalog.things:
        if thing.sort == sort:
            thing.name = str(int(thing.name) + 1)
            return
    reader.catalog.things.append(Thing(sort, "1", "", reader.source))


def _grant(reader: Reader, node: Any) -> None:
    if not node.is_grant or node.privileges or node.objtype != ObjectType.OBJECT_TABLE:
        return
    if any(getattr(g.roletype, "name", "") == "ROLESPEC_PUBLIC" for g in node.grantees or ()):
        for item in node.objects or ():
            relation = reader.known(item) if hasattr(item, "relname") else None
            if relation is not None:
                relation.public_all = True
