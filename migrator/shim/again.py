"""Whether a write that failed is worth another try."""

from __future__ import annotations

import psycopg

from migrator.errors import ClusterUnavailable, WritesClosed
from migrator.model.sqlstate import Fault
from migrator.shim.pool import fault
from migrator.shim.write import Write


def worth_another_try(write: Write, error: Exception) -> bool:
    """Return whether *write* certainly did not commit by *error*, and another try may work."""
    if isinstance(error, WritesClosed):
        return error.waited_s == 0  # closed after it began; a write that waited its limit raises
    if isinstance(error, ClusterUnavailable):
        return True
    return write.lost or (fault(error) is Fault.CONFLICT and error.__class__ is not psycopg.errors.LockNotAvailable)
