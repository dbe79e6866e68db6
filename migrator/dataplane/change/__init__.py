"""Schema changes: bring a column, index, table, type, value or sequence to both sides while rows flow."""
