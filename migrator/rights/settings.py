"""Compares settings of sessions that change what an application gets. Pure.

A session gets a setting from its role, its database, or the configuration of the server: of Aurora the parameter group.
Limitless has no ALTER DATABASE, and a cluster's parameter group is not the other cluster's. So what a session of
classic gets by any of these ways, a session on Limitless gets by ALTER ROLE … SET, which provisioning writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from migrator.rights.catalog import Rights

MATTERS = (
    # which object a name means
    "search_path", "row_security",
    # how a value is written and read
    "DateStyle", "IntervalStyle", "TimeZone", "timezone_abbreviations", "extra_float_digits", "bytea_output",
    "array_nulls", "xmlbinary", "xmloption", "lc_monetary", "lc_numeric", "lc_time", "default_text_search_config",
    "standard_conforming_strings", "backslash_quote", "transform_null_equals", "quote_all_identifiers",
    "gin_fuzzy_search_limit",
    # what a transaction sees, may do and promises
    "default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable",
    "synchronous_commit",
    # what ends it
    "statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)  # fmt: skip
"""Compared also where neither role nor database sets them. lc_messages is left out: errors are judged by SQLSTATE. So
is client_encoding: a client names its own."""

_TIMED = re.compile(r"(\d+)\s*(ms|s|min|h|d)?")
_UNITS_MS = {None: 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_WORDS = {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off", "0": "off"}
_SWITCHES = frozenset(
    {"row_security", "array_nulls", "standard_conforming_strings", "transform_null_equals", "quote_all_identifiers",
     "default_transaction_read_only", "default_transaction_deferrable"}
)  # fmt: skip


def plain(name: str, value: str) -> str:
    """Return *value* so that equal ones look alike: "30s" is 30000, "true" is on."""
    text = value.strip().lower()
    timed = _TIMED.fullmatch(text)
    if name.endswith("_timeout") and timed:
        return str(int(timed[1]) * _UNITS_MS[timed[2]])
    return _WORDS.get(text, text) if name in _SWITCHES else text


def same(name: str, here: str | None, there: str | None) -> bool:
    """Return whether two known values are the same."""
    return here is not None and there is not None and plain(name, here) == plain(name, there)


def by_default(classic: Rights, limitless: Rights, role: str) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value on classic, value on Limitless) of what sessions of *role* get otherwise there, although
    neither classic's role nor its database sets it. Where a side does not know a value nothing is said."""
    own: Mapping[str, str] = classic.settings.get(role, {})
    there = limitless.settings.get(role, {})
    for name in MATTERS:
        here, other = classic.defaults.get(name), there.get(name, limitless.defaults.get(name))
        if name not in own and here is not None and other is not None and not same(name, here, other):
            yield name, here, other
