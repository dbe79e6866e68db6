"""A plan of its own for every test."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def plan() -> str:
    return f"p{uuid.uuid4().hex[:8]}"
