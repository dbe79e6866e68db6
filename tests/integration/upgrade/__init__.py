"""From a control schema that an earlier version filled to this one, on real servers."""
