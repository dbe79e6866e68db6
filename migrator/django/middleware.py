"""Binds the tenant of each request, sync or async.

MIDDLEWARE = [..., "migrator.django.middleware.TenantMiddleware"]   # behind what the function needs
MIGRATOR_TENANT_OF_REQUEST = "shop.tenants.of_request"              # returns the tenant, or None for none
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from migrator.django.responses import carried
from migrator.django.scope import current, no_tenant, tenant

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
            return carried(self._get_response(request), current())

    async def _call_async(self, request: Any) -> Any:
        found = self._tenant_of(request)
        if isinstance(found, Awaitable):
            found = await found
        with self._bound(found):
            return carried(await self._get_response(request), current())

    @staticmethod
    def _bound(value: Any) -> Any:
        return no_tenant() if value is None else tenant(value)
