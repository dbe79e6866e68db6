-- What release 0.1.0 (control schema version 1) left on Limitless: a shop in the middle of its migration. The tool's tables, and rows.
-- Made by running 0.1.0 (commit e3779e5) on PostgreSQL 15: tests/fixtures/shop.py of that release with 6 tenants and a
-- partitioned table, capture on, 2 mirror partitions, everything copied, validated twice (one row differed), tenants 1
-- to 4 moved, one of them rolled back, a fallback, an incident, samples of a shim; then the mirrors were stopped, and
-- rows written that are journalled and not mirrored.
-- The tool's own tables on Limitless: what must commit together with mirrored rows.
-- Standard tables (all on one shard); settled is a reference table, read by shims that start without classic.

CREATE SCHEMA migrator;

CREATE TABLE migrator.installed (
    version int PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
);

-- The truth about each mirror partition. epoch: which mirror may move it; taken over by adding one.
CREATE TABLE migrator.mirror_position (
    part     smallint PRIMARY KEY,
    epoch    bigint NOT NULL,
    snapshot text NOT NULL,
    token    text NOT NULL,          -- of the cycle that wrote it; classic holds the same in migrator.heartbeat
    state    text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed'))
);

-- Tenants whose rows follow classic. Changes only together with the position of their partition.
CREATE TABLE migrator.mirrored (
    part      smallint NOT NULL,
    tenant_id text NOT NULL,         -- '' in partition 0 stands for the reference tables
    PRIMARY KEY (part, tenant_id)
);

-- Who may commit a copy unit, and the snapshot it was copied at.
CREATE TABLE migrator.copy_lease (
    unit_id  text PRIMARY KEY,
    epoch    bigint NOT NULL,
    part     smallint NOT NULL,
    tenants  text[] NOT NULL,
    state    text NOT NULL CHECK (state IN ('copying', 'copied', 'joined', 'closed')),
    snapshot text,
    rows     bigint NOT NULL DEFAULT 0
);

-- What provisioning made here, so that undo drops that and nothing else.
CREATE TABLE migrator.provisioned (
    ordinal     bigint NOT NULL,
    kind        text NOT NULL,          -- schema, extension, type, sequence, table, index, constraint, function, ...
    schema_name text NOT NULL,          -- '' for what lives in no schema
    name        text NOT NULL,
    detail      text NOT NULL DEFAULT '',   -- a constraint's table, a function's identity
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, schema_name, name, detail)
);


-- migrator.copy_lease
INSERT INTO "migrator"."copy_lease" ("epoch", "part", "rows", "snapshot", "state", "tenants", "unit_id") VALUES ('1', '0', '3', '774:774:', 'joined', '{}', 'unit-00003');
INSERT INTO "migrator"."copy_lease" ("epoch", "part", "rows", "snapshot", "state", "tenants", "unit_id") VALUES ('1', '1', '86', '789:789:', 'joined', '{4,5,6,2,3}', 'unit-00001');
INSERT INTO "migrator"."copy_lease" ("epoch", "part", "rows", "snapshot", "state", "tenants", "unit_id") VALUES ('1', '2', '36', '799:799:', 'joined', '{1}', 'unit-00002');

-- migrator.installed
INSERT INTO "migrator"."installed" ("at", "version") VALUES ('2026-11-28 23:07:08.978775+00', '1');

-- migrator.mirror_position
INSERT INTO "migrator"."mirror_position" ("epoch", "part", "snapshot", "state", "token") VALUES ('1', '0', '1001:1001:', 'open', 'ee8c88fb-0e1d-4b98-ad82-0ca5ce80cfe8');
INSERT INTO "migrator"."mirror_position" ("epoch", "part", "snapshot", "state", "token") VALUES ('1', '1', '1010:1010:', 'open', 'fbaabff8-a9ef-4f53-bac0-1654a616b371');
INSERT INTO "migrator"."mirror_position" ("epoch", "part", "snapshot", "state", "token") VALUES ('1', '2', '1002:1002:', 'open', 'ff826449-e365-4dd5-b38b-64be01b5de20');

-- migrator.mirrored
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('0', '');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('1', '2');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('1', '3');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('1', '4');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('1', '5');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('1', '6');
INSERT INTO "migrator"."mirrored" ("part", "tenant_id") VALUES ('2', '1');

-- migrator.provisioned
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.373926+00', '', 'schema', 'shop', '1', '');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.383179+00', '', 'type', 'mood', '2', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.388207+00', '', 'table', 'currency', '3', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.426759+00', '', 'table', 'purchase', '4', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.720163+00', '', 'table', 'tenant', '5', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:09.933651+00', '', 'table', 'visit', '6', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.203134+00', '', 'table', 'line', '7', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.452584+00', '', 'table', 'remark', '8', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.753623+00', '', 'index', 'line_purchase_id_idx', '9', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.812114+00', '', 'index', 'line_migrator_key', '10', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.864319+00', '', 'index', 'line_migrator_parent', '11', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.930507+00', '', 'index', 'remark_migrator_key', '12', 'shop');
INSERT INTO "migrator"."provisioned" ("at", "detail", "kind", "name", "ordinal", "schema_name") VALUES ('2026-11-28 23:07:10.988669+00', '', 'index', 'remark_migrator_parent', '13', 'shop');

-- shop.currency
INSERT INTO "shop"."currency" ("code", "rate") VALUES ('EUR', '1');
INSERT INTO "shop"."currency" ("code", "rate") VALUES ('JPY', '160');
INSERT INTO "shop"."currency" ("code", "rate") VALUES ('USD', '1.1');

-- shop.tenant
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 1', '1');
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 2', '2');
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 3', '3');
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 4', '4');
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 5', '5');
INSERT INTO "shop"."tenant" ("name", "tenant_id") VALUES ('tenant 6', '6');

-- shop.purchase
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('1', 'ok', '{"n": 1}', '1', '2', '1.10');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('10', 'ok', '{"n": 10}', '10', '5', '11.00');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('11', 'happy', '{"n": 11}', '11', '6', '12.10');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('12', 'sad', '{"n": 12}', '12', '1', '13.20');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('13', 'ok', '{"n": 13}', '13', '2', '14.30');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('14', 'happy', '{"n": 14}', '14', '3', '15.40');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('15', 'sad', '{"n": 15}', '15', '1', '16.50');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('16', 'ok', '{"n": 16}', '16', '5', '17.60');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('17', 'happy', '{"n": 17}', '17', '6', '18.70');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('18', 'sad', '{"n": 18}', '18', '1', '19.80');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('19', 'ok', '{"n": 19}', '19', '2', '20.90');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('2', 'happy', '{"n": 2}', '2', '3', '2.20');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('20', 'happy', '{"n": 20}', '20', '3', '22.00');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('21', 'sad', '{"n": 21}', '21', '1', '23.10');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('22', 'ok', '{"n": 22}', '22', '5', '24.20');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('23', 'happy', '{"n": 23}', '23', '6', '25.30');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('24', 'sad', '{"n": 24}', '24', '1', '26.40');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('3', 'sad', '{"n": 3}', '3', '1', '3.30');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('4', 'ok', '{"n": 4}', '4', '5', '4.40');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('5', 'happy', '{"n": 5}', '5', '6', '5.50');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('6', 'sad', '{"n": 6}', '6', '1', '6.60');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('7', 'ok', '{"n": 7}', '7', '2', '7.70');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('8', 'happy', '{"n": 8}', '8', '3', '8.80');
INSERT INTO "shop"."purchase" ("id", "mood", "note", "slot", "tenant_id", "total") VALUES ('9', 'sad', '{"n": 9}', '9', '1', '9.90');

-- shop.line
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('1', '2', 'sku 1', '{1,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('10', '11', 'sku 10', '{10,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('11', '12', 'sku 11', '{11,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('12', '13', 'sku 12', '{12,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('13', '14', 'sku 13', '{13,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('14', '15', 'sku 14', '{14,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('15', '16', 'sku 15', '{15,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('16', '17', 'sku 16', '{16,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('17', '18', 'sku 17', '{17,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('18', '19', 'sku 18', '{18,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('19', '20', 'sku 19', '{19,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('2', '3', 'sku 2', '{2,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('20', '21', 'sku 20', '{20,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('21', '22', 'sku 21', '{21,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('22', '23', 'sku 22', '{22,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('23', '24', 'sku 23', '{23,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('24', '1', 'sku 24', '{24,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('25', '2', 'sku 25', '{25,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('26', '3', 'sku 26', '{26,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('27', '4', 'sku 27', '{27,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('28', '5', 'sku 28', '{28,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('29', '6', 'sku 29', '{29,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('3', '4', 'sku 3', '{3,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('30', '7', 'sku 30', '{30,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('31', '8', 'sku 31', '{31,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('32', '9', 'sku 32', '{32,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('33', '10', 'sku 33', '{33,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('34', '11', 'sku 34', '{34,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('35', '12', 'sku 35', '{35,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('36', '13', 'sku 36', '{36,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('37', '14', 'sku 37', '{37,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('38', '15', 'sku 38', '{38,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('39', '16', 'sku 39', '{39,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('4', '5', 'sku 4', '{4,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('40', '17', 'sku 40', '{40,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('41', '18', 'sku 41', '{41,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('42', '19', 'sku 42', '{42,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('43', '20', 'sku 43', '{43,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('44', '21', 'sku 44', '{44,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('45', '22', 'sku 45', '{45,NULL}', '5');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('46', '23', 'sku 46', '{46,NULL}', '6');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('47', '24', 'sku 47', '{47,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('48', '1', 'sku 48', '{48,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('5', '6', 'sku 5', '{5,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('6', '7', 'sku 6', '{6,NULL}', '2');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('7', '8', 'sku 7', '{7,NULL}', '3');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('8', '9', 'sku 8', '{8,NULL}', '1');
INSERT INTO "shop"."line" ("id", "purchase_id", "sku", "tags", "tenant_id") VALUES ('9', '10', 'sku 9', '{9,NULL}', '5');

-- shop.remark
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 1', '2', '1', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 10', '11', '10', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 11', '12', '11', '2');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 12', '13', '12', '3');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 13', '14', '13', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 14', '15', '14', '5');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 15', '16', '15', '6');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 16', '17', '16', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 17', '18', '17', '2');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 18', '19', '18', '3');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 19', '20', '19', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 2', '3', '2', '5');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 20', '21', '20', '5');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 21', '22', '21', '6');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 22', '23', '22', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 23', '24', '23', '2');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 24', '25', '24', '3');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 3', '4', '3', '6');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 4', '5', '4', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 5', '6', '5', '2');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 6', '7', '6', '3');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 7', '8', '7', '1');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 8', '9', '8', '5');
INSERT INTO "shop"."remark" ("body", "line_id", "number", "tenant_id") VALUES ('remark 9', '10', '9', '6');

-- shop.visit
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-21', '1', 'page 1', '2');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-22', '2', 'page 2', '3');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-23', '3', 'page 3', '4');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-24', '4', 'page 4', '5');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-25', '5', 'page 5', '6');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-26', '6', 'page 6', '1');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-27', '7', 'page 7', '2');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-28', '8', 'page 8', '3');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-29', '9', 'page 9', '4');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-30', '10', 'page 10', '5');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2026-12-31', '11', 'page 11', '6');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-01', '12', 'page 12', '1');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-02', '13', 'page 13', '2');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-03', '14', 'page 14', '3');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-04', '15', 'page 15', '4');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-05', '16', 'page 16', '5');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-06', '17', 'page 17', '6');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-07', '18', 'page 18', '1');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-08', '19', 'page 19', '2');
INSERT INTO "shop"."visit" ("day", "id", "page", "tenant_id") VALUES ('2027-01-09', '20', 'page 20', '3');
