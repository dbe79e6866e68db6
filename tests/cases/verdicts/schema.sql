-- The schema behind statements.sql: a multi-tenant shop, sharded by tenant_id.
CREATE EXTENSION pg_trgm;

CREATE TABLE accounts (tenant_id uuid PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE, plan_code text);
CREATE TABLE users (
    tenant_id uuid NOT NULL, id bigserial, email text NOT NULL, manager_id bigint, country_code char(2),
    created_at timestamptz DEFAULT now(), PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, email)
);
CREATE TABLE orders (
    tenant_id uuid NOT NULL, id bigserial, user_id bigint, state text, total numeric, placed_at timestamptz,
    parent_tenant_id uuid, PRIMARY KEY (tenant_id, id)
);
CREATE TABLE invoices (
    tenant_id uuid NOT NULL DEFAULT gen_random_uuid(), id bigint, order_id bigint, amount numeric,
    PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, order_id)
);
CREATE TABLE order_items (id bigserial PRIMARY KEY, order_id bigint NOT NULL, sku text, quantity int);
CREATE TABLE notes (tenant_id varchar(36) NOT NULL, id bigint, body text, PRIMARY KEY (tenant_id, id));
CREATE TABLE documents (tenant_id uuid NOT NULL, id bigint, title text, PRIMARY KEY (tenant_id, id));
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_documents ON documents USING (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE TABLE drafts (tenant_id uuid NOT NULL, id bigint, shared boolean, PRIMARY KEY (tenant_id, id));
ALTER TABLE drafts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_drafts ON drafts USING (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY shared_drafts ON drafts USING (shared);

CREATE TABLE countries (code char(2) PRIMARY KEY, name text, currency text);
CREATE TABLE plans (code text PRIMARY KEY, price numeric);
CREATE TABLE job_queue (id bigserial PRIMARY KEY, kind text, payload jsonb, taken_at timestamptz);

CREATE VIEW all_orders AS SELECT o.tenant_id, o.id, o.total, u.email
    FROM orders o JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id;
CREATE VIEW loose_orders AS SELECT o.tenant_id, o.id, u.email FROM orders o JOIN users u ON u.id = o.user_id;
CREATE VIEW my_orders AS SELECT * FROM orders WHERE tenant_id = current_setting('app.tenant_id')::uuid;
CREATE VIEW order_totals AS SELECT tenant_id, sum(total) AS total FROM orders GROUP BY tenant_id;
CREATE VIEW recent_orders AS SELECT * FROM orders ORDER BY placed_at DESC LIMIT 100;
CREATE VIEW country_names AS SELECT code, name FROM countries;
CREATE VIEW everything AS SELECT tenant_id, id FROM orders UNION ALL SELECT tenant_id, id FROM invoices;

CREATE FUNCTION order_total(p_tenant uuid, p_order bigint) RETURNS numeric LANGUAGE sql STABLE AS
    $$ SELECT total FROM orders WHERE tenant_id = p_tenant AND id = p_order $$;
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM orders $$;
CREATE FUNCTION tax(amount numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT amount * 0.2 $$;
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT current_setting('app.tenant_id')::uuid $$;
CREATE FUNCTION any_tenant() RETURNS uuid LANGUAGE sql VOLATILE AS $$ SELECT gen_random_uuid() $$;
CREATE PROCEDURE close_order(p_tenant uuid, p_order bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_total numeric;
BEGIN
    SELECT total INTO v_total FROM orders WHERE tenant_id = p_tenant AND id = p_order;
    UPDATE orders SET state = 'closed', total = v_total WHERE tenant_id = p_tenant AND id = p_order;
END $$;
CREATE PROCEDURE purge() LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM orders WHERE placed_at < now() - interval '7 years';
END $$;
CREATE FUNCTION run_report(p_table text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %I', p_table) INTO n;
    RETURN n;
END $$;
