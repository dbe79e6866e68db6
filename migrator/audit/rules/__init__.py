"""The audit's rules: what Limitless refuses, makes costly or loses, and where the evidence shows it."""
