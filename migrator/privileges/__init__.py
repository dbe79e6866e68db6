"""Which rights the tool's own roles need, on either side: one table, of which checks, statements and docs are made."""
