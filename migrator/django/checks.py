"""System checks: `manage.py check` says what of the settings would not work."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from migrator.django.findings import Finding, Severity
from migrator.django.settings_findings import Project, settings_findings

_LEVELS = {Severity.ERROR: checks.ERROR, Severity.WARNING: checks.WARNING, Severity.INFO: checks.INFO}


def project() -> Project:
    """Return the settings of this project."""
    return Project(
        databases=settings.DATABASES,
        middleware=tuple(settings.MIDDLEWARE),
        of_request=_of_request(),
        session_engine=settings.SESSION_ENGINE if "django.contrib.sessions" in settings.INSTALLED_APPS else "",
        caches=settings.CACHES,
    )


def _of_request() -> str:
    where = getattr(settings, "MIGRATOR_TENANT_OF_REQUEST", None)
    if not where:
        return "it is missing"
    if callable(where):
        return ""
    try:
        found = import_string(where)
    except ImportError as error:
        return f"it cannot be imported: {error}"
    return "" if callable(found) else f"{where} is no function"


@checks.register("migrator")
def check_settings(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Return what is found, as Django's messages."""
    return [_message(finding) for finding in settings_findings(project())]


def _message(finding: Finding) -> checks.CheckMessage:
    return checks.CheckMessage(
        _LEVELS[finding.severity], finding.text, hint=finding.hint or None, obj=finding.subject, id=finding.id
    )
