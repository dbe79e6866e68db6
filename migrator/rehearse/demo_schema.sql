-- The demo: a small SaaS shop as it grew on classic. It has on purpose what real schemas have and what a move
-- must cope with: primary keys without the tenant, a child table that only knows its parent, an enum, JSONB,
-- arrays, numeric, timestamptz, a trigram index, sequences, cascades, a procedure that touches a row twice.

CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;

-- Owned as in production: by a role that deploys, not by the tool and not by the application (roles.py).
CREATE SCHEMA app AUTHORIZATION shop_owner;
SET LOCAL ROLE shop_owner;

CREATE TYPE app.order_state AS ENUM ('open', 'paid', 'shipped', 'cancelled', 'closed');

CREATE SEQUENCE app.user_number;
CREATE SEQUENCE app.order_number;
CREATE SEQUENCE app.item_number;

-- The same for every tenant: a reference table on Limitless.
CREATE TABLE app.currencies (
    code char(3) PRIMARY KEY,
    name text NOT NULL,
    rate numeric(14, 6) NOT NULL
);

CREATE TABLE app.accounts (
    tenant_id  bigint PRIMARY KEY,
    name       text NOT NULL,
    plan       text NOT NULL DEFAULT 'free',
    created_at timestamptz NOT NULL DEFAULT now(),
    settings   jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE app.users (
    id         bigint PRIMARY KEY DEFAULT nextval('app.user_number'),
    tenant_id  bigint NOT NULL REFERENCES app.accounts (tenant_id),
    email      text NOT NULL,
    full_name  text NOT NULL,
    tags       text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, email)
);
CREATE INDEX users_full_name_trgm ON app.users USING gin (full_name public.gin_trgm_ops);

CREATE TABLE app.orders (
    id            bigint PRIMARY KEY DEFAULT nextval('app.order_number'),
    tenant_id     bigint NOT NULL REFERENCES app.accounts (tenant_id),
    user_id       bigint NOT NULL REFERENCES app.users (id),
    currency_code char(3) NOT NULL REFERENCES app.currencies (code),
    total         numeric(12, 2) NOT NULL,
    state         app.order_state NOT NULL DEFAULT 'open',
    details       jsonb NOT NULL DEFAULT '{}',
    placed_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_by_tenant ON app.orders (tenant_id, placed_at);
CREATE INDEX orders_by_user ON app.orders (user_id);

-- No tenant column: it is found through the order.
CREATE TABLE app.order_items (
    id         bigint PRIMARY KEY DEFAULT nextval('app.item_number'),
    order_id   bigint NOT NULL REFERENCES app.orders (id) ON DELETE CASCADE,
    sku        text NOT NULL,
    quantity   int NOT NULL CHECK (quantity > 0),
    price      numeric NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX order_items_by_order ON app.order_items (order_id);

-- Changes the same row twice in one call: a copy of row images per statement would be wrong.
CREATE PROCEDURE app.close_order(for_tenant bigint, for_order bigint, new_version bigint)
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE app.orders
       SET state = 'closed'
     WHERE tenant_id = for_tenant AND id = for_order;
    UPDATE app.orders
       SET details = details || jsonb_build_object('v', new_version, 'closed', true)
     WHERE tenant_id = for_tenant AND id = for_order;
END
$$;

GRANT USAGE ON SCHEMA app TO shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO shop_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA app TO shop_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop_app;
