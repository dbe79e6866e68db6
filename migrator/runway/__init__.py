"""How long classic's writer lasts, and what this tool costs it: measured, forecast, judged against the calendar."""
