"""Load tests against real servers."""
