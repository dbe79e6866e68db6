"""Asks the planner of Limitless for every statement, and holds the audit's verdicts against its answers."""
