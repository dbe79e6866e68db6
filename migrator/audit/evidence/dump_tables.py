"""Reads CREATE TABLE, ALTER TABLE and CREATE INDEX of a schema dump."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from migrator.audit.catalog import Attribute, Check, ForeignKey, Index, Relation, RelationKind
from migrator.audit.evidence.dump_outside import OUTSIDE
from migrator.audit.evidence.dump_reader import Reader, option, type_text, value
from migrator.audit.evidence.dump_sequences import SERIAL, add_serial


def create_table(reader: Reader, node: Any, kind: RelationKind = RelationKind.TABLE) -> None:
    schema, name = reader.name_of(node.relation)
    if node.relation.relpersistence == "t" or (node.if_not_exists and f"{schema}.{name}" in reader.catalog.relations):
        return
    if node.partspec is not None:
        kind = RelationKind.PARTITIONED
    relation = Relation(schema, name, kind, source=reader.source, unlogged=node.relation.relpersistence == "u")
    parents = tuple(".".join(reader.name_of(p)) for p in node.inhRelations or ())
    if node.partbound is not None:
        relation.partition_of = parents[0] if parents else None
    else:
        relation.inherits = parents
    for parent in parents:
        above = reader.catalog.relations.get(parent)
        if above is not None:
            relation.columns.update({n: replace(a) for n, a in above.columns.items()})
    relation.options = tuple(option(o) for o in node.options or ())
    relation.tablespace = node.tablespacename
    reader.made.append(relation.qualified)
    reader.catalog.relations[relation.qualified] = relation
    for element in node.tableElts or ():
        if element.tag == "ColumnDef":
            _add_column(reader, relation, element)
        elif element.tag == "Constraint":
            _add_constraint(reader, relation, element, inline=True)
        elif element.tag == "TableLikeClause":
            like = reader.known(element.relation)
            if like is not None:
                relation.columns.update({n: replace(a) for n, a in like.columns.items()})
            else:
                parent = ".".join(reader.name_of(element.relation))
                relation.unknown_columns = f"LIKE {parent}, a table {OUTSIDE}: its columns are not all known"


def made_by_query(reader: Reader, target: Any, query: Any) -> None:
    """CREATE TABLE AS, SELECT INTO: the columns that the query names are known, their types are not."""
    if target.relpersistence == "t":
        return
    schema, name = reader.name_of(target)
    relation = Relation(schema, name, RelationKind.TABLE, source=reader.source)
    for item in query.targetList or (None,):
        fields = (item is not None and item.val.fields) or (None,)
        column = item is not None and (item.name or (fields[-1] is not None and fields[-1].sval))
        if column:
            relation.columns[column] = Attribute(column, "")
        elif fields[-1] is not None and fields[-1].tag == "A_Star" and _all_known(reader, query.fromClause or ()):
            for source in query.fromClause:
                above: Any = reader.known(source)
                relation.columns.update({n: replace(a, not_null=False) for n, a in above.columns.items()})
        else:
            relation.unknown_columns = "a query makes it, and its columns are not all known"
    reader.catalog.relations[relation.qualified] = relation


def _all_known(reader: Reader, sources: Any) -> bool:
    return all(s.tag == "RangeVar" and (r := reader.known(s)) and r.columns for s in sources)


def create_foreign_table(reader: Reader, node: Any) -> None:
    create_table(reader, node.base, RelationKind.FOREIGN)


def _add_column(reader: Reader, relation: Relation, node: Any) -> None:
    attribute = Attribute(node.colname, type_text(node.typeName), not_null=bool(node.is_not_null))
    if attribute.type in SERIAL:
        add_serial(reader, relation, attribute)
    if node.compression:
        attribute.settings = f"compression {node.compression}"
    relation.columns[attribute.name] = attribute
    stops = [part.location for part in (*(node.constraints or ()), node.collClause) if part is not None]
    for constraint in node.constraints or ():
        _add_column_constraint(reader, relation, attribute, constraint, stops)


def _add_column_constraint(
    reader: Reader, relation: Relation, attribute: Attribute, node: Any, stops: list[int]
) -> None:
    """*stops*: where the parts of the column's definition begin."""
    kind = node.contype
    if kind == "CONSTR_NOTNULL":
        attribute.not_null = True
    elif kind == "CONSTR_DEFAULT":
        attribute.default = reader.written.expression(node.raw_expr.node, "DEFAULT", stops)
    elif kind == "CONSTR_IDENTITY":
        attribute.identity = node.generated_when or "d"
        attribute.not_null = True
    elif kind == "CONSTR_GENERATED":
        attribute.generated, attribute.default = "s", reader.written.in_brackets(node.raw_expr.node, "AS")
    else:
        _add_constraint(reader, relation, node, inline=True, column=attribute.name)


def _add_constraint(reader: Reader, relation: Relation, node: Any, *, inline: bool, column: str | None = None) -> None:
    kind = node.contype
    columns = tuple(k.sval for k in node.keys or ()) or ((column,) if column else ())
    if kind in ("CONSTR_PRIMARY", "CONSTR_UNIQUE"):
        primary = kind == "CONSTR_PRIMARY"
        if node.indexname:  # USING INDEX
            for index in relation.indexes:
                if index.name == node.indexname:
                    index.primary, index.constraint = primary or index.primary, True
            return
        suffix = "pkey" if primary else "_".join((*columns, "key"))
        relation.indexes.append(
            Index(
                node.conname or f"{relation.name}_{suffix}",
                columns,
                unique=True,
                primary=primary,
                constraint=True,
                include=tuple(k.sval for k in node.including or ()),
                nulls_not_distinct=bool(node.nulls_not_distinct),
                source=reader.source,
            )
        )
        if primary:
            for name in columns:
                if name in relation.columns:
                    relation.columns[name].not_null = True
    elif kind == "CONSTR_FOREIGN":
        _add_foreign_key(reader, relation, node, columns or tuple(k.sval for k in node.fk_attrs or ()), inline)
    elif kind == "CONSTR_CHECK":
        name = node.conname or f"{relation.name}_{column + '_' if column else ''}check"
        condition = reader.written.in_brackets(node.raw_expr.node, "CHECK")
        relation.checks.append(Check(name, f"CHECK ({condition})", reader.source))
    elif kind == "CONSTR_EXCLUSION":
        relation.exclusions.append(node.conname or f"{relation.name}_excl")


def _add_foreign_key(reader: Reader, relation: Relation, node: Any, columns: tuple[str, ...], inline: bool) -> None:
    columns = tuple(k.sval for k in node.fk_attrs or ()) or columns
    parent = reader.known(node.pktable)
    qualified = parent.qualified if parent is not None else ".".join(reader.name_of(node.pktable))
    relation.foreign_keys.append(
        ForeignKey(
            name=node.conname or f"{relation.name}_{'_'.join(columns)}_fkey",
            columns=columns,
            parent=qualified,
            parent_columns=tuple(k.sval for k in node.pk_attrs or ()),  # none: the parent's primary key, known later
            on_delete=node.fk_del_action or "a",
            on_update=node.fk_upd_action or "a",
            match=node.fk_matchtype or "s",
            deferrable=bool(node.deferrable),
            validated=not node.skip_validation,
            inline=inline,
            bare=not node.pktable.schemaname,
            source=reader.source,
        )
    )


def alter_table(reader: Reader, node: Any) -> None:
    relation = reader.known(node.relation)
    if relation is None:
        _alter_unknown(reader, node)
        return
    for command in node.cmds:
        _alter_command(reader, relation, command)


def _alter_unknown(reader: Reader, node: Any) -> None:
    """ALTER TABLE also alters sequences and indexes; an unknown table is reported."""
    schema, name = reader.name_of(node.relation)
    if node.objtype == "OBJECT_TABLE" and f"{schema}.{name}" not in reader.catalog.sequences:
        forms = sorted({c.subtype.removeprefix("AT_") for c in node.cmds})
        reader.outside(f"{schema}.{name}", f"ALTER TABLE ({', '.join(forms)}) of a table")


def _alter_command(reader: Reader, relation: Relation, command: Any) -> None:
    kind, name, definition = command.subtype, command.name, command.def_
    attribute = relation.columns.get(name) if name else None
    if kind == "AT_AddColumn":
        _add_column(reader, relation, definition)
    elif kind == "AT_AddConstraint":
        _add_constraint(reader, relation, definition, inline=False)
    elif kind == "AT_DropColumn" and name:
        relation.columns.pop(name, None)
        relation.indexes = [i for i in relation.indexes if name not in i.columns]
        relation.foreign_keys = [k for k in relation.foreign_keys if name not in k.columns]
    elif kind == "AT_DropConstraint":
        relation.indexes = [i for i in relation.indexes if i.name != name]
        relation.foreign_keys = [k for k in relation.foreign_keys if k.name != name]
        relation.checks = [c for c in relation.checks if c.name != name]
    elif kind == "AT_EnableRowSecurity":
        relation.row_security = True
    elif kind == "AT_DisableRowSecurity":
        relation.row_security = False
    elif kind == "AT_ForceRowSecurity":
        relation.force_row_security = True
    elif kind == "AT_AttachPartition":
        leaf = reader.known(definition.name)
        if leaf is not None:
            leaf.partition_of = relation.qualified
        else:
            reader.outside(relation.qualified, f"partition {'.'.join(reader.name_of(definition.name))} is a table")
    elif kind == "AT_DetachPartition":
        leaf = reader.known(definition.name)
        if leaf is not None:
            leaf.partition_of = None
    elif kind == "AT_DropInherit":
        parent = ".".join(reader.name_of(definition))
        relation.inherits = tuple(p for p in relation.inherits if p != parent)
    elif kind == "AT_AddInherit":
        relation.inherits = (*relation.inherits, ".".join(reader.name_of(definition)))
    elif kind == "AT_SetRelOptions" and relation.is_table:
        relation.options = (*relation.options, *(option(o) for o in definition or ()))
    elif kind == "AT_ChangeOwner":
        relation.owner = command.newowner.rolename or ""
    elif attribute is not None:
        _alter_column(reader, attribute, kind, definition)


def _alter_column(reader: Reader, attribute: Attribute, kind: Any, definition: Any) -> None:
    if kind == "AT_SetNotNull":
        attribute.not_null = True
    elif kind == "AT_DropNotNull":
        attribute.not_null = False
    elif kind == "AT_ColumnDefault":
        attribute.default = reader.written.expression(definition.node, "DEFAULT") if definition is not None else None
        attribute.sequence = None
    elif kind == "AT_AlterColumnType":
        attribute.type = type_text(definition.typeName)
    elif kind == "AT_AddIdentity":
        attribute.identity = definition.generated_when or "d"
    elif kind == "AT_DropIdentity":
        attribute.identity = ""
    elif kind == "AT_SetStatistics":
        attribute.settings = f"statistics {value(definition)}"
    elif kind == "AT_SetOptions":
        attribute.settings = ", ".join(option(o) for o in definition or ())
    elif kind == "AT_SetCompression":
        attribute.settings = f"compression {definition.sval}"


def create_index(reader: Reader, node: Any) -> None:
    relation = reader.known(node.relation)
    if relation is None:
        reader.outside(".".join(reader.name_of(node.relation)), f"index {node.idxname or ''} on a table")
        return
    where = node.whereClause
    relation.indexes.append(
        Index(
            node.idxname or f"{relation.name}_idx",
            tuple(p.name for p in node.indexParams),
            unique=bool(node.unique),
            predicate=reader.written.expression(where.node, "WHERE") if where is not None else None,
            include=tuple(p.name for p in node.indexIncludingParams or () if p.name),
            custom_opclass=any(p.opclass for p in node.indexParams),
            method=node.accessMethod or "btree",
            nulls_not_distinct=bool(node.nulls_not_distinct),
            definition=" ".join(reader.written.whole.split()),
            source=reader.source,
        )
    )
