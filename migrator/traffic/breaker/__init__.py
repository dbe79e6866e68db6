"""Is Limitless ill, and is it well again? The shared half; the per-process half is in shim."""
