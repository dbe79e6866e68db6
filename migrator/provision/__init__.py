"""Phase 2: the Limitless cluster, its schema and its rights."""

from migrator.provision.apply import (
    ProvisionResult,
    actions,
    check,
    empty,
    finalize,
    finalize_actions,
    provision,
    undo,
    undo_actions,
    verify,
)

__all__ = [
    "ProvisionResult",
    "actions",
    "check",
    "empty",
    "finalize",
    "finalize_actions",
    "provision",
    "undo",
    "undo_actions",
    "verify",
]
