"""May a function's value change from row to row, or from statement to statement?

What the catalogs of PostgreSQL 15 to 18 say is in builtin_functions.tsv; here is only what they cannot say. An unknown
function counts as volatile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

from migrator.audit.catalog import Catalog

PER_STATEMENT = frozenset(
    [
        "now",
        "current_setting",
        "statement_timestamp",
        "transaction_timestamp",
        "current_user",
        "session_user",
        "current_schema",
        "current_schemas",
        "current_database",
        "inet_client_addr",
        "to_regclass",
        "version",
        "localtimestamp",
        "localtime",
        "current_date",
        "current_time",
        "current_timestamp",
    ]
)
"""Stable functions with no immutable variant, so that naming them is enough to lose single-shard optimisation."""

EXTENSIONS = {
    "crypt": "i",
    "digest": "i",
    "gen_random_bytes": "v",
    "gen_salt": "v",
    "hmac": "i",
    "show_trgm": "s",
    "similarity": "s",
    "uuid_generate_v1": "v",
    "uuid_generate_v1mc": "v",
    "uuid_generate_v3": "i",
    "uuid_generate_v4": "v",
    "uuid_generate_v5": "i",
    "uuid_nil": "i",
    "word_similarity": "s",
}
"""Of the usual extensions, for audits of files: a live database says which it has."""

CONSTRUCTS = frozenset(["coalesce", "greatest", "least", "nullif", "trim"])
"""Look like functions and are the grammar's; immutable."""

_OF_THE_NODE = ("pg_", "txid_")
"""Stable on one server, and another value on each node of Limitless: sessions, transactions, files, settings."""

_OF_THE_DATABASE = frozenset(
    [
        "pg_column_size",
        "pg_current_snapshot",
        "pg_get_serial_sequence",
        "pg_has_role",
        "pg_my_temp_schema",
        "pg_typeof",
        "txid_current_snapshot",
    ]
)
"""Named like those, and the same wherever the statement is asked about a value or a right."""

AGGREGATES = frozenset(
    [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "bool_and",
        "bool_or",
        "every",
        "bit_and",
        "bit_or",
        "bit_xor",
        "xmlagg",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
        "percentile_cont",
        "percentile_disc",
        "mode",
        "corr",
        "covar_pop",
        "covar_samp",
        "regr_slope",
        "any_value",
        "range_agg",
        "range_intersect_agg",
    ]
)


@cache
def catalog_volatility() -> dict[str, str]:
    """Return the volatility of PostgreSQL's own functions by name; of overloads, the one that promises least."""
    text = resources.files("migrator.audit.shardkey").joinpath("builtin_functions.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())


def _builtin(name: str) -> str:
    if name in CONSTRUCTS:
        return "i"
    found = catalog_volatility().get(name) or EXTENSIONS.get(name, "v")
    if found == "s" and name.startswith(_OF_THE_NODE) and name not in _OF_THE_DATABASE:
        return "v"
    return found


def known(catalog: Catalog) -> Callable[[str | None, str], str]:
    """Return the volatility lookup of a database: user functions first, then extensions, then the server's own."""
    own: dict[str, str] = {}
    worst = "isv"
    for function in catalog.functions:
        before = own.get(function.name, "i")
        own[function.name] = max(before, function.volatility, key=worst.index)

    def volatility(schema: str | None, name: str) -> str:
        if name in own:
            return own[name]
        if name in catalog.extension_volatility:
            return catalog.extension_volatility[name]
        return "i" if name in AGGREGATES else _builtin(name)

    return volatility
