"""What do CREATE TABLE, ALTER TABLE and CREATE INDEX of a schema dump say about a table?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType, ConstrType, ObjectType

from migrator.audit.catalog import Attribute, Check, ForeignKey, Index, Relation, RelationKind
from migrator.audit.evidence.dump_outside import OUTSIDE
from migrator.audit.evidence.dump_reader import Reader, render, type_text
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
    relation.options = tuple(
        f"{o.defname}={render(o.arg) if o.arg is not None else 'true'}" for o in node.options or ()
    )
    relation.tablespace = node.tablespacename
    reader.made.append(relation.qualified)
    reader.catalog.relations[relation.qualified] = relation
    for element in node.tableElts or ():
        if isinstance(element, ast.ColumnDef):
            _add_column(reader, relation, element)
        elif isinstance(element, ast.Constraint):
            _add_constraint(reader, relation, element, inline=True)
        elif isinstance(element, ast.TableLikeClause):
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
    for item in getattr(query, "targetList", None) or (None,):
        fields = getattr(getattr(item, "val", None), "fields", None) or (None,)
        column = getattr(item, "name", None) or getattr(fields[-1], "sval", None)
        if column:
            relation.columns[column] = Attribute(column, "")
        elif isinstance(fields[-1], ast.A_Star) and _all_known(reader, query.fromClause or ()):
            for source in query.fromClause:
                above: Any = reader.known(source)
                relation.columns.update({n: replace(a, not_null=False) for n, a in above.columns.items()})
        else:
            relation.unknown_columns = "a query makes it, and its columns are not all known"
    reader.catalog.relations[relation.qualified] = relation


def _all_known(reader: Reader, sources: Any) -> bool:
    return all(isinstance(s, ast.RangeVar) and (r := reader.known(s)) and r.columns for s in sources)


def create_foreign_table(reader: Reader, node: Any) -> None:
    create_table(reader, node.base if hasattr(node, "base") else node, RelationKind.FOREIGN)


def _add_column(reader: Reader, relation: Relation, node: Any) -> None:
    attribute = Attribute(node.colname, type_text(node.typeName), not_null=bool(node.is_not_null))
    if attribute.type in SERIAL:
        add_serial(reader, relation, attribute)
    if node.compression:
        attribute.settings = f"compression {node.compression}"
    relation.columns[attribute.name] = attribute
    for constraint in node.constraints or ():
        _add_column_constraint(reader, relation, attribute, constraint)


def _add_column_constraint(reader: Reader, relation: Relation, attribute: Attribute, node: Any) -> None:
    kind = node.contype
    if kind == ConstrType.CONSTR_NOTNULL:
        attribute.not_null = True
    elif kind == ConstrType.CONSTR_DEFAULT:
        attribute.default = render(node.raw_expr)
    elif kind == ConstrType.CONSTR_IDENTITY:
        attribute.identity = _char(node.generated_when) or "d"
        attribute.not_null = True
    elif kind == ConstrType.CONSTR_GENERATED:
        attribute.generated, attribute.default = "s", render(node.raw_expr)
    else:
        _add_constraint(reader, relation, node, inline=True, column=attribute.name)


def _add_constraint(reader: Reader, relation: Relation, node: Any, *, inline: bool, column: str | None = None) -> None:
    kind = node.contype
    columns = tuple(k.sval for k in node.keys or ()) or ((column,) if column else ())
    if kind in (ConstrType.CONSTR_PRIMARY, ConstrType.CONSTR_UNIQUE):
        primary = kind == ConstrType.CONSTR_PRIMARY
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
    elif kind == ConstrType.CONSTR_FOREIGN:
        _add_foreign_key(reader, relation, node, columns or tuple(k.sval for k in node.fk_attrs or ()), inline)
    elif kind == ConstrType.CONSTR_CHECK:
        name = node.conname or f"{relation.name}_{column + '_' if column else ''}check"
        relation.checks.append(Check(name, f"CHECK ({render(node.raw_expr)})", reader.source))
    elif kind == ConstrType.CONSTR_EXCLUSION:
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
            on_delete=_char(node.fk_del_action) or "a",
            on_update=_char(node.fk_upd_action) or "a",
            match=_char(node.fk_matchtype) or "s",
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
    """ALTER TABLE also alters sequences and indexes; an unknown table is worth a word."""
    schema, name = reader.name_of(node.relation)
    if node.objtype == ObjectType.OBJECT_TABLE and f"{schema}.{name}" not in reader.catalog.sequences:
        forms = sorted({c.subtype.name.removeprefix("AT_") for c in node.cmds})
        reader.outside(f"{schema}.{name}", f"ALTER TABLE ({', '.join(forms)}) of a table")


def _alter_command(reader: Reader, relation: Relation, command: Any) -> None:
    kind, name, definition = command.subtype, command.name, command.def_
    attribute = relation.columns.get(name) if name else None
    if kind == AlterTableType.AT_AddColumn:
        _add_column(reader, relation, definition)
    elif kind == AlterTableType.AT_AddConstraint:
        _add_constraint(reader, relation, definition, inline=False)
    elif kind == AlterTableType.AT_DropColumn and name:
        relation.columns.pop(name, None)
        relation.indexes = [i for i in relation.indexes if name not in i.columns]
        relation.foreign_keys = [k for k in relation.foreign_keys if name not in k.columns]
    elif kind == AlterTableType.AT_DropConstraint:
        relation.indexes = [i for i in relation.indexes if i.name != name]
        relation.foreign_keys = [k for k in relation.foreign_keys if k.name != name]
        relation.checks = [c for c in relation.checks if c.name != name]
    elif kind == AlterTableType.AT_EnableRowSecurity:
        relation.row_security = True
    elif kind == AlterTableType.AT_DisableRowSecurity:
        relation.row_security = False
    elif kind == AlterTableType.AT_ForceRowSecurity:
        relation.force_row_security = True
    elif kind == AlterTableType.AT_AttachPartition:
        leaf = reader.known(definition.name)
        if leaf is not None:
            leaf.partition_of = relation.qualified
        else:
            reader.outside(relation.qualified, f"partition {'.'.join(reader.name_of(definition.name))} is a table")
    elif kind == AlterTableType.AT_DetachPartition:
        leaf = reader.known(definition.name)
        if leaf is not None:
            leaf.partition_of = None
    elif kind == AlterTableType.AT_DropInherit:
        parent = ".".join(reader.name_of(definition))
        relation.inherits = tuple(p for p in relation.inherits if p != parent)
    elif kind == AlterTableType.AT_AddInherit:
        relation.inherits = (*relation.inherits, ".".join(reader.name_of(definition)))
    elif kind == AlterTableType.AT_SetRelOptions and relation.is_table:
        relation.options = (*relation.options, *(f"{o.defname}={render(o.arg)}" for o in definition or ()))
    elif kind == AlterTableType.AT_ChangeOwner:
        relation.owner = command.newowner.rolename or ""
    elif attribute is not None:
        _alter_column(reader, attribute, kind, definition)


def _alter_column(reader: Reader, attribute: Attribute, kind: Any, definition: Any) -> None:
    if kind == AlterTableType.AT_SetNotNull:
        attribute.not_null = True
    elif kind == AlterTableType.AT_DropNotNull:
        attribute.not_null = False
    elif kind == AlterTableType.AT_ColumnDefault:
        attribute.default = render(definition) if definition is not None else None
        attribute.sequence = None
    elif kind == AlterTableType.AT_AlterColumnType:
        attribute.type = type_text(definition.typeName)
    elif kind == AlterTableType.AT_AddIdentity:
        attribute.identity = _char(definition.generated_when) or "d"
    elif kind == AlterTableType.AT_DropIdentity:
        attribute.identity = ""
    elif kind == AlterTableType.AT_SetStatistics:
        attribute.settings = f"statistics {render(definition)}"
    elif kind == AlterTableType.AT_SetOptions:
        attribute.settings = ", ".join(f"{o.defname}={render(o.arg)}" for o in definition or ())
    elif kind == AlterTableType.AT_SetCompression:
        attribute.settings = f"compression {definition.sval}"


def create_index(reader: Reader, node: Any) -> None:
    relation = reader.known(node.relation)
    if relation is None:
        reader.outside(".".join(reader.name_of(node.relation)), f"index {node.idxname or ''} on a table")
        return
    relation.indexes.append(
        Index(
            node.idxname or f"{relation.name}_idx",
            tuple(p.name for p in node.indexParams),
            unique=bool(node.unique),
            predicate=render(node.whereClause) if node.whereClause is not None else None,
            include=tuple(p.name for p in node.indexIncludingParams or () if p.name),
            custom_opclass=any(p.opclass for p in node.indexParams),
            method=node.accessMethod or "btree",
            nulls_not_distinct=bool(node.nulls_not_distinct),
            definition=render(node),
            source=reader.source,
        )
    )


def _char(value: Any) -> str | None:
    """Return a single-character field, which the parser gives as text, as a number, or as NUL for none."""
    if value is None:
        return None
    text = chr(value) if isinstance(value, int) else str(value)
    return None if text in ("", "\x00") else text
