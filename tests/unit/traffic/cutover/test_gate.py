"""A tenant's gate: every blocker at once, and unknown is never clean."""

from __future__ import annotations

from dataclasses import replace

from migrator.model.blocker import Blocker
from migrator.model.facts import ReferenceFacts, TenantFacts
from migrator.model.phase import TenantState
from migrator.model.tenant import TenantId
from migrator.traffic.cutover.gate import (
    GateLimits,
    needs_validation,
    reference_verdict,
    tenant_verdict,
    wave_verdict,
)

LIMITS = GateLimits(max_lag_s=5.0, max_age_s=3600.0)
GOOD = TenantFacts(TenantId("a"), TenantState.MIRRORED, lag_s=0.1, clean_age_s=10.0, divergent=0)


def test_a_clean_mirrored_tenant_may_go() -> None:
    assert tenant_verdict(GOOD, LIMITS).go


def test_every_reason_is_told_at_once() -> None:
    bad = TenantFacts(
        TenantId("a"),
        TenantState.COPYING,
        lag_s=9.0,
        clean_age_s=None,
        divergent=None,
        fallbacks=("Limitless is unhealthy",),
    )

    blockers = tenant_verdict(bad, LIMITS).blockers

    assert blockers == (
        "tenant a is copying, not mirrored",
        "tenant a: its mirror partition lags 9.0 s (limit 5 s)",
        "tenant a was never validated",
        "tenant a has fallen back to classic: Limitless is unhealthy",
    )


def test_each_single_fault_blocks() -> None:
    faults = {
        "quarantined": {"state": TenantState.QUARANTINED, "quarantine": "22P05 in app.orders"},
        "published no position": {"lag_s": None},
        "divergent": {"divergent": 3},
        "ago": {"clean_age_s": 3601.0},
        "never": {"clean_age_s": None},
        "fallen back": {"fallbacks": ("x",)},
    }
    for word, change in faults.items():
        verdict = tenant_verdict(replace(GOOD, **change), LIMITS)  # type: ignore[arg-type]

        assert len(verdict.blockers) == 1 and word in verdict.blockers[0], (word, verdict)


def test_only_what_a_validation_can_cure_is_validated() -> None:
    assert needs_validation(replace(GOOD, clean_age_s=None), LIMITS)
    assert needs_validation(replace(GOOD, clean_age_s=4000.0), LIMITS)
    assert not needs_validation(GOOD, LIMITS)
    assert not needs_validation(replace(GOOD, state=TenantState.PENDING, clean_age_s=None), LIMITS)


def test_a_wave_names_who_is_ready_and_who_is_not() -> None:
    other = replace(GOOD, tenant_id=TenantId("b"), divergent=1)

    found = wave_verdict([GOOD, other], LIMITS)

    assert (found.ready, found.blocked) == (("a",), ("b",))
    assert not found.verdict.go


def test_a_journal_that_is_not_trusted_concerns_everybody() -> None:
    found = wave_verdict([GOOD], LIMITS, None, [Blocker("", "", "writes may have passed the journal")])

    assert (found.ready, found.blocked) == ((), ("a",))
    assert found.verdict.blockers == ("writes may have passed the journal",)


def test_the_reference_tables_concern_everybody() -> None:
    """Who has none needs no verdict about them; unknown is never clean."""
    clean = ReferenceFacts(clean_age_s=10.0, divergent=0)
    faults = {
        "divergent": replace(clean, divergent=2),
        "ago": replace(clean, clean_age_s=3601.0),
        "never": ReferenceFacts(None, None),
        "other schemas": ReferenceFacts(None, 0, outdated=True),
    }

    for reference in (None, clean):
        assert wave_verdict([GOOD], LIMITS, reference).ready == ("a",)
    assert not needs_validation(clean, LIMITS)
    for word, reference in faults.items():
        found = wave_verdict([GOOD], LIMITS, reference)

        assert (found.ready, found.blocked) == ((), ("a",))
        assert found.verdict == reference_verdict(reference, LIMITS)
        assert len(found.verdict.blockers) == 1 and word in found.verdict.blockers[0]
        assert needs_validation(reference, LIMITS)
