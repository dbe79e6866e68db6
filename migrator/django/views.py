"""A view that only reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from migrator.django.options import ENGINE
from migrator.django.responses import carried
from migrator.django.scope import current, reading

F = TypeVar("F", bound=Callable[..., Any])


def reads(view: F) -> F:
    """Have a view read where the tenant's route says, sync or async; the middleware has bound the tenant.

    It is taken out of ATOMIC_REQUESTS, whose transaction writes and so would answer everything from the writer.

    Raises (when the view is called):
        UsageError: no tenant is bound.
    """
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def read_async(*args: Any, **options: Any) -> Any:
            with reading():
                return carried(await view(*args, **options), current())

        made: Any = read_async
    else:

        @functools.wraps(view)
        def read(*args: Any, **options: Any) -> Any:
            with reading():
                return carried(view(*args, **options), current())

        made = read
    from django.conf import settings

    ours = {alias for alias, database in settings.DATABASES.items() if database.get("ENGINE") == ENGINE}
    made._non_atomic_requests = ours | set(getattr(view, "_non_atomic_requests", ()))
    return made  # type: ignore[no-any-return]  # Django has no types
