"""Who approves: how it is known who a person is, and whether what they said counts (docs/governance.md)."""
