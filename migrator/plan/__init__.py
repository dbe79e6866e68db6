"""Outside text becomes values: the plan file."""
