"""A small shop of many tenants, on Django."""

from shop.worker import app

__all__ = ["app"]
