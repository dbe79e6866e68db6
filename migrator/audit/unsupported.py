"""Which statements does Limitless not have at all, whatever they touch? Judged on the parse tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from migrator.audit.grammar import Body

STATEMENTS: Mapping[str, tuple[str, str]] = {
    "MergeStmt": ("LIM-DML-01", "MERGE does not exist on Limitless"),
    "ListenStmt": ("LIM-DML-05", "LISTEN does not exist on Limitless"),
    "UnlistenStmt": ("LIM-DML-05", "UNLISTEN does not exist on Limitless"),
    "NotifyStmt": ("LIM-DML-05", "NOTIFY does not exist on Limitless"),
    "RefreshMatViewStmt": ("LIM-OBJ-04", "materialized views do not exist on Limitless"),
    "ReindexStmt": ("LIM-IDX-03", "REINDEX does not exist on Limitless"),
    "ConstraintsSetStmt": ("LIM-TXN-06", "SET CONSTRAINTS does not exist on Limitless"),
    "CommentStmt": ("LIM-OBJ-08", "COMMENT does not exist on Limitless"),
    "SecLabelStmt": ("LIM-OBJ-08", "SECURITY LABEL does not exist on Limitless"),
    "CreateTrigStmt": ("LIM-OBJ-01", "triggers do not exist on Limitless"),
    "CreateEventTrigStmt": ("LIM-OBJ-02", "event triggers do not exist on Limitless"),
    "AlterEventTrigStmt": ("LIM-OBJ-02", "event triggers do not exist on Limitless"),
    "RuleStmt": ("LIM-OBJ-03", "rules do not exist on Limitless"),
    "CreatePublicationStmt": ("LIM-OBJ-05", "publications do not exist on Limitless"),
    "AlterPublicationStmt": ("LIM-OBJ-05", "publications do not exist on Limitless"),
    "CreateSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "AlterSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "DropSubscriptionStmt": ("LIM-OBJ-05", "subscriptions do not exist on Limitless"),
    "CreateFdwStmt": ("LIM-OBJ-06", "foreign data wrappers cannot be used on Limitless"),
    "CreateForeignServerStmt": ("LIM-OBJ-06", "foreign servers cannot be used on Limitless"),
    "CreateForeignTableStmt": ("LIM-OBJ-06", "foreign tables cannot be used on Limitless"),
    "CreateUserMappingStmt": ("LIM-OBJ-06", "user mappings cannot be used on Limitless"),
    "ImportForeignSchemaStmt": ("LIM-OBJ-06", "foreign tables cannot be used on Limitless"),
    "CreateStatsStmt": ("LIM-OBJ-07", "extended statistics do not exist on Limitless"),
    "CreateTransformStmt": ("LIM-OBJ-07", "transforms do not exist on Limitless"),
    "CreateAmStmt": ("LIM-OBJ-07", "access methods do not exist on Limitless"),
    "CreatePLangStmt": ("LIM-OBJ-07", "CREATE LANGUAGE does not exist on Limitless"),
    "CreateDomainStmt": ("LIM-COL-04", "domains do not exist on Limitless"),
    "AlterDomainStmt": ("LIM-COL-04", "domains do not exist on Limitless"),
    "CreateTableSpaceStmt": ("LIM-TBL-06", "tablespaces do not exist on Limitless"),
    "AlterDefaultPrivilegesStmt": ("LIM-OBJ-09", "ALTER DEFAULT PRIVILEGES does not exist on Limitless"),
    "AlterDatabaseSetStmt": ("LIM-OBJ-09", "ALTER DATABASE does not exist on Limitless"),
    "AlterDatabaseStmt": ("LIM-OBJ-09", "ALTER DATABASE does not exist on Limitless"),
    "AlterSystemStmt": ("LIM-OBJ-09", "ALTER SYSTEM does not exist on Limitless"),
    "DropOwnedStmt": ("LIM-OBJ-09", "DROP OWNED does not exist on Limitless"),
    "ReassignOwnedStmt": ("LIM-OBJ-09", "REASSIGN OWNED does not exist on Limitless"),
    "AlterPolicyStmt": ("LIM-SEC-01", "ALTER POLICY does not exist on Limitless"),
    "AlterExtensionContentsStmt": ("LIM-EXT-02", "ALTER EXTENSION ADD or DROP does not exist on Limitless"),
}
"""Node of the grammar → rule and reason, for statements that Limitless does not have in any form."""

DROPS: Mapping[str, str] = {
    "OBJECT_TRIGGER": "LIM-OBJ-01",
    "OBJECT_EVENT_TRIGGER": "LIM-OBJ-02",
    "OBJECT_RULE": "LIM-OBJ-03",
    "OBJECT_MATVIEW": "LIM-OBJ-04",
    "OBJECT_PUBLICATION": "LIM-OBJ-05",
    "OBJECT_FDW": "LIM-OBJ-06",
    "OBJECT_FOREIGN_SERVER": "LIM-OBJ-06",
    "OBJECT_FOREIGN_TABLE": "LIM-OBJ-06",
    "OBJECT_STATISTIC_EXT": "LIM-OBJ-07",
    "OBJECT_TSCONFIGURATION": "LIM-OBJ-07",
    "OBJECT_TSDICTIONARY": "LIM-OBJ-07",
    "OBJECT_TRANSFORM": "LIM-OBJ-07",
    "OBJECT_ACCESS_METHOD": "LIM-OBJ-07",
    "OBJECT_LANGUAGE": "LIM-OBJ-07",
    "OBJECT_DOMAIN": "LIM-COL-04",
    "OBJECT_POLICY": "LIM-SEC-01",
    "OBJECT_TABLESPACE": "LIM-TBL-06",
}
"""Sort of object that DROP names → rule; Limitless has no such objects, so nothing of them to drop."""


def whole(tag: str, body: Body) -> tuple[str, str] | None:
    """Return the rule and the reason when Limitless lacks the statement as a whole."""
    if tag in STATEMENTS:
        return STATEMENTS[tag]
    if tag == "TransactionStmt" and "PREPARE" in body.get("kind", ""):
        return "LIM-TXN-02", "prepared transactions do not exist on Limitless"
    if tag == "CreateTableAsStmt" and body.get("objtype") == "OBJECT_MATVIEW":
        return "LIM-OBJ-04", "materialized views do not exist on Limitless"
    dropped = drop(body) if tag == "DropStmt" else None
    return (dropped[0], f"{dropped[1]} does not exist on Limitless") if dropped is not None else None


def drop(body: Body) -> tuple[str, str] | None:
    """Return the rule and the command when a DROP is of something that Limitless does not have."""
    sort = body.get("removeType", "")
    return (DROPS[sort], f"DROP {sort.removeprefix('OBJECT_').replace('_', ' ')}") if sort in DROPS else None
