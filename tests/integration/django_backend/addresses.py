"""Views for tests of requests. The tenant is in the query: ?tenant=t1."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import path

from migrator.django import current, reads
from tests.integration.django_backend.models import Note
from tests.integration.django_backend.steps import side


def tenant_of(request: Any) -> str | None:
    found: str | None = request.GET.get("tenant")
    return found


async def tenant_of_async(request: Any) -> str | None:
    return tenant_of(request)


def told() -> dict[str, Any]:
    return {"tenant": current().tenant, "side": side(), "atomic": connection.in_atomic_block}


def plain(request: Any) -> Any:
    if request.method == "POST":
        Note.objects.create(tenant_id=current().tenant, id=int(request.GET["id"]), body="posted")
        if request.GET.get("fail"):
            raise ZeroDivisionError
    return JsonResponse(told())


@reads
def read(request: Any) -> Any:
    return JsonResponse(told())


@reads
async def read_async(request: Any) -> Any:
    return JsonResponse(await sync_to_async(told)())


class _Late(SimpleTemplateResponse):  # type: ignore[misc, unused-ignore] # of Django's own class
    """Asks when it is rendered."""

    @property
    def rendered_content(self) -> str:
        return f"{current().tenant} {side()}"


@reads
def late(request: Any) -> Any:
    return _Late("none.html")


@reads
def stream(request: Any) -> Any:
    def parts() -> Iterator[str]:
        for _ in range(2):
            yield f"{current().tenant} {side()};"

    return StreamingHttpResponse(parts())


@reads
async def stream_async(request: Any) -> Any:
    async def parts() -> AsyncIterator[str]:
        for _ in range(2):
            yield f"{current().tenant} {await sync_to_async(side)()};"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("plain", plain),
    path("read", read),
    path("read_async", read_async),
    path("late", late),
    path("stream", stream),
    path("stream_async", stream_async),
]
