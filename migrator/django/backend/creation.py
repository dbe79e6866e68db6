"""Databases of Django's test runner: they are a test's own, made by migrations, and nothing in them is routed."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.creation import DatabaseCreation as PostgreSQLCreation

from migrator.django.options import DIRECT


class DatabaseCreation(PostgreSQLCreation):
    """Django's own, on an alias that talks to the test's database directly. migrator.django.use_shim routes there."""

    def create_test_db(self, *args: Any, **options: Any) -> Any:
        self.connection.close()
        self.connection.settings_dict[DIRECT] = True  # shared by the wrappers of all threads
        return super().create_test_db(*args, **options)

    def set_as_test_mirror(self, primary_settings_dict: Any) -> None:
        self.connection.close()
        own = self.connection.settings_dict
        own[DIRECT] = True
        own.update({key: primary_settings_dict[key] for key in ("HOST", "PORT", "USER", "PASSWORD", "OPTIONS")})
        super().set_as_test_mirror(primary_settings_dict)

    def setup_worker_connection(self, _worker_id: Any) -> None:
        self.connection.settings_dict[DIRECT] = True  # a worker that was spawned read the settings anew
        super().setup_worker_connection(_worker_id)

    def destroy_test_db(self, *args: Any, **options: Any) -> None:
        super().destroy_test_db(*args, **options)
        if options.get("suffix") is None:
            self.connection.settings_dict.pop(DIRECT, None)
