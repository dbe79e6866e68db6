"""Temporal workflows and activities: sequence, waiting, messages. Judgements are made in migrator, in activities."""
