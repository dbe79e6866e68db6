"""Decides and carries out shared fallbacks of reads to classic. The circuit breaker of one process is in shim."""
