"""The settings of every session of the tool, and of the shim's transactions.

A role, a database and a configuration file may set anything; nothing here rests on what they say. The list is one for
all: `everything` for sessions of the tool; `OWN_STATEMENTS` and `durable` for what the shim does inside sessions that
belong to an application, for the length of one transaction, as nothing may outlive it there.

A server is asked which settings it knows, nothing is guessed from its version. What the role may not set is left alone
and named by `refused`. Names of functions are qualified: search_path is one of the settings that may be hostile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Right(Enum):
    """Which roles may set something in their own session."""

    EVERYBODY = "everybody"
    GRANTED = "granted"  # superusers, and roles with GRANT SET ON PARAMETER


@dataclass(frozen=True, slots=True)
class Pin:
    """One setting.

    Attributes:
        keep: a value that is left as it is, because it promises more than *value*.
    """

    name: str
    value: str
    right: Right = Right.EVERYBODY
    keep: str = ""


def _all(value: str, *names: str) -> tuple[Pin, ...]:
    return tuple(Pin(name, value) for name in names)


IDENTITY = (Pin("role", "none"),)  # the connection string says who we are; ALTER DATABASE … SET role would change it

DURABILITY = (
    # What was committed is relied on elsewhere: positions, leases, holds, routes, confirmations. Weaker values forget
    # it in a crash (off) or a failover (local, remote_write), after it was acted on.
    Pin("synchronous_commit", "on", keep="remote_apply"),
)

TIMEOUTS = _all(
    "0",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "client_connection_check_interval",
    "tcp_user_timeout",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
)
"""None by default. Code that needs a bound sets it, and says why there."""

TRANSACTIONS = (
    Pin("default_transaction_isolation", "read committed"),
    *_all("off", "default_transaction_read_only", "default_transaction_deferrable"),
)

NAMES = (
    Pin("search_path", "pg_catalog"),
    # Objects that the tool creates go where the plan says, and work as PostgreSQL documents it.
    Pin("default_table_access_method", "heap"),
    *_all("", "default_tablespace", "temp_tablespaces", "createrole_self_grant", "restrict_nonsystem_relation_kind"),
    Pin("check_function_bodies", "on"),
)

ROWS = (
    # Whether all rows are seen. A hidden row must be an error, never a missing row.
    Pin("row_security", "off"),
    Pin("gin_fuzzy_search_limit", "0"),  # any other value returns some of the rows
    Pin("session_replication_role", "origin", Right.GRANTED),
    Pin("zero_damaged_pages", "off", Right.GRANTED),
    Pin("ignore_checksum_failure", "off", Right.GRANTED),
)

VALUES = (
    # How a value is written and read, as text or in a literal.
    Pin("client_encoding", "UTF8"),
    Pin("DateStyle", "ISO, YMD"),
    Pin("IntervalStyle", "postgres"),
    Pin("TimeZone", "UTC"),
    Pin("timezone_abbreviations", "Default"),
    Pin("extra_float_digits", "1"),  # shortest text that reads back as the same float
    Pin("bytea_output", "hex"),
    *_all("C", "lc_monetary", "lc_numeric", "lc_time"),
    Pin("xmloption", "content"),
    Pin("xmlbinary", "base64"),
    Pin("array_nulls", "on"),  # off reads NULL in an array as the word
    Pin("standard_conforming_strings", "on"),
    Pin("escape_string_warning", "on"),
    Pin("backslash_quote", "safe_encoding"),
    Pin("quote_all_identifiers", "off"),  # definitions of both sides are compared as text
    Pin("transform_null_equals", "off"),
    Pin("default_text_search_config", "pg_catalog.simple"),
)

CONDUCT = (
    # What an error does, and what pg_stat_activity shows.
    Pin("exit_on_error", "off"),
    Pin("client_min_messages", "notice"),
    Pin("stats_fetch_consistency", "cache"),
    Pin("temp_file_limit", "-1", Right.GRANTED),
    Pin("deadlock_timeout", "1s", Right.GRANTED),
    Pin("commit_delay", "0", Right.GRANTED),
    Pin("track_activities", "on", Right.GRANTED),
    Pin("event_triggers", "on", Right.GRANTED),
)

PLANNER = (
    # A plan is never wrong, but without indexes a query of the journal takes as long as the journal is.
    *_all(
        "on",
        *(
            f"enable_{name}"
            for name in (
                "async_append", "bitmapscan", "distinct_reordering", "eager_aggregate", "gathermerge",
                "group_by_reordering", "hashagg", "hashjoin", "incremental_sort", "indexonlyscan", "indexscan",
                "material", "memoize", "mergejoin", "nestloop", "parallel_append", "parallel_hash",
                "partition_pruning", "presorted_aggregate", "self_join_elimination", "seqscan", "sort", "tidscan",
            )
        ),
    ),
    *_all("off", "enable_partitionwise_aggregate", "enable_partitionwise_join", "force_parallel_mode"),
    Pin("debug_parallel_query", "off"),
    # Up to PostgreSQL 17 a plan that is told to avoid something costs 10^10 on paper, so that every query of a mirror
    # would be compiled: seconds for a few dozen tables, which cannot be cancelled.
    Pin("jit", "off"),
    # Where all plans cost the same, or nothing, the tables of one query are joined row by row, whole.
    Pin("seq_page_cost", "1"),
    Pin("random_page_cost", "4"),
    Pin("cpu_tuple_cost", "0.01"),
    Pin("cpu_index_tuple_cost", "0.005"),
    Pin("cpu_operator_cost", "0.0025"),
    Pin("parallel_setup_cost", "1000"),
    Pin("parallel_tuple_cost", "0.1"),
    Pin("effective_cache_size", "4GB"),
    Pin("cursor_tuple_fraction", "0.1"),
    Pin("recursive_worktable_factor", "10"),
    Pin("plan_cache_mode", "auto"),
    Pin("constraint_exclusion", "partition"),
    # A query of ten tables whose joins may not be put into another order reads them whole.
    *_all("8", "from_collapse_limit", "join_collapse_limit"),
    Pin("geqo", "on"),
    Pin("geqo_threshold", "12"),
)  # fmt: skip

MEMORY = (
    # What 10,000 tenants need to be sorted and joined without files; with 64 kB `status` takes longer than it may.
    Pin("work_mem", "16MB"),
    Pin("hash_mem_multiplier", "2"),
)

EVERYTHING: tuple[Pin, ...] = (
    *IDENTITY, *DURABILITY, *TIMEOUTS, *TRANSACTIONS, *NAMES, *ROWS, *VALUES, *CONDUCT, *PLANNER, *MEMORY
)  # fmt: skip
"""Of every session of the tool, on both sides. The first is the role: it decides what may be set."""


def everything(instead: Mapping[str, str] | None = None) -> str:
    """Return the statement that sets all of them for the session; its rows are (name, value in force).

    One round trip. A value of NULL stands for a setting that this server does not know. Those that have the wanted
    value already are set too: a reload of the server's configuration changes what no session has set.

    Args:
        instead: values for some of the names, for example a timeout.
    """
    wanted = {**{pin.name: pin.value for pin in EVERYTHING}, **(instead or {})}
    rows = (
        f"('{pin.name}', '{wanted[pin.name]}', '{pin.keep}', {str(pin.right is Right.GRANTED).lower()})"
        for pin in EVERYTHING
    )
    return _SET_ALL.format(rows=", ".join(rows))


_SET_ALL = """
SELECT p.name,
       CASE WHEN pg_catalog.current_setting(p.name, true) IS NULL THEN NULL
            WHEN p.granted AND NOT pg_catalog.has_parameter_privilege(current_user, p.name, 'SET')
            THEN pg_catalog.current_setting(p.name)
            WHEN pg_catalog.texteq(pg_catalog.current_setting(p.name), p.keep)
            THEN pg_catalog.set_config(p.name, p.keep, false)
            ELSE pg_catalog.set_config(p.name, p.value, false)
        END
  FROM (VALUES {rows}) AS p (name, value, keep, granted) /* migrator */
"""


SCHEMA_VERSION = 3
"""Of the tool's own tables, as this code reads and writes them (migrator.control.install)."""

INTRODUCTION = f"SELECT 'migrator.schema', pg_catalog.set_config('migrator.schema', '{SCHEMA_VERSION}', false)"
"""Says that in every session of the tool: workers of an earlier version are refused by classic."""


MATTERS = tuple(pin.name for pin in ROWS if pin.right is Right.GRANTED)
"""What the tool's role may not be able to set, and must not find otherwise: the rest costs time, not rows."""


def refused(rows: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return what of `MATTERS` is not as it must be, for example "session_replication_role = replica".

    *rows* are names and values in force, as those of `everything`; None stands for a setting the server does not know.
    """
    granted = {pin.name: pin.value for pin in EVERYTHING if pin.name in MATTERS}
    return [f"{name} = {value}" for name, value in rows if value is not None and granted.get(name, value) != value]


OWN_STATEMENTS = """
SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
SET LOCAL search_path = pg_catalog;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
SET LOCAL array_nulls = on;
"""
"""Goes before a statement of the shim in the same message, so that both are one transaction. What changes those
statements and no more, as some run many times a second."""


def durable() -> str:
    """Return the expression that makes the transaction in which it is evaluated survive what `DURABILITY` says."""
    (pin,) = DURABILITY
    return (
        f"CASE WHEN pg_catalog.texteq(pg_catalog.current_setting('{pin.name}'), '{pin.keep}') THEN '{pin.keep}'"
        f" ELSE pg_catalog.set_config('{pin.name}', '{pin.value}', true) END"
    )
