"""The application for INSTALLED_APPS: checks of settings, and `manage.py migrator_check`."""

from __future__ import annotations

from django.apps import AppConfig


class MigratorConfig(AppConfig):
    """`migrator.django`."""

    name = "migrator.django"
    label = "migrator_django"
    verbose_name = "migrator"

    def ready(self) -> None:
        """Register the system checks."""
        from migrator.django import checks  # noqa: F401 - registers on import
