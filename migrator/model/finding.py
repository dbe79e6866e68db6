"""Names the audit's findings, for the audit, the plan's acknowledgements and provisioning alike."""

from __future__ import annotations

import hashlib


def finding_id(rule_id: str, obj: str) -> str:
    """Return an id that stays the same from run to run: rule and object, shortened by a digest when long."""
    text = obj if len(obj) <= 100 else f"{obj[:80]}~{hashlib.blake2s(obj.encode(), digest_size=4).hexdigest()}"
    return f"{rule_id}:{text}"
