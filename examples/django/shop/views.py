"""Orders are placed and read. A client sends an order again until it is answered: it has a number of its own."""

import json

from django.db import transaction
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from migrator.django import reads, retried
from migrator.errors import CommitUnknown, WritesClosed
from migrator.shim import CommittedUnconfirmed
from shop.models import Line, Order
from shop.tasks import bill


@require_POST
def place(request: HttpRequest, tenant: int) -> HttpResponse:
    """Place an order: {"number": 7, "country": "AT", "lines": [["pen", 2]]}."""
    body = json.loads(request.body)
    try:
        made = _placed(tenant, body)
    except (CommitUnknown, CommittedUnconfirmed, WritesClosed) as error:
        # Nothing is certain, or a moment too early: the client sends the same order again.
        return JsonResponse({"again": type(error).__name__}, status=503)
    return JsonResponse({"number": body["number"], "made": made}, status=201 if made else 200)


@retried
def _placed(tenant: int, body: dict) -> bool:
    order, made = Order.objects.get_or_create(
        tenant_id=tenant, number=body["number"], defaults={"country_id": body["country"]}
    )
    if made:
        Line.objects.bulk_create(
            Line(tenant_id=tenant, order=order, article=article, pieces=pieces) for article, pieces in body["lines"]
        )
    # Also of an order that was there: the first answer may have been lost before the task was sent.
    transaction.on_commit(lambda: bill.delay(tenant, body["number"]))
    return made


@require_GET
@reads
def order(request: HttpRequest, tenant: int, number: int) -> HttpResponse:
    """Return an order with its lines."""
    found = Order.objects.select_related("country").filter(tenant_id=tenant, number=number).first()
    if found is None:
        return JsonResponse({}, status=404)
    lines = Line.objects.filter(tenant_id=tenant, order=found).order_by("article")
    return JsonResponse({"country": found.country.name, "lines": [[line.article, line.pieces] for line in lines]})


@require_GET
@reads
def summary(request: HttpRequest, tenant: int) -> HttpResponse:
    """Return how much was ordered."""
    mine = Line.objects.filter(tenant_id=tenant)
    return JsonResponse(mine.aggregate(orders=Count("order", distinct=True), pieces=Sum("pieces")))
