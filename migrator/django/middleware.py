"""Binds the tenant of each request, sync or async.

MIDDLEWARE = [..., "migrator.django.middleware.TenantMiddleware"]   # behind what the function needs
MIGRATOR_TENANT_OF_REQUEST = "shop.tenants.of_request"              # returns the tenant, or None for none
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from migrator.django.scope import Scope, bound, current, no_tenant, tenant

SETTING = "MIGRATOR_TENANT_OF_REQUEST"


class TenantMiddleware:
    """Asks the application's function for the tenant, which may be a coroutine function where views are async."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        where = getattr(settings, SETTING, None)
        if not where:
            raise ImproperlyConfigured(f'{SETTING} is missing: "module.function" that returns the tenant of a request')
        try:
            self._tenant_of: Callable[[Any], Any] = where if callable(where) else import_string(where)
        except ImportError as error:
            raise ImproperlyConfigured(f"{SETTING} names what cannot be imported: {error}") from error
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        elif inspect.iscoroutinefunction(self._tenant_of):
            raise ImproperlyConfigured(f"{SETTING} names a coroutine function, and the middleware behind is not async")

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._call_async(request)
        with self._bound(self._tenant_of(request)):
            response = self._get_response(request)
            if getattr(response, "streaming", False):
                response.streaming_content = _within(current(), response.streaming_content)
            return response

    async def _call_async(self, request: Any) -> Any:
        found = self._tenant_of(request)
        if isinstance(found, Awaitable):
            found = await found
        with self._bound(found):
            response = await self._get_response(request)
            if getattr(response, "streaming", False):
                content = response.streaming_content
                within = _within_async if hasattr(content, "__aiter__") else _within
                response.streaming_content = within(current(), content)
            return response

    @staticmethod
    def _bound(value: Any) -> Any:
        return no_tenant() if value is None else tenant(value)


def _within(scope: Scope, content: Any) -> Iterator[Any]:
    """Yield *content*, which is made when the middleware has been left, as if it had not been."""
    parts, end = iter(content), object()
    while True:
        with bound(scope):
            part = next(parts, end)
        if part is end:
            return
        yield part


async def _within_async(scope: Scope, content: Any) -> AsyncIterator[Any]:
    parts = content.__aiter__()
    while True:
        with bound(scope):
            try:
                part = await parts.__anext__()
            except StopAsyncIteration:
                return
        yield part
