"""Changes routes, the switch, fallbacks and the write mode; waits for confirmations; promotes reads."""
