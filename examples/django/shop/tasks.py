"""What is done behind a request. Each task binds its tenant, and can be done twice."""

from celery import shared_task
from django.db import Error
from django.db.models import Sum

from migrator.django import retried, tenant
from migrator.errors import CommitUnknown, WritesClosed
from migrator.shim import CommittedUnconfirmed
from shop.models import Invoice, Line, Order


@shared_task(
    autoretry_for=(Error, CommitUnknown, CommittedUnconfirmed, WritesClosed), retry_backoff=0.2, max_retries=20
)
def bill(tenant_id: int, number: int) -> None:
    """Make the invoice of an order, once."""
    with tenant(tenant_id):
        _billed(tenant_id, number)


@retried
def _billed(tenant_id: int, number: int) -> None:
    order = Order.objects.get(tenant_id=tenant_id, number=number)
    pieces = Line.objects.filter(tenant_id=tenant_id, order=order).aggregate(n=Sum("pieces"))["n"]
    Invoice.objects.get_or_create(tenant_id=tenant_id, order=order, defaults={"pieces": pieces or 0})
