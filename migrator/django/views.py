"""A view that only reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from migrator.django.scope import reading

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
                return await view(*args, **options)

        made: Any = read_async
    else:

        @functools.wraps(view)
        def read(*args: Any, **options: Any) -> Any:
            with reading():
                return view(*args, **options)

        made = read
    from django.conf import settings

    ours = {alias for alias, database in settings.DATABASES.items() if _is_ours(database)}
    made._non_atomic_requests = ours | set(getattr(view, "_non_atomic_requests", ()))
    return made  # type: ignore[no-any-return]


def _is_ours(database: dict[str, Any]) -> bool:
    return bool(database.get("ENGINE") == "migrator.django.backend")
