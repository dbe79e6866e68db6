"""The rehearsal: demo data, traffic with a ledger, faults, and the independent proof."""
