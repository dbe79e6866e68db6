"""The application of the tests."""

from __future__ import annotations

from django.apps import AppConfig


class Config(AppConfig):
    """Tables of tests.integration.traffic.world."""

    name = "tests.integration.django_backend"
    label = "app"
