"""What a server's error says to people: which side, what happened, about which object, in which statement, where.

The one owner of these words, for terminals, status, logs and Temporal's histories. No value of a row passes: details
never do, messages only of SQLSTATEs whose messages hold names alone, and what a function or trigger of the application
raised is not shown at all. Values are not looked for in texts, because messages are translated.

A router of Limitless wraps what a shard said: the primary message is its own, the shard's words are details, and fields
that name a constraint may be missing (AWS: Aurora Limitless, query tracing).
"""

from __future__ import annotations

import re
from pathlib import Path
from traceback import walk_tb

import psycopg

from migrator.db.origin import origin_of
from migrator.model.sqlstate import is_lost
from migrator.model.wrapped import WRAPPER

_CONSTRAINT = re.compile(r'\b(?:constraint|index|column) "([^"]+)"')

_NAMES_ONLY = frozenset(
    ("03", "08", "0A", "0B", "0L", "0P", "23", "24", "25", "26", "27", "28", "2B", "2D", "34", "3B", "3D", "3F",
     "40", "42", "44", "53", "54", "55", "57", "58", "72", "F0")
)  # fmt: skip
"""Classes of SQLSTATEs whose messages name objects, never values."""

_QUOTE = re.compile(r"[\"«»„“”‟‹›「」『』《》]|: ")
_RAISED = ("exec_stmt_raise", "PLy_elog_impl", "plperl_util_elog", "pltcl_elog", "do_util_elog")
"""Functions of PostgreSQL's source that report what a function of the database raised."""

_ROOT = Path(__file__).parents[2]
_OURS = re.compile(r"\b(?:migrator|rds_aurora)\.\w+\(")
"""The tool's functions, and Limitless' own: their texts name objects."""


def server_message(error: psycopg.Error) -> str:
    """Return what the server said, on one line and without any value; for a wrapped error, what the shard said."""
    message = error.diag.message_primary or ""
    wrapped = message == WRAPPER or error.sqlstate != error.diag.sqlstate  # see migrator.db.unwrap
    if wrapped and error.diag.message_detail:
        message = error.diag.message_detail.splitlines()[0]
    message = " ".join(message.split())
    state = error.sqlstate or ""
    if not message or _raised_by_others(error):
        return condition(error)
    if state[:2] in _NAMES_ONLY or _raised_by_us(error):
        return message
    cut = _QUOTE.search(message)
    if state[:2] not in ("22", "XX") or (cut is not None and cut[0] != ": "):
        return condition(error)
    return message if cut is None else f"{message[: cut.start()]}: …"


def condition(error: psycopg.Error) -> str:
    """Return what kind of error it is in words, for example "numeric value out of range"; says nothing of a value."""
    if error.sqlstate == "P0001" or _raised_by_others(error):
        return "a function or trigger of the database raised an error (its text may hold values and is not shown)"
    kind = next((k for k in type(error).__mro__ if k.__module__.startswith("psycopg")), type(error))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.strip("_")).lower()


def _raised_by_others(error: psycopg.Error) -> bool:
    return error.diag.source_function in _RAISED and not _raised_by_us(error)


def _raised_by_us(error: psycopg.Error) -> bool:
    """Whether one of the tool's own functions reports it: the innermost line of the context is one of them."""
    context = (error.diag.context or "").splitlines()
    return bool(context) and error.diag.source_function == _RAISED[0] and bool(_OURS.search(context[0]))


def violated_name(error: psycopg.Error) -> str:
    """Return the name of what the refused row violated, a constraint or a column; '' when the error names none."""
    if error.diag.constraint_name or error.diag.column_name:
        return error.diag.constraint_name or error.diag.column_name or ""
    named = _CONSTRAINT.search(server_message(error))
    return named[1] if named else ""


def what_happened(error: psycopg.Error) -> str:
    """Return one line for people, without side and place: what happened, its SQLSTATE, and the objects it names."""
    if error.diag.message_primary is None and error.sqlstate is None:
        return _without_answer(error)
    message = server_message(error)
    parts = [f"{message} ({error.sqlstate})"]
    table = ".".join(filter(None, (error.diag.schema_name, error.diag.table_name)))
    if table:
        parts.append(f"table {table}")
    for word, name in (("constraint", violated_name(error)), ("type", error.diag.datatype_name)):
        if name and f'"{name}"' not in message:
            parts.append(f"{word} {name}" if word == "type" or error.diag.constraint_name else name)
    if copied := re.match(r"COPY ([^,]+), line \d+(?:, column ([^:,]+))?", (error.diag.context or "").split("\n")[0]):
        parts.append(f"COPY into {copied[1]}" + (f", column {copied[2]}" if copied[2] else ""))
    return ", ".join(parts)


def _without_answer(error: psycopg.Error) -> str:
    """Return what happened where no server answered: libpq's words, which hold no value; psycopg's may quote one."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return condition(error)
    lines = str(error).strip().splitlines()
    if isinstance(error, psycopg.OperationalError):
        return "the connection was lost" + (f": {lines[0].strip()}" if lines else "")
    return lines[0].strip() if lines else condition(error)


def described(error: BaseException) -> str:
    """Return one line about *error* that any log, table or history may hold.

    A server's error with side, objects, statement and the function that sent it; of any other error only its kind and
    place, because its text may quote anything.
    """
    if not isinstance(error, psycopg.Error):
        return f"{type(error).__name__} in {place(error, line=True) or 'a library'}"
    origin = origin_of(error)
    parts = [f"{origin.side}: {what_happened(error)}" if origin.side else what_happened(error)]
    if origin.statement:
        parts.append(f"statement {origin.statement}")
    if found := place(error):
        parts.append(f"in {found}")
    return ", ".join(parts)


def next_step(error: psycopg.Error) -> str:
    """Return what a person can do about *error*; '' when nothing is known beyond its text."""
    state = error.sqlstate or ""
    if is_lost(state):
        return "It is tried again by itself where a worker runs; check that the server runs and is not failing over."
    return _NEXT.get(state) or _NEXT.get(state[:2], "")


_NEXT = {
    "25006": "The endpoint is a reader, or a failover is under way: check that the plan names the writer's endpoint.",
    "42501": "The tool's role lacks a right: migrator doctor --only rights names it, docs/privileges.md lists all.",
    "53100": "The disk of the server is full: free space there; nothing was lost.",
    "53200": "The server is out of memory: give it more, or lower the plan's concurrency.",
    "53300": "All connections are in use: raise max_connections, or close idle sessions (pg_stat_activity).",
    "55P03": "Another session holds the lock: pg_blocking_pids() names it; try again when it has ended.",
    "57014": "The statement took too long or was cancelled: try again when the server is less busy.",
    "40": "Two transactions met: try again.",
    "53": "The server is out of a resource: see its log.",
    "0A": "The server does not know this feature: migrator provision --probe shows what Limitless lacks.",
    "3F": "An object is missing: was it dropped or renamed? migrator provision --verify compares both sides.",
    "42": "An object is missing or of another shape: migrator provision --verify compares both sides.",
    "22": "A value does not fit the other side's type: migrator provision --verify compares both sides.",
    "23": "A row violates a constraint: migrator validate names its key.",
    "58": "The server failed on its files: see its log.",
    "XX": "The server reports an internal error: see its log.",
}


def place(error: BaseException, *, line: bool = False) -> str:
    """Return the tool's own innermost function that *error* passed, for example "dataplane.mirror.apply.delete"."""
    found = ""
    for frame, number in walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(_ROOT) or path.is_relative_to(_ROOT / "migrator" / "db"):
            continue
        package, *names = path.relative_to(_ROOT).with_suffix("").parts
        names = names[1:] if names[:1] == ["_ops"] else names  # where the wheel carries workflows/
        if package in ("migrator", "workflows"):
            names = names if package == "migrator" else [package, *names]
            found = ".".join((*names, frame.f_code.co_name)) + (f":{number}" if line else "")
    return found
