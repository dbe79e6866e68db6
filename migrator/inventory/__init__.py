"""Compares what the migrated schemas hold with what is captured, planned and on Limitless."""
