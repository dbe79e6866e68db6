"""One picture of pg_catalog for whoever plans, provisions and changes: values, and the statements that read them."""
