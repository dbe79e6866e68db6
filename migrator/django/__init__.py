"""Django on the shim: a database backend, the tenant of a request, routed reads.

    DATABASES = {"default": {
        "ENGINE": "migrator.django.backend",             # in the place of django.db.backends.postgresql
        "NAME": ..., "HOST": ..., "USER": ...,           # classic, as before
        "MIGRATOR": {"limitless": LIMITLESS_DSN, "name": "web"},
    }}

    with tenant("7"):
        with transaction.atomic():                       # acknowledged when the block is left
            order.save()
        with reading():                                  # each statement goes where the route of tenant 7 says
            orders = list(Order.objects.filter(tenant_id=7))

`docs/django.md` says how each habit of Django's fares. Importing this module imports no Django settings.
"""

from migrator.django.retry import retried
from migrator.django.scope import Scope, acknowledging, current, no_tenant, reading, session, tenant
from migrator.django.shims import close_shims, shim_of, use_shim
from migrator.django.views import reads

__all__ = [
    "Scope",
    "acknowledging",
    "close_shims",
    "current",
    "no_tenant",
    "reading",
    "reads",
    "retried",
    "session",
    "shim_of",
    "tenant",
    "use_shim",
]
