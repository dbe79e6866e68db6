"""All rules of the audit, with severity and fix.

Every rule of the Limitless DDL, DML, key, session and query-shape limits, with its severity, which may depend on
the engine version of the target. Sources are page names of the Aurora User Guide ("ddl-limitations" stands for
limitless-reference.DDL-limitations.html), read in April 2026 and again later that year, and the Limitless release
notes up to September 2026 ("release notes"). "inferred" marks the tool's own deduction, "third party" a published test.
"""

from __future__ import annotations

from migrator.audit.rules.book_schema import SCHEMA
from migrator.audit.rules.book_use import USE
from migrator.audit.rules.rule import Rule

RULES: dict[str, Rule] = {rule.id: rule for rule in (*SCHEMA, *USE)}
