"""Phase 4: where reads and writes go: routes, cutover by waves, the circuit breaker, and the way back at 3 a.m."""
