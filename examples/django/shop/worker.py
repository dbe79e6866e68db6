"""Celery for the shop: `celery -A shop worker`."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["shop"])


@worker_process_shutdown.connect
def _leave(**_: Any) -> None:
    """Take the process off the register: a pool's processes do not come to Python's own end."""
    from migrator.django import close_shims

    close_shims()
