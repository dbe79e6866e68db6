"""What kinds of statements does a text of SQL consist of? In the words of PostgreSQL's own documentation."""

from __future__ import annotations

from migrator.grammar.parse import Parsed, parse
from migrator.grammar.tree import Tree

_OBJECTS = {
    "OBJECT_TABCONSTRAINT": "CONSTRAINT",
    "OBJECT_MATVIEW": "MATERIALIZED VIEW",
    "OBJECT_ATTRIBUTE": "ATTRIBUTE",
}
_CONSTRAINTS = {
    "CONSTR_FOREIGN": "FOREIGN KEY",
    "CONSTR_CHECK": "CHECK",
    "CONSTR_UNIQUE": "UNIQUE",
    "CONSTR_PRIMARY": "PRIMARY KEY",
    "CONSTR_EXCLUSION": "EXCLUDE",
    "CONSTR_NOTNULL": "NOT NULL",
}
_COMMANDS = {
    "AT_AddColumn": "ADD COLUMN",
    "AT_DropColumn": "DROP COLUMN",
    "AT_AlterColumnType": "ALTER COLUMN … TYPE",
    "AT_SetNotNull": "ALTER COLUMN … SET NOT NULL",
    "AT_DropNotNull": "ALTER COLUMN … DROP NOT NULL",
    "AT_DropConstraint": "DROP CONSTRAINT",
    "AT_ValidateConstraint": "VALIDATE CONSTRAINT",
    "AT_AlterConstraint": "ALTER CONSTRAINT",
    "AT_SetStatistics": "ALTER COLUMN … SET STATISTICS",
    "AT_SetStorage": "ALTER COLUMN … SET STORAGE",
    "AT_SetRelOptions": "SET (…)",
    "AT_ResetRelOptions": "RESET (…)",
    "AT_ChangeOwner": "OWNER TO",
    "AT_EnableRowSecurity": "ROW LEVEL SECURITY",
    "AT_DisableRowSecurity": "ROW LEVEL SECURITY",
    "AT_ForceRowSecurity": "ROW LEVEL SECURITY",
    "AT_NoForceRowSecurity": "ROW LEVEL SECURITY",
    "AT_ReplicaIdentity": "REPLICA IDENTITY",
    "AT_AddIdentity": "ALTER COLUMN … ADD GENERATED AS IDENTITY",
    "AT_SetIdentity": "ALTER COLUMN … SET GENERATED",
    "AT_DropIdentity": "ALTER COLUMN … DROP IDENTITY",
    "AT_DropExpression": "ALTER COLUMN … DROP EXPRESSION",
    "AT_AttachPartition": "ATTACH PARTITION",
    "AT_DetachPartition": "DETACH PARTITION",
    "AT_SetLogged": "SET LOGGED",
    "AT_SetUnLogged": "SET UNLOGGED",
    "AT_AddInherit": "INHERIT",
    "AT_DropInherit": "NO INHERIT",
    "AT_EnableTrig": "ENABLE TRIGGER",
    "AT_DisableTrig": "DISABLE TRIGGER",
    "AT_EnableTrigAll": "ENABLE TRIGGER",
    "AT_DisableTrigAll": "DISABLE TRIGGER",
    "AT_EnableTrigUser": "ENABLE TRIGGER",
    "AT_DisableTrigUser": "DISABLE TRIGGER",
    "AT_ClusterOn": "CLUSTER ON",
    "AT_SetCompression": "ALTER COLUMN … SET COMPRESSION",
}
_PLAIN = {
    "CreateEnumStmt": "CREATE TYPE … AS ENUM",
    "CompositeTypeStmt": "CREATE TYPE … AS (…)",
    "CreateRangeStmt": "CREATE TYPE … AS RANGE",
    "CreateDomainStmt": "CREATE DOMAIN",
    "AlterDomainStmt": "ALTER DOMAIN",
    "CreateFunctionStmt": "CREATE FUNCTION",
    "CreateTrigStmt": "CREATE TRIGGER",
    "CreateSeqStmt": "CREATE SEQUENCE",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "CreateExtensionStmt": "CREATE EXTENSION",
    "AlterExtensionStmt": "ALTER EXTENSION",
    "CreateSchemaStmt": "CREATE SCHEMA",
    "CreatePolicyStmt": "CREATE POLICY",
    "AlterPolicyStmt": "ALTER POLICY",
    "CreateRoleStmt": "CREATE ROLE",
    "AlterRoleStmt": "ALTER ROLE",
    "DropRoleStmt": "DROP ROLE",
    "GrantRoleStmt": "GRANT role",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
    "AlterOwnerStmt": "ALTER … OWNER TO",
    "AlterObjectSchemaStmt": "ALTER … SET SCHEMA",
    "CommentStmt": "COMMENT ON",
    "ViewStmt": "CREATE VIEW",
    "RuleStmt": "CREATE RULE",
    "CreateStatsStmt": "CREATE STATISTICS",
    "AlterFunctionStmt": "ALTER FUNCTION",
    "CreateCastStmt": "CREATE CAST",
    "CreatePublicationStmt": "CREATE PUBLICATION",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
    "SelectStmt": "SELECT",
    "CopyStmt": "COPY",
    "TruncateStmt": "TRUNCATE",
    "LockStmt": "LOCK TABLE",
    "DoStmt": "DO",
    "CallStmt": "CALL",
    "TransactionStmt": "BEGIN, COMMIT",
    "VariableSetStmt": "SET",
    "ConstraintsSetStmt": "SET CONSTRAINTS",
    "VacuumStmt": "VACUUM, ANALYZE",
    "ReindexStmt": "REINDEX",
    "ClusterStmt": "CLUSTER",
    "NotifyStmt": "NOTIFY",
}


def kinds_of(text: str) -> list[str]:
    """Return the kind of each statement of *text*, in order; `ALTER TABLE` gives one for each of its sub-commands.

    Raises:
        Unparsable: PostgreSQL's grammar refuses the text.
    """
    return [kind for parsed in parse(text) for kind in _kinds(parsed)]


def _kinds(parsed: Parsed) -> list[str]:
    node = Tree(parsed.tag, parsed.body)
    match parsed.tag:
        case "AlterTableStmt":
            return [f"ALTER {_object(node.objtype)} {_command(c)}" for c in node.cmds]
        case "RenameStmt":
            return [_rename(node)]
        case "DropStmt":
            return [f"DROP {_object(node.removeType)}"]
        case "CreateStmt":
            return [_create(node)]
        case "CreateTableAsStmt":
            return ["CREATE MATERIALIZED VIEW" if node.objtype == "OBJECT_MATVIEW" else "CREATE TABLE AS"]
        case "IndexStmt":
            unique = "UNIQUE " if node.unique else ""
            return [f"CREATE {unique}INDEX" + (" CONCURRENTLY" if node.concurrent else "")]
        case "AlterEnumStmt":
            return ["ALTER TYPE … RENAME VALUE" if node.oldVal else "ALTER TYPE … ADD VALUE"]
        case "GrantStmt":
            return ["GRANT" if node.is_grant else "REVOKE"]
        case "DefineStmt":
            return [f"CREATE {_object(node.kind)}"]
        case "CreateFunctionStmt" if node.is_procedure:
            return ["CREATE PROCEDURE"]
    return [_PLAIN.get(parsed.tag, parsed.tag)]


def _object(name: str | None) -> str:
    name = name or "OBJECT_TABLE"
    return _OBJECTS.get(name, name.removeprefix("OBJECT_"))


def _command(command: Tree) -> str:
    match command.subtype:
        case "AT_ColumnDefault":
            return "ALTER COLUMN … SET DEFAULT" if command.def_ else "ALTER COLUMN … DROP DEFAULT"
        case "AT_AddConstraint":
            constraint = command.def_
            kind = f"ADD {_CONSTRAINTS.get(constraint.contype, constraint.contype)}"
            if constraint.indexname:
                kind += " USING INDEX"
            return kind + (" NOT VALID" if constraint.skip_validation else "")
        case subtype:
            return _COMMANDS.get(subtype, str(subtype))


def _rename(node: Tree) -> str:
    match node.renameType:
        case "OBJECT_COLUMN" | "OBJECT_TABCONSTRAINT":
            return f"ALTER TABLE RENAME {_object(node.renameType)}"
        case kind:
            return f"ALTER {_object(kind)} RENAME"


def _create(node: Tree) -> str:
    if node.partbound:
        return "CREATE TABLE PARTITION OF"
    if node.relation.relpersistence == "t":
        return "CREATE TEMPORARY TABLE"
    if node.partspec:
        return "CREATE TABLE PARTITION BY"
    return "CREATE TABLE INHERITS, LIKE" if node.inhRelations or _like(node) else "CREATE TABLE"


def _like(node: Tree) -> bool:
    return any(e.tag == "TableLikeClause" for e in node.tableElts or ())
