"""One picture of pg_catalog for plan, provisioning and schema changes: values, and the statements that read them."""
