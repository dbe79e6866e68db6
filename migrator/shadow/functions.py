"""What may calling a function do, and is its result the same on both sides? Pure; judged by name, on the catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from migrator.audit.catalog import Catalog, Function
from migrator.audit.shardkey.volatility import known

_LASTS = re.compile(
    r"nextval|setval|pg_notify|set_config|dblink\w*|lo_\w+|lowrite|pg_(?:try_)?advisory_\w+|pg_sleep\w*"
    r"|pg_(?:terminate|cancel)_backend|pg_read_\w+|pg_ls_\w+|pg_stat_file|pg_file_\w+|pg_logical_\w+|pg_export_snapshot"
    r"|pg_reload_conf|pg_switch_wal|pg_promote|pg_create_\w+|pg_drop_\w+|pg_stat_\w*reset\w*|currval|lastval"
    r"|query_to_xml\w*|cursor_to_xml\w*|table_to_xml\w*|schema_to_xml\w*|database_to_xml\w*|ts_stat|http\w*|aws_\w+"
)
"""Functions whose effect outlives a transaction that is rolled back, leaves the database, depends on what its session
did before, or that run a text."""

_HARMLESS = frozenset(
    re.findall(
        r"\w+",
        "random random_normal gen_random_uuid uuidv4 uuidv7 uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 "
        "gen_random_bytes gen_salt clock_timestamp statement_timestamp timeofday pg_backend_pid txid_current_snapshot "
        "pg_current_snapshot inet_client_addr inet_client_port inet_server_addr inet_server_port version",
    )
)
"""Volatile, or another value on each server, and nothing but a value."""

_PER_CALL = frozenset(
    re.findall(
        r"\w+",
        "now clock_timestamp statement_timestamp transaction_timestamp localtimestamp localtime current_timestamp "
        "current_date current_time current_user session_user current_role user current_schema current_schemas "
        "current_database current_catalog current_setting age timeofday version pg_typeof pg_column_size "
        "pg_relation_size pg_total_relation_size pg_size_pretty inet_client_addr inet_server_addr to_regclass",
    )
)
"""Stable, and another value on the other side all the same: a clock, a session, a server."""

_CALLED = re.compile(r'(?:([A-Za-z_]\w*)|"((?:[^"]|"")+)")\s*\(')
_BARE = re.compile(r"\b(?:current_(?:timestamp|date|time|user)|localtime(?:stamp)?|session_user)\b", re.IGNORECASE)
_RUNS_TEXT = re.compile(r"\bexecute\b", re.IGNORECASE)
_READABLE = ("sql", "plpgsql")


@dataclass(frozen=True)
class Functions:
    """The functions of a database."""

    catalog: Catalog

    @cached_property
    def _own(self) -> Mapping[str, tuple[Function, ...]]:
        found: dict[str, tuple[Function, ...]] = {}
        for function in self.catalog.functions:
            found[function.name] = (*found.get(function.name, ()), function)
        return found

    def refusal(self, schema: str | None, name: str) -> str:
        """Return why a statement that calls this may not be repeated; '' when it may."""
        return self._refusal(schema, name, ())

    def _refusal(self, schema: str | None, name: str, above: tuple[str, ...]) -> str:
        if _LASTS.fullmatch(name):
            return f"calls {name}, whose effect a rollback does not undo, or which leaves the database"
        if name in self._own:
            return self._own_refusal(name, above)
        if name in _HARMLESS:
            return ""
        if known(self.catalog)(schema, name) == "v":
            return f"calls {name}, which is volatile: what it does is not known"
        return ""

    def _own_refusal(self, name: str, above: tuple[str, ...]) -> str:
        for function in self._own[name]:
            if function.kind == "a":
                continue  # an aggregate; its functions are immutable in all but made-up cases
            if function.volatility == "v":
                return f"calls {name}, which is volatile: what it does is not known"
            if function.language not in _READABLE:
                return f"calls {name}, whose language ({function.language}) is not read here"
            if _RUNS_TEXT.search(function.body):
                return f"calls {name}, which runs a text"
            for called in self._called(function.body):
                if called in above or called == name:
                    continue
                if _LASTS.fullmatch(called) or called in self._own:
                    why = self._refusal(None, called, (*above, name))
                    if why:
                        return f"calls {name}, which {why}"
        return ""

    def differs(self, schema: str | None, name: str) -> bool:
        """Return whether two sides may give different values for the same rows."""
        if name in _PER_CALL or name in _HARMLESS:
            return True
        if name in self._own:
            bodies = [function.body for function in self._own[name]]
            return any(
                _BARE.search(body) or any(c in _PER_CALL or c in _HARMLESS for c in self._called(body))
                for body in bodies
            )
        return known(self.catalog)(schema, name) == "v"

    def _called(self, body: str) -> list[str]:
        return [quoted.replace('""', '"') if quoted else bare.lower() for bare, quoted in _CALLED.findall(body)]
