-- The deployment in the middle of the rehearsal's cutover, for `migrator schema apply`.
ALTER TABLE app.orders
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN weight double precision NOT NULL DEFAULT 0.1;
CREATE INDEX orders_by_revision ON app.orders (tenant_id, revision);
