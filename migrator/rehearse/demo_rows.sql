-- Rows of the demo, computed by the server from a seed: the same settings give the same rows on every machine.
-- demo_size (tenant_id, users, orders) is a temporary table the loader fills; %(seed)s is the seed.

INSERT INTO app.currencies (code, name, rate)
SELECT code, name, rate
  FROM (VALUES ('EUR', 'Euro', 1.0), ('USD', 'US dollar', 1.08), ('GBP', 'Pound sterling', 0.85),
               ('CHF', 'Swiss franc', 0.95), ('SEK', 'Swedish krona', 11.3), ('PLN', 'Polish złoty', 4.3),
               ('JPY', 'Japanese yen', 161.0), ('BRL', 'Brazilian real', 6.1)) AS known (code, name, rate);

INSERT INTO app.accounts (tenant_id, name, plan, created_at, settings)
SELECT tenant_id,
       'Tenant ' || tenant_id || ' ' || (ARRAY['GmbH', 'Ltd', 'S.A.', 'AB', '株式会社'])[1 + tenant_id %% 5],
       (ARRAY['free', 'team', 'business'])[1 + tenant_id %% 3],
       timestamptz '2025-01-01 00:00+00' + tenant_id * interval '7 hours 11 minutes',
       jsonb_build_object('v', 0, 'theme', 'dark', 'limits', jsonb_build_object('seats', tenant_id %% 50, 'api', NULL))
  FROM demo_size;

-- Rows of all tenants are dealt in one shuffled order, so that neighbouring keys belong to different tenants.
INSERT INTO app.users (id, tenant_id, email, full_name, tags, created_at)
SELECT row_number() OVER (ORDER BY hashint8extended(n, %(seed)s + tenant_id), tenant_id, n),
       tenant_id,
       'user' || n || '@tenant' || tenant_id || '.example',
       (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Zoë', 'Łukasz', 'O''Brien', 'Tab	Back\slash'])[1 + h %% 8] || ' '
           || (ARRAY['Lovelace', 'Hopper', 'Dijkstra', 'Liskov', 'Müller', 'Nakamura 中村'])[1 + h / 8 %% 6],
       CASE WHEN h %% 7 = 0 THEN ARRAY['v0', NULL, 'quoted "tag", with comma'] ELSE ARRAY['v0', 'group' || h %% 9] END,
       timestamptz '2025-02-01 00:00+00' + h %% 20000000 * interval '1 second'
  FROM demo_size,
       LATERAL generate_series(1, users) AS n,
       LATERAL (SELECT abs(hashint8extended(n, %(seed)s + 7 * tenant_id) / 2) AS h) AS dice;

CREATE TEMPORARY TABLE demo_user ON COMMIT DROP AS
SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) AS n FROM app.users;
CREATE INDEX ON demo_user (tenant_id, n);
ANALYZE demo_user;

INSERT INTO app.orders (id, tenant_id, user_id, currency_code, total, state, details, placed_at)
SELECT row_number() OVER (ORDER BY hashint8extended(g.n, %(seed)s + 3 * s.tenant_id), s.tenant_id, g.n),
       s.tenant_id,
       u.id,
       (ARRAY['EUR', 'USD', 'GBP', 'CHF', 'SEK', 'PLN', 'JPY', 'BRL'])[1 + h %% 8],
       (h %% 1000000)::numeric / 100,
       (ARRAY['open', 'paid', 'shipped', 'cancelled', 'closed'])[1 + h / 8 %% 5]::app.order_state,
       CASE WHEN h %% 11 = 0 THEN jsonb_build_object('v', 0, 'note', repeat('long note ', 40))
            ELSE jsonb_build_object('v', 0, 'channel', 'web', 'score', (h %% 997)::numeric / 7) END,
       timestamptz '2025-06-01 00:00+00' + h %% 30000000 * interval '1 second' + h %% 1000000 * interval '1 microsecond'
  FROM demo_size AS s
       CROSS JOIN LATERAL generate_series(1, s.orders) AS g (n)
       CROSS JOIN LATERAL (SELECT abs(hashint8extended(g.n, %(seed)s + 11 * s.tenant_id) / 2) AS h) AS dice
       JOIN demo_user AS u ON u.tenant_id = s.tenant_id AND u.n = 1 + g.n %% s.users;

-- One to four items per order, two and a half on average.
INSERT INTO app.order_items (id, order_id, sku, quantity, price, attributes)
SELECT row_number() OVER (ORDER BY o.id, n),
       o.id,
       'SKU-' || lpad((h %% 5000)::text, 4, '0'),
       1 + h %% 9,
       CASE WHEN h %% 13 = 0 THEN (h %% 100000)::numeric / 30000 ELSE (h %% 20000)::numeric / 100 END,
       jsonb_build_object('v', 0, 'colour', (ARRAY['red', 'green', NULL])[1 + h %% 3])
  FROM app.orders AS o
       CROSS JOIN LATERAL generate_series(1, 1 + o.id %% 4) AS n
       CROSS JOIN LATERAL (SELECT abs(hashint8extended(o.id * 5 + n, %(seed)s) / 2) AS h) AS dice;

SELECT setval('app.user_number', (SELECT max(id) FROM app.users)),
       setval('app.order_number', (SELECT max(id) FROM app.orders)),
       setval('app.item_number', (SELECT max(id) FROM app.order_items));
