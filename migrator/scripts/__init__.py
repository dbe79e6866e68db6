"""What do files of SQL hold: which statements, which way they lead, in which order? For audits and schema changes."""
