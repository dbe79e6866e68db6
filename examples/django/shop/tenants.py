"""Whose request it is: the shop has one address for each tenant."""

from django.http import HttpRequest


def of_request(request: HttpRequest) -> str | None:
    """Return the tenant of /t/<tenant>/..., None for other addresses."""
    parts = request.path_info.split("/", 3)
    return parts[2] if len(parts) > 3 and parts[1] == "t" and parts[2].isdigit() else None
