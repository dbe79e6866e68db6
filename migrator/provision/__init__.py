"""Phase 2: what must exist on Limitless?"""

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
