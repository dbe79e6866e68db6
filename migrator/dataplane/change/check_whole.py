"""Checks whole statements of a migration: on classic in the check's transaction, and what Limitless gets for them.

What makes something stays until that transaction is rolled back, so that a later statement of the file finds it;
everything else is taken back at once, as it may lock a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.dataplane.change import shadow
from migrator.dataplane.change.change import Change, Made
from migrator.dataplane.change.check_alter import Ground
from migrator.dataplane.change.create import as_owner
from migrator.dataplane.change.inspect import columns_of
from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.names import UNDEFINED, looked_up_in
from migrator.dataplane.change.printed import Unfit, makes_routine, printed
from migrator.dataplane.change.statements import OPT_IN
from migrator.dataplane.change.whole import drops
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.grammar.parse import parse
from migrator.grammar.tree import Tree
from migrator.grammar.written import Written, edited

Connection = psycopg.Connection[Any]

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"[^"]+"')


class WholeChecks:
    """Tries whole statements, one after the other.

    Attributes:
        owner_of: who is to own what is made in a schema; '' for the tool's own role.
        routines: names of functions and procedures that the file drops.
    """

    def __init__(self, ground: Ground, owner_of: Callable[[str], tuple[str, list[str]]]) -> None:
        self.ground, self.owner_of = ground, owner_of
        self.classic, self.limitless = ground.classic, ground.limitless
        self.schemas: Sequence[str] = ground.plan.tables.schemas
        self.routines: set[str] = set()

    def check(self, request: RequestedChange, *, first: bool) -> Change | None:
        """Return the change, or None where there is a problem; *first*: no change of the file comes before it."""
        owner, problems = self.owner_of(request.path[0]) if request.path else ("", [])
        change = Change(
            request.kind, "", "", "", request.words + (f" ({request.note})" if request.note else ""),
            statement=request.statement, source=request.source, condition=request.condition, late=request.late,
            path=request.path, owner="" if problems else owner,
        )  # fmt: skip
        if request.kind is Kind.CLASSIC_ONLY and (change.condition == "w" or change.late):
            return change  # a trial would write rows, or lock them
        [parsed] = parse(change.statement)
        node = Tree(parsed.tag, parsed.body)
        kept = change.statement[:7].upper() == "CREATE " and node.tag not in ("CreatePolicyStmt", "CreateTrigStmt")
        try:
            with self.classic.transaction(force_rollback=not kept):
                self.classic.execute("SELECT set_config('lock_timeout', '300ms', true)")
                change = self._try(request, change, node)
        except BUSY:  # what it would lock is busy: the step waits for it
            return self._untried(request, change)
        except psycopg.errors.DependentObjectsStillExist as error:
            if not first and drops(change.statement):  # dropped before it in this file, perhaps; classic comes first
                return self._untried(request, change)
            self.ground.problem(request, f"classic refuses it: {server_message(error)}")
        except psycopg.Error as error:
            if not first and self._rests_on_the_file(request, node, error):
                return change if makes_routine(change) else self._untried(request, change)
            self.ground.problem(
                request, f"classic refuses it: {server_message(error)}", missing=isinstance(error, UNDEFINED)
            )
        return change

    def _untried(self, request: RequestedChange, change: Change) -> Change:
        if request.kind is Kind.CLASSIC_ONLY:
            return change
        return replace(change, there=(_plain(change.words, _lenient(change.statement)),))

    def _rests_on_the_file(self, request: RequestedChange, node: Tree, error: psycopg.Error) -> bool:
        """Whether classic can only take a statement when earlier changes of the file are made, which no trial makes."""
        match error:
            case psycopg.errors.InvalidTextRepresentation():  # a new value of an enum
                return bool(self.ground.labels)
            case psycopg.errors.DuplicateFunction() | psycopg.errors.InvalidFunctionDefinition():
                return node.tag == "CreateFunctionStmt" and node.funcname[-1].sval in self.routines
            case _ if not isinstance(error, UNDEFINED):
                return False
        if request.kind is Kind.CLASSIC_ONLY:
            return True  # the step says whether it is there then
        words = set(_WORD.findall(request.statement)) | {t.strip('"') for t in _QUOTED.findall(request.statement)}
        return any(name in words for name in self._new_names())

    def _new_names(self) -> Iterator[str]:
        """Yield names that changes of the file make, and a trial does not: columns and indexes."""
        for table, probe in self.ground.probes.items():
            here = columns_of(self.classic, table)
            yield from (name for name, _ in details.typed_columns(self.classic, probe) if name not in here)
        yield from (name for _, name in self.ground.made)

    def _try(self, request: RequestedChange, change: Change, node: Tree) -> Change:
        """Run the statement on classic; return the change with what Limitless gets for it. A view or a function that
        rests on changes of the file gets that when its step runs."""
        if not makes_routine(change):
            with as_owner(self.classic, change.owner), looked_up_in(self.classic, change.path):
                self.classic.execute(sql.SQL(change.statement))
            return self._untried(request, change)
        schema = _schema(node) or (*change.path, "")[0]
        if schema not in self.schemas:
            self.ground.problem(request, f"schema {schema or 'of it'} is not migrated: make it on classic directly")
        if node.tag == "ViewStmt":
            again = (schema, node.view.relname) in self.ground.dropped
            if again or any(table in self.ground.probes for table, _ in shadow.tables(node, change.path)):
                shadow.view(self.classic, change, node, schema, self.ground.probes, again=again)
                return change
        elif self.ground.probes:
            self.classic.execute("SET LOCAL check_function_bodies = off")
        try:
            change = printed(self.classic, self.limitless, self.schemas, change)
        except Unfit as error:
            self.ground.problem(request, f"{error}: {OPT_IN}")
        return replace(change, there=(), before="") if node.sql_body is not None and self.ground.probes else change


def _schema(node: Tree) -> str:
    """Return the schema that a CREATE FUNCTION or VIEW names, '' where it names none."""
    if node.tag == "ViewStmt":
        return node.view.schemaname or ""
    *schema, _ = (part.sval for part in node.funcname)
    return schema[-1] if schema else ""


def _plain(words: str, statement: str) -> Made:
    return Made(words, ("", "", "", ""), (statement,), {})


def _lenient(statement: str) -> str:
    """Return a DROP that finds nothing to drop on Limitless without an error: not all of classic is there."""
    if not drops(statement):
        return statement
    written = Written(statement)
    if written.tokens[2].word == "IF" and written.tokens[3].word == "EXISTS":
        return statement
    begin = written.tokens[2].begin
    return edited(written.data, [(begin, begin, "IF EXISTS ")])
