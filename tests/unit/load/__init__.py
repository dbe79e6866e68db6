"""The pure parts of a load test."""
