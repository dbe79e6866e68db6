-- What release 0.1.0 (control schema version 1) left on classic: a shop in the middle of its migration. Everything, by pg_dump --inserts.
-- Made by running 0.1.0 (commit e3779e5) on PostgreSQL 15: tests/fixtures/shop.py of that release with 6 tenants and a
-- partitioned table, capture on, 2 mirror partitions, everything copied, validated twice (one row differed), tenants 1
-- to 4 moved, one of them rolled back, a fallback, an incident, samples of a shim; then the mirrors were stopped, and
-- rows written that are journalled and not mirrored.
-- Transaction numbers in it are below this one: 1022
CREATE SCHEMA migrator;

CREATE SCHEMA shop;

CREATE TYPE shop.mood AS ENUM (
    'sad',
    'ok',
    'happy'
);

CREATE FUNCTION migrator.capture_1_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_1_0" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "old_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_1_1" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "old_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_1_2" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "old_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_1_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_1_0" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_1_1" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_1_2" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_1_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_1_0" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "migrator_leaf" AS r) AS s ("k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_1_1" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "migrator_leaf" AS r) AS s ("k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_1_2" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "migrator_leaf" AS r) AS s ("k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_1_rekey() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF ROW(OLD."code")::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(NEW."code")::pg_catalog.record THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_1_0" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT OLD."code") AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_1_1" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT OLD."code") AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_1_2" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT OLD."code") AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_1_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_1_0" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_1_1" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_1_2" (part, xid, "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."k0" FROM (SELECT 0 AS part, s."k0" FROM (SELECT "r"."code" FROM "new_rows" AS r) AS s ("k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 1), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), 1)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_2_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "old_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "old_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "old_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_2_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "new_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "new_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "purchase_id" FROM "new_rows") AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_2_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "migrator_leaf" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "migrator_leaf" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "migrator_leaf" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_2_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF EXISTS (SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT NULL::bigint, "r"."id" FROM old_rows AS r WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE "n"."id" = "r"."id" AND ("n"."purchase_id" = "r"."purchase_id" OR "n"."purchase_id" IS NULL AND "r"."purchase_id" IS NULL))) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT NULL::bigint, "r"."id" FROM old_rows AS r WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE "n"."id" = "r"."id" AND ("n"."purchase_id" = "r"."purchase_id" OR "n"."purchase_id" IS NULL AND "r"."purchase_id" IS NULL))) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "old_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') UNION SELECT NULL::bigint, "r"."id" FROM old_rows AS r WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE "n"."id" = "r"."id" AND ("n"."purchase_id" = "r"."purchase_id" OR "n"."purchase_id" IS NULL AND "r"."purchase_id" IS NULL))) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) UNION (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows)) AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) UNION (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows)) AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a_up0"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "purchase_id" FROM old_rows EXCEPT SELECT "id", "purchase_id" FROM new_rows) UNION (SELECT "id", "purchase_id" FROM new_rows EXCEPT SELECT "id", "purchase_id" FROM old_rows)) AS a LEFT JOIN "shop"."purchase" AS "a_up0" ON "a_up0"."id" = "a"."purchase_id" JOIN "shop"."remark" AS "d0" ON "a"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    ELSE
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r_up0"."tenant_id", "r"."id" FROM "new_rows" AS r LEFT JOIN "shop"."purchase" AS "r_up0" ON "r_up0"."id" = "r"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."id" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_3_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_3_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_3_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_3_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "old_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_3_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_3_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_3_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_3_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, current_setting('session_replication_role') = 'replica' FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    IF pg_catalog.current_setting('session_replication_role') = 'replica' THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM (SELECT "id", "tenant_id" FROM "new_rows") AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_3_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_3_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r"."tenant_id", "r"."id" FROM "migrator_leaf" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_3_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r"."tenant_id", "r"."id" FROM "migrator_leaf" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_3_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, true FROM (SELECT "r"."tenant_id", "r"."id" FROM "migrator_leaf" AS r) AS o) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_3_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF EXISTS (SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_3_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_3_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_3_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END + CASE WHEN s.moved AND s.tenant_id IS NOT NULL THEN 64 ELSE 0 END AS part, s."tenant_id", s."k0" FROM (SELECT o.*, EXISTS (SELECT FROM (SELECT "id" FROM (SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) AS gone UNION SELECT "id" FROM (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows) AS come) AS m ("k0") WHERE m."k0" = o."k0") FROM (SELECT "r"."tenant_id", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS o (tenant_id, "k0")) AS s ("tenant_id", "k0", "moved") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_2_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_2_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_2_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "a"."tenant_id", "d0"."id" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d0" ON "a"."id" = "d0"."purchase_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "a"."tenant_id", "d0"."line_id", "d0"."number" FROM ((SELECT "id", "tenant_id" FROM old_rows EXCEPT SELECT "id", "tenant_id" FROM new_rows) UNION (SELECT "id", "tenant_id" FROM new_rows EXCEPT SELECT "id", "tenant_id" FROM old_rows)) AS a JOIN "shop"."line" AS "d1" ON "a"."id" = "d1"."purchase_id" JOIN "shop"."remark" AS "d0" ON "d1"."id" = "d0"."line_id") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    ELSE
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_3_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_3_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_3_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_4_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "old_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "old_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "old_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "old_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_4_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_4_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "migrator_leaf" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "migrator_leaf" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "migrator_leaf" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "migrator_leaf" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_4_rekey() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF ROW(OLD."line_id", OLD."line_id", OLD."number")::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(NEW."line_id", NEW."line_id", NEW."number")::pg_catalog.record THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT NULL::bigint, OLD."line_id", OLD."number") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT NULL::bigint, OLD."line_id", OLD."number") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT NULL::bigint, OLD."line_id", OLD."number") AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_4_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_4_0" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_4_1" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_4_2" (part, xid, "tenant_id", "k0", "k1") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1" FROM (SELECT "r_up1"."tenant_id", "r"."line_id", "r"."number" FROM "new_rows" AS r LEFT JOIN "shop"."line" AS "r_up0" ON "r_up0"."id" = "r"."line_id" LEFT JOIN "shop"."purchase" AS "r_up1" ON "r_up1"."id" = "r_up0"."purchase_id" UNION ALL SELECT NULL::bigint, "r"."line_id", "r"."number" FROM "new_rows" AS r WHERE current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')) AS s ("tenant_id", "k0", "k1") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_5_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_5_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "old_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_5_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "old_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_5_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "old_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_5_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_5_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_5_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_5_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_5_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_5_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_5_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_5_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_5_rekey() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF ROW(OLD."tenant_id", OLD."tenant_id")::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(NEW."tenant_id", NEW."tenant_id")::pg_catalog.record THEN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_5_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT OLD."tenant_id", OLD."tenant_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_5_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT OLD."tenant_id", OLD."tenant_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_5_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT OLD."tenant_id", OLD."tenant_id") AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_5_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_5_0" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_5_1" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_5_2" (part, xid, "tenant_id", "k0") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0" FROM (SELECT "r"."tenant_id", "r"."tenant_id" FROM "new_rows" AS r) AS s ("tenant_id", "k0") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_6_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_6_0" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_6_1" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_6_2" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_6_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_6_0" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_6_1" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_6_2" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_6_leaf(leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $_$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_6_0" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_6_1" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    ELSE
        EXECUTE replace($migrator_keys$INSERT INTO "migrator"."journal_6_2" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "migrator_leaf" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x$migrator_keys$, '"migrator_leaf"', leaf::text);
    END IF;
END
$_$;

CREATE FUNCTION migrator.capture_6_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    migrator_slot pg_catalog.int8 := pg_catalog.pg_sequence_last_value('migrator.ring');
BEGIN
    IF pg_catalog.int8eq(migrator_slot, 0) THEN
        INSERT INTO "migrator"."journal_6_0" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSIF pg_catalog.int8eq(migrator_slot, 1) THEN
        INSERT INTO "migrator"."journal_6_1" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    ELSE
        INSERT INTO "migrator"."journal_6_2" (part, xid, "tenant_id", "k0", "k1", "k2") SELECT x.part, pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8, x."tenant_id", x."k0", x."k1", x."k2" FROM (SELECT CASE WHEN "s"."tenant_id" IS NULL THEN -1 ELSE pg_catalog.int4pl(1, pg_catalog.mod(pg_catalog.int8and(pg_catalog.hashtextextended("s"."tenant_id"::pg_catalog.text COLLATE pg_catalog."C", 0), 9223372036854775807), 2)::pg_catalog.int4) END AS part, s."tenant_id", s."k0", s."k1", s."k2" FROM (SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "old_rows" AS r UNION SELECT "r"."tenant_id", "r"."tenant_id", "r"."day", "r"."id" FROM "new_rows" AS r) AS s ("tenant_id", "k0", "k1", "k2") OFFSET 0) AS x WHERE CASE WHEN pg_catalog.int8ne(pg_catalog.int8and(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63))), 0) THEN true ELSE pg_catalog.set_config(
 'migrator.parts', pg_catalog.int8or(coalesce(pg_catalog.textcat('0', pg_catalog.current_setting('migrator.parts', true))::pg_catalog.int8, 0), CASE WHEN pg_catalog.int4lt(x.part, 0) THEN 9223372036854775806 ELSE pg_catalog.int8shl(1, pg_catalog.int4and(x.part, 63)) END)::pg_catalog.text, true) IS NOT NULL END;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION migrator.capture_leaf(root text, leaf regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    definition record;
    before text := current_setting('migrator.ddl', true);
BEGIN
    PERFORM set_config('migrator.ddl', 'allowed', true);
    FOR definition IN
        SELECT t.tgname, pg_get_triggerdef(t.oid) AS text, t.tgrelid::regclass::text AS owner
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN migrator.captured_table k ON k.descriptor ->> 'schema' = n.nspname AND k.descriptor ->> 'name' = c.relname
         WHERE k.qualified = root AND t.tgname LIKE 'migrator\_%' AND NOT t.tgisinternal
    LOOP
        EXECUTE replace(definition.text, ' ON ' || definition.owner || ' ', ' ON ' || leaf::text || ' ');
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', leaf, definition.tgname);
    END LOOP;
    PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
END $$;

CREATE FUNCTION migrator.captured_root(relation oid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT t.qualified
      FROM (SELECT coalesce(pg_partition_root(relation), relation) AS oid) r
      JOIN pg_class c ON c.oid = r.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN migrator.captured_table t ON t.descriptor ->> 'schema' = n.nspname AND t.descriptor ->> 'name' = c.relname
$$;

CREATE FUNCTION migrator.classic_fingerprint() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog'
    AS $$
    SELECT left(encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')),
                       'hex'), 16)
      FROM (SELECT concat_ws('|', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), o.collname)
              FROM migrator.captured_table t
              JOIN pg_namespace n ON n.nspname = t.descriptor ->> 'schema'
              JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.descriptor ->> 'name'
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              LEFT JOIN pg_collation o ON o.oid = a.attcollation) s (line)
$$;

CREATE FUNCTION migrator.follow_leaves(root text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET row_security TO 'off'
    AS $$
DECLARE
    captured record;
    leaf record;
    changed int := 0;
    before text := current_setting('migrator.ddl', true);
BEGIN
    SELECT t.table_id, c.oid INTO captured
      FROM migrator.captured_table t
      JOIN pg_namespace n ON n.nspname = t.descriptor ->> 'schema'
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.descriptor ->> 'name'
     WHERE t.qualified = root;
    FOR leaf IN
        SELECT p.relid, p.isleaf FROM pg_partition_tree(captured.oid) p
         WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = p.relid AND g.tgname = 'migrator_capture_insert')
    LOOP
        PERFORM migrator.capture_leaf(root, leaf.relid);
        IF leaf.isleaf THEN
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        changed := changed + 1;
    END LOOP;
    FOR leaf IN
        SELECT g.tgrelid::regclass AS relid, NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = g.tgrelid) AS isleaf
          FROM pg_trigger g
         WHERE g.tgname = 'migrator_capture_insert'
           AND g.tgfoid = format('migrator.capture_%s_insert()', captured.table_id)::regprocedure
           AND g.tgrelid <> captured.oid AND g.tgrelid NOT IN (SELECT relid FROM pg_partition_tree(captured.oid))
    LOOP
        IF leaf.isleaf THEN
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        PERFORM set_config('migrator.ddl', 'allowed', true);
        EXECUTE format('DROP TRIGGER migrator_capture_insert ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_update ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_delete ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER IF EXISTS migrator_guard ON %s', leaf.relid);
        PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END $$;

CREATE FUNCTION migrator.guard_ddl() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    command record;
    root text;
BEGIN
    IF current_setting('migrator.ddl', true) = 'allowed' THEN
        RETURN;  -- the tool's own statements
    END IF;
    FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        IF command.object_type = 'trigger' THEN
            SELECT migrator.captured_root(t.tgrelid) INTO root
              FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
             WHERE t.oid = command.objid
               AND (t.tgname LIKE 'migrator\_%' OR p.pronamespace = 'migrator'::regnamespace);
            IF root IS NOT NULL THEN
                RAISE EXCEPTION '% of capture''s own trigger on % is refused', command.command_tag, root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            PERFORM migrator.widen_rekey(tgrelid) FROM pg_trigger t
              WHERE t.oid = command.objid AND EXISTS (SELECT FROM pg_trigger o
                                                       WHERE o.tgrelid = t.tgrelid AND o.tgname = 'migrator_capture_rekey');
            CONTINUE;
        END IF;
        IF command.object_type NOT IN ('table', 'table column', 'table constraint') THEN
            CONTINUE;
        END IF;
        root := migrator.captured_root(command.objid);
        IF root IS NULL THEN
            -- A statement aimed at the parent would fire no trigger of the child.
            SELECT i.inhrelid::regclass::text INTO root
              FROM pg_inherits i
              JOIN pg_class c ON c.oid = i.inhrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN migrator.captured_table t
                ON t.descriptor ->> 'schema' = n.nspname AND t.descriptor ->> 'name' = c.relname
             WHERE i.inhparent = command.objid;
            IF root IS NOT NULL THEN
                RAISE EXCEPTION 'making % a part of another table is refused while it is being migrated', root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            -- Rows of an heir show in the table, and are written without its triggers.
            SELECT migrator.captured_root(i.inhparent) INTO root FROM pg_inherits i WHERE i.inhrelid = command.objid;
            IF root IS NOT NULL THEN
                RAISE EXCEPTION 'a table that inherits from % is refused while that is being migrated', root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            CONTINUE;
        END IF;
        IF command.command_tag IN ('CREATE TABLE', 'ALTER TABLE') AND migrator.follow_leaves(root) > 0 THEN
            CONTINUE;  -- a partition was made, attached or detached: such a command does nothing else
        END IF;
        IF command.command_tag <> 'CREATE TABLE' THEN
            RAISE EXCEPTION '% on % is refused while it is being migrated', command.command_tag, root
                USING ERRCODE = 'MG003',
                      HINT = 'A column or an index may come or go on both sides: migrator schema apply FILE. Everything'
                             ' else before dual write begins or after it ends, or undo it first: migrator undo dual-write.';
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION migrator.guard_detach() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    named text[] := pg_catalog.regexp_match(
        pg_catalog.current_query(),
        'alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(.*?)\s+detach\s+partition\s.*\sconcurrently', 'i');
    root text;
BEGIN
    IF named IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        root := migrator.captured_root(pg_catalog.to_regclass(named[1])::pg_catalog.oid);
    EXCEPTION WHEN OTHERS THEN
        root := named[1];  -- a name we cannot read may be one of ours
    END;
    IF root IS NOT NULL THEN
        RAISE EXCEPTION 'DETACH PARTITION ... CONCURRENTLY of % is refused while it is being migrated', root
            USING ERRCODE = 'MG003',
                  HINT = 'Detach it without CONCURRENTLY, with a lock_timeout: its rows leave both sides at once.';
    END IF;
END $$;

CREATE FUNCTION migrator.guard_drop() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    dropped record;
BEGIN
    IF current_setting('migrator.ddl', true) = 'allowed' THEN
        RETURN;
    END IF;
    FOR dropped IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        IF dropped.object_type = 'table'
           AND EXISTS (SELECT FROM migrator.captured_table
                        WHERE descriptor ->> 'schema' = dropped.schema_name
                          AND descriptor ->> 'name' = dropped.object_name) THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
        END IF;
        IF dropped.object_type = 'trigger' AND dropped.address_names[3] LIKE 'migrator\_%' THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003',
                      HINT = 'A partition: detach it first, its rows are journalled then. Everything else: undo the dual'
                             ' write first: migrator undo dual-write.';
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION migrator.refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of %.% is refused while it is being migrated', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'MG002',
              HINT = 'Use DELETE (it is journalled), or undo the dual write first: migrator undo dual-write.';
END $$;

CREATE FUNCTION migrator.schema_fingerprint() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog'
    AS $$
    SELECT migrator.classic_fingerprint() || ':' || coalesce(
        (SELECT split_part(schema_fingerprint, ':', 2) FROM migrator.validation
          WHERE schema_fingerprint IS NOT NULL ORDER BY started_at DESC LIMIT 1), '')
$$;

CREATE FUNCTION migrator.widen_rekey(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    ours regprocedure;
    before text := current_setting('migrator.ddl', true);
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);  -- as CREATE TRIGGER does
    SELECT tgfoid INTO ours FROM pg_trigger
     WHERE tgrelid = relation AND tgname = 'migrator_capture_rekey' AND tgattr <> ''
       AND EXISTS (SELECT FROM pg_trigger
                    WHERE tgrelid = relation AND NOT tgisinternal AND tgtype & 19 = 19);  -- row, before, update
    IF ours IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('migrator.ddl', 'allowed', true);
    EXECUTE format('CREATE OR REPLACE TRIGGER migrator_capture_rekey AFTER UPDATE ON %s FOR EACH ROW'
                   ' EXECUTE FUNCTION %s', relation, ours);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER migrator_capture_rekey', relation);
    PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
END $$;

CREATE TABLE migrator.approval (
    gate text NOT NULL,
    approver text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    evidence text DEFAULT ''::text NOT NULL
);

CREATE TABLE migrator.breaker_trip (
    process_id text NOT NULL,
    scope text NOT NULL,
    scope_key text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE migrator.captured_table (
    table_id smallint NOT NULL,
    qualified text NOT NULL,
    descriptor jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL
);

CREATE UNLOGGED TABLE migrator.copy_snapshot (
    unit_id text NOT NULL,
    tenant_id text NOT NULL,
    exported text NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE migrator.copy_unit (
    unit_id text NOT NULL,
    part smallint NOT NULL,
    tenants text[] NOT NULL,
    table_name text,
    lower_key text,
    upper_key text,
    state text DEFAULT 'pending'::text NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    copied_rows bigint DEFAULT 0 NOT NULL,
    copied_bytes bigint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    worker text,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    problem text,
    CONSTRAINT copy_unit_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'copying'::text, 'copied'::text, 'joined'::text, 'failed'::text])))
);

CREATE TABLE migrator.decision (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    who text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    before jsonb,
    after jsonb,
    reason text NOT NULL
);

ALTER TABLE migrator.decision ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME migrator.decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE migrator.divergence (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    table_name text NOT NULL,
    tenant_id text,
    key jsonb NOT NULL,
    kind text NOT NULL,
    columns text[] NOT NULL,
    fence text NOT NULL,
    repaired_at timestamp with time zone,
    repaired_by text
);

ALTER TABLE migrator.divergence ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME migrator.divergence_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE migrator.fallback (
    scope text NOT NULL,
    scope_key text NOT NULL,
    level text NOT NULL,
    reason text NOT NULL,
    raised_by text NOT NULL,
    raised_at timestamp with time zone DEFAULT now() NOT NULL,
    epoch bigint NOT NULL,
    held boolean DEFAULT false NOT NULL,
    CONSTRAINT fallback_level_check CHECK ((level = ANY (ARRAY['classic'::text, 'joining'::text]))),
    CONSTRAINT fallback_scope_check CHECK ((scope = ANY (ARRAY['all'::text, 'part'::text, 'tenant'::text])))
);

CREATE UNLOGGED TABLE migrator.fence (
    fence_id uuid NOT NULL,
    part smallint NOT NULL,
    pid integer DEFAULT pg_backend_pid() NOT NULL,
    state text DEFAULT 'requested'::text NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    exported text,
    snapshot text,
    epoch bigint,
    pause_ms double precision,
    CONSTRAINT fence_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'open'::text, 'acked'::text, 'closed'::text, 'expired'::text])))
);

CREATE TABLE migrator.tenant (
    tenant_id text NOT NULL,
    part smallint NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    hot boolean DEFAULT false NOT NULL,
    wave integer,
    reason text,
    changed_at timestamp with time zone,
    clean_at timestamp with time zone,
    clean_fence text,
    clean_fingerprint text,
    divergent bigint,
    validated_at timestamp with time zone,
    recopy text,
    CONSTRAINT tenant_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'copying'::text, 'mirrored'::text, 'quarantined'::text])))
);

CREATE VIEW migrator.gate_fact AS
 SELECT t.tenant_id,
    t.part,
    t.state,
    t.wave,
    t.reason,
    t.changed_at,
    t.validated_at,
    t.divergent,
    t.clean_fence,
        CASE
            WHEN (t.clean_fingerprint = f.now) THEN t.clean_at
            ELSE NULL::timestamp with time zone
        END AS clean_at,
    ((t.clean_at IS NOT NULL) AND (t.clean_fingerprint IS DISTINCT FROM f.now)) AS outdated
   FROM migrator.tenant t,
    ( SELECT migrator.schema_fingerprint() AS now) f;

CREATE TABLE migrator.heartbeat (
    part smallint NOT NULL,
    token uuid NOT NULL,
    base_token uuid,
    epoch bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='20');

CREATE TABLE migrator.hold (
    holder text NOT NULL,
    keep_xid bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE migrator.incident (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    reported_by text NOT NULL
);

ALTER TABLE migrator.incident ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME migrator.incident_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE migrator.installed (
    version integer NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE migrator.journal_1 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    k0 character(3),
    CONSTRAINT journal_1_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_1_0 (
)
INHERITS (migrator.journal_1)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_1_1 (
)
INHERITS (migrator.journal_1)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_1_2 (
)
INHERITS (migrator.journal_1)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_2 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    tenant_id bigint,
    k0 bigint,
    CONSTRAINT journal_2_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_2_0 (
)
INHERITS (migrator.journal_2)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_2_1 (
)
INHERITS (migrator.journal_2)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_2_2 (
)
INHERITS (migrator.journal_2)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_3 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    tenant_id bigint,
    k0 bigint,
    CONSTRAINT journal_3_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_3_0 (
)
INHERITS (migrator.journal_3)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_3_1 (
)
INHERITS (migrator.journal_3)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_3_2 (
)
INHERITS (migrator.journal_3)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_4 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    tenant_id bigint,
    k0 bigint,
    k1 integer,
    CONSTRAINT journal_4_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_4_0 (
)
INHERITS (migrator.journal_4)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_4_1 (
)
INHERITS (migrator.journal_4)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_4_2 (
)
INHERITS (migrator.journal_4)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_5 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    tenant_id bigint,
    k0 bigint,
    CONSTRAINT journal_5_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_5_0 (
)
INHERITS (migrator.journal_5)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_5_1 (
)
INHERITS (migrator.journal_5)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_5_2 (
)
INHERITS (migrator.journal_5)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_6 (
    part smallint NOT NULL,
    xid bigint NOT NULL,
    tenant_id bigint,
    k0 bigint,
    k1 date,
    k2 bigint,
    CONSTRAINT journal_6_check CHECK (false) NO INHERIT
);

CREATE TABLE migrator.journal_6_0 (
)
INHERITS (migrator.journal_6)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_6_1 (
)
INHERITS (migrator.journal_6)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.journal_6_2 (
)
INHERITS (migrator.journal_6)
WITH (autovacuum_enabled=off);

CREATE TABLE migrator.phase (
    phase text NOT NULL,
    state text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    blockers text[] DEFAULT '{}'::text[] NOT NULL,
    next_step text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT phase_state_check CHECK ((state = ANY (ARRAY['running'::text, 'waiting'::text, 'blocked'::text, 'done'::text, 'undone'::text, 'failed'::text])))
);

CREATE TABLE migrator.plan (
    only_one boolean DEFAULT true NOT NULL,
    plan_id text NOT NULL,
    digest text NOT NULL,
    body jsonb NOT NULL,
    shim jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT plan_only_one_check CHECK (only_one)
);

CREATE TABLE migrator."position" (
    part smallint NOT NULL,
    epoch bigint NOT NULL,
    snapshot text NOT NULL,
    fresh_at timestamp with time zone NOT NULL,
    lag_s double precision DEFAULT 0 NOT NULL,
    depth bigint DEFAULT 0 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    rows_per_s double precision DEFAULT 0 NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    problem text
)
WITH (fillfactor='20');

CREATE TABLE migrator.process (
    process_id text NOT NULL,
    name text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_epoch bigint DEFAULT 0 NOT NULL,
    staleness_s double precision NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE migrator.read_sample (
    at timestamp with time zone DEFAULT now() NOT NULL,
    process_id text NOT NULL,
    tenant_id text,
    side text NOT NULL,
    reads integer NOT NULL,
    errors integer NOT NULL,
    buckets integer[] NOT NULL
);

CREATE TABLE migrator.tenant_verdict (
    tenant_id text NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    clean boolean NOT NULL,
    fingerprint text NOT NULL,
    last_fence text NOT NULL,
    times integer DEFAULT 1 NOT NULL,
    rows bigint NOT NULL,
    divergent bigint NOT NULL
);

CREATE VIEW migrator.reference_fact AS
 SELECT v.divergent,
        CASE
            WHEN (v.clean AND (v.fingerprint = f.now) AND (NOT c.going_on)) THEN v.last_at
            ELSE NULL::timestamp with time zone
        END AS clean_at,
    COALESCE((v.clean AND (v.fingerprint <> f.now)), false) AS outdated
   FROM ((( SELECT migrator.schema_fingerprint() AS now) f
     CROSS JOIN ( SELECT COALESCE(max(copy_unit.finished_at), '-infinity'::timestamp with time zone) AS finished_at,
            COALESCE(bool_or((copy_unit.state <> 'joined'::text)), false) AS going_on
           FROM migrator.copy_unit
          WHERE (copy_unit.part = 0)) c)
     LEFT JOIN ( SELECT tenant_verdict.tenant_id,
            tenant_verdict.first_at,
            tenant_verdict.last_at,
            tenant_verdict.clean,
            tenant_verdict.fingerprint,
            tenant_verdict.last_fence,
            tenant_verdict.times,
            tenant_verdict.rows,
            tenant_verdict.divergent
           FROM migrator.tenant_verdict
          WHERE (tenant_verdict.tenant_id = ''::text)
          ORDER BY tenant_verdict.last_at DESC
         LIMIT 1) v ON ((v.last_at > c.finished_at)))
  WHERE (EXISTS ( SELECT
           FROM migrator.captured_table
          WHERE ((captured_table.descriptor ->> 'kind'::text) <> 'sharded'::text)));

CREATE TABLE migrator.report (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL
);

ALTER TABLE migrator.report ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME migrator.report_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE migrator.ring
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;

CREATE TABLE migrator.route (
    tenant_id text NOT NULL,
    part smallint NOT NULL,
    level text DEFAULT 'classic'::text NOT NULL,
    reads_pct smallint DEFAULT 100 NOT NULL,
    wave integer,
    watched boolean DEFAULT false NOT NULL,
    epoch bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT route_level_check CHECK ((level = ANY (ARRAY['classic'::text, 'joining'::text, 'limitless'::text]))),
    CONSTRAINT route_reads_pct_check CHECK (((reads_pct >= 0) AND (reads_pct <= 100)))
);

CREATE TABLE migrator.schema_change (
    change_id bigint NOT NULL,
    kind text NOT NULL,
    table_name text NOT NULL,
    name text NOT NULL,
    words text NOT NULL,
    body jsonb NOT NULL,
    step text DEFAULT ''::text NOT NULL,
    seen_from text,
    at timestamp with time zone,
    filled_to text[],
    problem text,
    changed_by text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone
);

ALTER TABLE migrator.schema_change ALTER COLUMN change_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME migrator.schema_change_change_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE migrator.shadow_sample (
    at timestamp with time zone DEFAULT now() NOT NULL,
    process_id text NOT NULL,
    compared integer NOT NULL,
    mismatched integer NOT NULL,
    classic_ms double precision NOT NULL,
    limitless_ms double precision NOT NULL
);

CREATE TABLE migrator.switch (
    only_one boolean DEFAULT true NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    level text DEFAULT 'limitless'::text NOT NULL,
    write_mode text DEFAULT 'classic_only'::text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_by text DEFAULT 'install'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT switch_level_check CHECK ((level = ANY (ARRAY['classic'::text, 'joining'::text, 'limitless'::text]))),
    CONSTRAINT switch_only_one_check CHECK (only_one),
    CONSTRAINT switch_write_mode_check CHECK ((write_mode = ANY (ARRAY['classic_only'::text, 'dual'::text, 'closed'::text, 'limitless_only'::text])))
);

CREATE TABLE migrator.throttle (
    only_one boolean DEFAULT true NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    mb_per_s double precision,
    reason text DEFAULT ''::text NOT NULL,
    changed_by text DEFAULT 'install'::text NOT NULL,
    CONSTRAINT throttle_only_one_check CHECK (only_one)
);

CREATE TABLE migrator.validation (
    run_id uuid NOT NULL,
    kind text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    tenants integer DEFAULT 0 NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    divergent bigint DEFAULT 0 NOT NULL,
    fence_pause_ms double precision DEFAULT 0 NOT NULL,
    schema_fingerprint text,
    whole boolean DEFAULT false NOT NULL
);

CREATE TABLE shop.currency (
    code character(3) NOT NULL,
    rate numeric
);

CREATE TABLE shop.line (
    id bigint NOT NULL,
    purchase_id bigint,
    sku text,
    tags text[]
);

CREATE TABLE shop.purchase (
    id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    slot integer,
    total numeric(12,2),
    mood shop.mood,
    note jsonb
);

CREATE TABLE shop.remark (
    line_id bigint NOT NULL,
    number integer NOT NULL,
    body text
);

CREATE TABLE shop.tenant (
    tenant_id bigint NOT NULL,
    name text NOT NULL
);

CREATE TABLE shop.visit (
    tenant_id bigint NOT NULL,
    day date NOT NULL,
    id bigint NOT NULL,
    page text
)
PARTITION BY RANGE (day);

CREATE TABLE shop.visit_2026 (
    tenant_id bigint NOT NULL,
    day date NOT NULL,
    id bigint NOT NULL,
    page text
);

CREATE TABLE shop.visit_2027 (
    tenant_id bigint NOT NULL,
    day date NOT NULL,
    id bigint NOT NULL,
    page text
);

ALTER TABLE ONLY shop.visit ATTACH PARTITION shop.visit_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

ALTER TABLE ONLY shop.visit ATTACH PARTITION shop.visit_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');

INSERT INTO migrator.approval VALUES ('audit', 'ann', '2026-11-28 23:07:11.696875+00', '');
INSERT INTO migrator.approval VALUES ('provision', 'ann', '2026-11-28 23:07:11.72519+00', '');

INSERT INTO migrator.captured_table VALUES (1, 'shop.currency', '{"key": ["code"], "kind": "reference", "name": "currency", "path": [], "schema": "shop", "columns": [{"name": "code", "type": "character(3)", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "rate", "type": "numeric", "exact": false, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": false, "tenant_type": "text", "unique_keys": [], "tenant_column": null, "tenant_source": null}', 1);
INSERT INTO migrator.captured_table VALUES (2, 'shop.line', '{"key": ["id"], "kind": "sharded", "name": "line", "path": [{"parent": "shop.purchase", "columns": ["purchase_id"], "enforced": true, "equality": ["="], "parent_columns": ["id"]}], "schema": "shop", "columns": [{"name": "id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "purchase_id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "sku", "type": "text", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "tags", "type": "text[]", "exact": false, "listed": false, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": false, "tenant_type": "bigint", "unique_keys": [], "tenant_column": "tenant_id", "tenant_source": "tenant_id"}', 1);
INSERT INTO migrator.captured_table VALUES (3, 'shop.purchase', '{"key": ["id"], "kind": "sharded", "name": "purchase", "path": [], "schema": "shop", "columns": [{"name": "id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "tenant_id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "slot", "type": "integer", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "total", "type": "numeric(12,2)", "exact": false, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "mood", "type": "shop.mood", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "note", "type": "jsonb", "exact": false, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": false, "tenant_type": "bigint", "unique_keys": [["tenant_id", "slot"]], "tenant_column": "tenant_id", "tenant_source": "tenant_id"}', 1);
INSERT INTO migrator.captured_table VALUES (4, 'shop.remark', '{"key": ["line_id", "number"], "kind": "sharded", "name": "remark", "path": [{"parent": "shop.line", "columns": ["line_id"], "enforced": true, "equality": ["="], "parent_columns": ["id"]}, {"parent": "shop.purchase", "columns": ["purchase_id"], "enforced": true, "equality": ["="], "parent_columns": ["id"]}], "schema": "shop", "columns": [{"name": "line_id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "number", "type": "integer", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "body", "type": "text", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": false, "tenant_type": "bigint", "unique_keys": [], "tenant_column": "tenant_id", "tenant_source": "tenant_id"}', 1);
INSERT INTO migrator.captured_table VALUES (5, 'shop.tenant', '{"key": ["tenant_id"], "kind": "sharded", "name": "tenant", "path": [], "schema": "shop", "columns": [{"name": "tenant_id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "name", "type": "text", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": false, "tenant_type": "bigint", "unique_keys": [], "tenant_column": "tenant_id", "tenant_source": "tenant_id"}', 1);
INSERT INTO migrator.captured_table VALUES (6, 'shop.visit', '{"key": ["tenant_id", "day", "id"], "kind": "sharded", "name": "visit", "path": [], "schema": "shop", "columns": [{"name": "tenant_id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "day", "type": "date", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "id", "type": "bigint", "exact": true, "listed": true, "equality": "=", "not_null": true, "generated": false, "binary_safe": true, "target_type": ""}, {"name": "page", "type": "text", "exact": true, "listed": true, "equality": "=", "not_null": false, "generated": false, "binary_safe": true, "target_type": ""}], "partitioned": true, "tenant_type": "bigint", "unique_keys": [], "tenant_column": "tenant_id", "tenant_source": "tenant_id"}', 1);

INSERT INTO migrator.copy_unit VALUES ('unit-00003', 0, '{}', NULL, NULL, NULL, 'joined', 0, 3, 92, 1, 'w', '2026-11-28 23:07:14.550003+00', '2026-11-28 23:07:14.784002+00', NULL);
INSERT INTO migrator.copy_unit VALUES ('unit-00001', 1, '{4,5,6,2,3}', NULL, NULL, NULL, 'joined', 38, 86, 5484, 1, 'w', '2026-11-28 23:07:15.168993+00', '2026-11-28 23:07:15.604778+00', NULL);
INSERT INTO migrator.copy_unit VALUES ('unit-00002', 2, '{1}', NULL, NULL, NULL, 'joined', 12, 36, 2509, 1, 'w', '2026-11-28 23:07:15.941948+00', '2026-11-28 23:07:16.199698+00', NULL);

INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 23:07:11.690161+00', 'ann', 'gate.approved', 'audit', NULL, NULL, 'looks good');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-28 23:07:11.704243+00', 'ann', 'gate.approved', 'provision', NULL, NULL, 'looks good');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-28 23:07:22.70463+00', 'migration', 'route.moved', 'tenant/1', NULL, '{"wave": 1, "epoch": 2, "level": "joining", "reads_pct": 100}', 'wave 1');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-28 23:07:22.72242+00', 'migration', 'route.moved', 'tenant/2', NULL, '{"wave": 1, "epoch": 2, "level": "joining", "reads_pct": 100}', 'wave 1');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-28 23:07:23.73633+00', 'migration', 'route.moved', 'tenant/1', '{"epoch": 2, "level": "joining", "reads_pct": 100}', '{"wave": 1, "epoch": 3, "level": "limitless", "reads_pct": 100}', 'wave 1');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-28 23:07:23.736792+00', 'migration', 'route.moved', 'tenant/2', '{"epoch": 2, "level": "joining", "reads_pct": 100}', '{"wave": 1, "epoch": 3, "level": "limitless", "reads_pct": 100}', 'wave 1');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (7, '2026-11-28 23:07:23.978643+00', 'migration', 'route.moved', 'tenant/3', NULL, '{"wave": 2, "epoch": 4, "level": "joining", "reads_pct": 100}', 'wave 2');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (8, '2026-11-28 23:07:23.982301+00', 'migration', 'route.moved', 'tenant/4', NULL, '{"wave": 2, "epoch": 4, "level": "joining", "reads_pct": 100}', 'wave 2');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (9, '2026-11-28 23:07:24.629318+00', 'migration', 'route.moved', 'tenant/3', '{"epoch": 4, "level": "joining", "reads_pct": 100}', '{"wave": 2, "epoch": 5, "level": "limitless", "reads_pct": 100}', 'wave 2');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (10, '2026-11-28 23:07:24.629515+00', 'migration', 'route.moved', 'tenant/4', '{"epoch": 4, "level": "joining", "reads_pct": 100}', '{"wave": 2, "epoch": 5, "level": "limitless", "reads_pct": 100}', 'wave 2');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (11, '2026-11-28 23:07:27.722721+00', 'web', 'fallback.raised', 'fallback/tenant/3', NULL, '{"epoch": 6, "level": "classic"}', 'errors');
INSERT INTO migrator.decision OVERRIDING SYSTEM VALUE VALUES (12, '2026-11-28 23:07:27.806825+00', 'ann', 'rollback.decided', 'tenant/4', '{"epoch": 5, "level": "limitless", "reads_pct": 100}', '{"epoch": 7, "level": "classic"}', 'slow');

INSERT INTO migrator.divergence OVERRIDING SYSTEM VALUE VALUES (1, 'ef260732-b3e8-4e08-87fc-06b4c1ff67ed', '2026-11-28 23:07:18.626731+00', 'shop.purchase', '2', '{"id": "1"}', 'mismatched', '{total}', '828:828:', NULL, NULL);

INSERT INTO migrator.fallback VALUES ('tenant', '3', 'classic', 'errors', 'web', '2026-11-28 23:07:27.722609+00', 6, false);

INSERT INTO migrator.heartbeat VALUES (0, 'ee8c88fb-0e1d-4b98-ad82-0ca5ce80cfe8', '49f6a349-e009-4f02-9914-3d9c92ac29c1', 1);
INSERT INTO migrator.heartbeat VALUES (2, 'ff826449-e365-4dd5-b38b-64be01b5de20', 'f4a3ee21-0c79-4b3f-af77-abfbdd2035db', 1);
INSERT INTO migrator.heartbeat VALUES (1, 'fbaabff8-a9ef-4f53-bac0-1654a616b371', 'd224b44d-89c3-498f-b826-5d05e6c00808', 1);

INSERT INTO migrator.incident OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 23:07:27.702844+00', 'reported', 'checkout slow', 'ann');
INSERT INTO migrator.incident OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-28 23:07:27.70299+00', 'reported', 'checkout slow', 'ann');
INSERT INTO migrator.incident OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-28 23:07:27.72271+00', 'fallback', 'fallback tenant 3: errors', 'web');
INSERT INTO migrator.incident OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-28 23:07:27.813897+00', 'rollback', 'rollback of 4 (1 tenants): slow', 'ann');

INSERT INTO migrator.installed VALUES (1, '2026-11-28 23:07:06.913699+00');

INSERT INTO migrator.journal_1_0 VALUES (0, 1021, 'USD');

INSERT INTO migrator.journal_2_0 VALUES (-1, 1016, NULL, 2);
INSERT INTO migrator.journal_2_0 VALUES (-1, 1016, NULL, 26);
INSERT INTO migrator.journal_2_0 VALUES (1, 1018, 5, 1000);

INSERT INTO migrator.journal_3_0 VALUES (1, 1015, 6, 5);
INSERT INTO migrator.journal_3_0 VALUES (1, 1015, 5, 10);
INSERT INTO migrator.journal_3_0 VALUES (2, 1015, 1, 15);
INSERT INTO migrator.journal_3_0 VALUES (1, 1015, 3, 20);
INSERT INTO migrator.journal_3_0 VALUES (2, 1016, 1, 3);
INSERT INTO migrator.journal_3_0 VALUES (1, 1017, 5, 1000);
INSERT INTO migrator.journal_3_0 VALUES (1, 1017, 6, 1001);

INSERT INTO migrator.journal_4_0 VALUES (-1, 1016, NULL, 2, 1);

INSERT INTO migrator.journal_6_0 VALUES (1, 1019, 2, 2, '2027-03-01', 500);
INSERT INTO migrator.journal_6_0 VALUES (1, 1020, 2, 2, '2026-12-21', 1);
INSERT INTO migrator.journal_6_0 VALUES (1, 1020, 2, 2, '2027-02-02', 1);

INSERT INTO migrator.phase VALUES ('audit', 'done', '2026-11-28 23:07:11.684524+00', '', '{}', '', '2026-11-28 23:07:11.673885+00', '2026-11-28 23:07:11.684463+00');
INSERT INTO migrator.phase VALUES ('provision', 'done', '2026-11-28 23:07:11.703993+00', '', '{}', '', '2026-11-28 23:07:11.702681+00', '2026-11-28 23:07:11.703949+00');
INSERT INTO migrator.phase VALUES ('dual_write', 'done', '2026-11-28 23:07:22.31872+00', '', '{}', '', '2026-11-28 23:07:11.738314+00', '2026-11-28 23:07:22.31868+00');
INSERT INTO migrator.phase VALUES ('cutover', 'running', '2026-11-28 23:07:22.322148+00', '', '{}', '', '2026-11-28 23:07:22.322148+00', NULL);

INSERT INTO migrator.plan VALUES (true, 'shop', 'f9d893f4d772fe9d3b385b6ffb438f212f7296fd10265f380b987ed650a02abd', '{"cost": {"acu_hour_usd": 0.0, "classic_monthly_usd": 0.0, "storage_gb_month_usd": 0.0, "projected_monthly_usd": 0.0}, "name": "shop", "shim": {"poll_s": 0.5, "max_lag_s": 5.0, "ack_wait_s": 1.0, "staleness_s": 3.0, "shadow_ratio": 0.0, "closed_wait_s": 30.0}, "gates": {"audit": "approval", "cutover": "approval", "provision": "approval", "dual_write": "approval", "acknowledged": []}, "waves": {"sizes": [5, 25, 100], "soak_s": 86400.0, "ramp_pct": [100], "hot_ratio": 20.0, "baseline_s": 600.0, "max_failed": 2, "p99_factor": 2.0, "error_ratio": 0.01, "approve_each": false, "hot_ramp_pct": [10, 50, 100], "p99_floor_ms": 50.0}, "tables": {"table": {"shop.line": {"key": null, "via": "purchase_id -> shop.purchase.id", "kind": "sharded", "tenant_column": null}, "shop.remark": {"key": null, "via": "line_id -> shop.line.id", "kind": "sharded", "tenant_column": null}, "shop.currency": {"key": null, "via": null, "kind": "reference", "tenant_column": null}}, "schemas": ["shop"], "tenant_key": "tenant_id"}, "breaker": {"open_s": 2.0, "p99_ms": 1000.0, "probes": 3, "quorum": 0.5, "window_s": 5.0, "min_reads": 20, "error_ratio": 0.2, "validate_before_close": true}, "classic": {"writer": "env:MIGRATOR_CLASSIC_DSN", "readers": [], "cluster_id": null}, "backfill": {"mb_per_s": null, "max_lag_s": 30.0, "unit_rows": 200000, "split_rows": 2000000, "concurrency": 4, "unit_tenants": 50, "max_active_sessions": 200}, "temporal": {"address": "local", "namespace": "default"}, "limitless": {"dsn": "env:MIGRATOR_LIMITLESS_DSN", "shards": 4, "max_acu": 64.0, "min_acu": 16.0, "cluster_id": null, "engine_version": "16.13-limitless", "shard_group_id": null, "compute_redundancy": 1}, "rehearsal": null, "dual_write": {"parts": 2, "batch_rows": 20000, "ring_slots": 3, "poll_max_ms": 250.0, "poll_min_ms": 10.0, "ring_turn_s": 30.0, "journal_limit_mb": 4096.0}, "validation": {"share": 0.5, "every_s": 900.0, "max_age_s": 3600.0, "fence_wait_ms": 2000.0, "on_divergence": "hold_and_fall_back", "rows_per_fence": 10000000, "tenants_per_fence": 100, "max_active_sessions": 200}, "decommission": {"max_pause_s": 60.0, "release_classic": true, "sequence_headroom": 1000000}, "stabilization": {"days": 90.0, "on_incident": "restart", "check_every_days": 1.0}}', '{"open_s": 2.0, "p99_ms": 1000.0, "poll_s": 0.5, "probes": 3, "quorum": 0.5, "window_s": 5.0, "max_lag_s": 5.0, "min_reads": 20, "ack_wait_s": 1.0, "error_ratio": 0.2, "staleness_s": 3.0, "shadow_ratio": 0.0, "closed_wait_s": 30.0, "validate_before_close": true}', '2026-11-28 23:07:06.913699+00');

INSERT INTO migrator."position" VALUES (0, 1, '1001:1001:', '2026-11-28 23:07:28.385631+00', 0.055858078001620015, 0, 0, 0, 'running', NULL);
INSERT INTO migrator."position" VALUES (2, 1, '1002:1002:', '2026-11-28 23:07:28.415762+00', 0.06891677599924151, 0, 0, 0, 'running', NULL);
INSERT INTO migrator."position" VALUES (1, 1, '1010:1010:', '2026-11-28 23:07:28.902463+00', 0.06753771300282096, 0, 4, 0, 'running', NULL);

INSERT INTO migrator.process VALUES ('vm:4432:683995dc', 'web', '2026-11-28 23:07:22.42568+00', '2026-11-28 23:07:28.975159+00', 7, 2.45);

INSERT INTO migrator.read_sample VALUES ('2026-11-28 23:07:25.495999+00', 'vm:4432:683995dc', NULL, 'limitless', 14, 0, '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,1,0,0,0,0,0,1,0,2,2,0,0,1,2,1,2,0,1}');
INSERT INTO migrator.read_sample VALUES ('2026-11-28 23:07:25.495999+00', 'vm:4432:683995dc', NULL, 'classic', 6, 0, '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2,0,0,0,0,0,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,1}');

INSERT INTO migrator.report OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 23:07:11.734135+00', 'audit', '{"findings": []}');
INSERT INTO migrator.report OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-28 23:07:16.595185+00', 'inventory', '{"1": {"shop.line": 0, "shop.visit": 3, "shop.remark": 0, "shop.tenant": 1, "shop.purchase": 8}, "2": {"shop.line": 0, "shop.visit": 4, "shop.remark": 0, "shop.tenant": 1, "shop.purchase": 4}, "3": {"shop.line": 0, "shop.visit": 4, "shop.remark": 0, "shop.tenant": 1, "shop.purchase": 4}, "4": {"shop.line": 0, "shop.visit": 3, "shop.remark": 0, "shop.tenant": 1}, "5": {"shop.line": 0, "shop.visit": 3, "shop.remark": 0, "shop.tenant": 1, "shop.purchase": 4}, "6": {"shop.line": 0, "shop.visit": 3, "shop.remark": 0, "shop.tenant": 1, "shop.purchase": 4}}');

INSERT INTO migrator.route VALUES ('1', 2, 'limitless', 100, 1, false, 3, '2026-11-28 23:07:23.729676+00', 'migration', 'wave 1');
INSERT INTO migrator.route VALUES ('2', 1, 'limitless', 100, 1, false, 3, '2026-11-28 23:07:23.729823+00', 'migration', 'wave 1');
INSERT INTO migrator.route VALUES ('3', 1, 'limitless', 100, 2, false, 5, '2026-11-28 23:07:24.628322+00', 'migration', 'wave 2');
INSERT INTO migrator.route VALUES ('4', 1, 'classic', 100, 2, false, 7, '2026-11-28 23:07:27.804018+00', 'ann', 'slow');

INSERT INTO migrator.switch VALUES (true, 7, 'limitless', 'dual', '2026-11-28 23:07:11.780168+00', 'capture', 'capture is on');

INSERT INTO migrator.tenant VALUES ('5', 1, 'mirrored', 20, false, NULL, NULL, NULL, '2026-11-28 23:07:21.263136+00', '872:872:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.263136+00', NULL);
INSERT INTO migrator.tenant VALUES ('6', 1, 'mirrored', 20, false, NULL, NULL, NULL, '2026-11-28 23:07:21.263136+00', '872:872:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.263136+00', NULL);
INSERT INTO migrator.tenant VALUES ('2', 1, 'mirrored', 21, false, 1, NULL, '2026-11-28 23:07:19.607263+00', '2026-11-28 23:07:21.263136+00', '872:872:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.263136+00', NULL);
INSERT INTO migrator.tenant VALUES ('1', 2, 'mirrored', 36, false, 1, NULL, NULL, '2026-11-28 23:07:21.883152+00', '882:882:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.883152+00', NULL);
INSERT INTO migrator.tenant VALUES ('3', 1, 'mirrored', 21, false, 2, NULL, NULL, '2026-11-28 23:07:21.263136+00', '872:872:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.263136+00', NULL);
INSERT INTO migrator.tenant VALUES ('4', 1, 'mirrored', 4, false, 2, NULL, NULL, '2026-11-28 23:07:21.263136+00', '872:872:', '30e1cdebbcda6d33:66629adf06526385', 0, '2026-11-28 23:07:21.263136+00', NULL);

INSERT INTO migrator.tenant_verdict VALUES ('2', '2026-11-28 23:07:18.224165+00', '2026-11-28 23:07:18.224165+00', false, '30e1cdebbcda6d33:66629adf06526385', '828:828:', 1, 21, 1);
INSERT INTO migrator.tenant_verdict VALUES ('', '2026-11-28 23:07:17.69707+00', '2026-11-28 23:07:20.627646+00', true, '30e1cdebbcda6d33:66629adf06526385', '860:860:', 2, 3, 0);
INSERT INTO migrator.tenant_verdict VALUES ('3', '2026-11-28 23:07:18.224165+00', '2026-11-28 23:07:21.263136+00', true, '30e1cdebbcda6d33:66629adf06526385', '872:872:', 2, 21, 0);
INSERT INTO migrator.tenant_verdict VALUES ('4', '2026-11-28 23:07:18.224165+00', '2026-11-28 23:07:21.263136+00', true, '30e1cdebbcda6d33:66629adf06526385', '872:872:', 2, 4, 0);
INSERT INTO migrator.tenant_verdict VALUES ('5', '2026-11-28 23:07:18.224165+00', '2026-11-28 23:07:21.263136+00', true, '30e1cdebbcda6d33:66629adf06526385', '872:872:', 2, 20, 0);
INSERT INTO migrator.tenant_verdict VALUES ('6', '2026-11-28 23:07:18.224165+00', '2026-11-28 23:07:21.263136+00', true, '30e1cdebbcda6d33:66629adf06526385', '872:872:', 2, 20, 0);
INSERT INTO migrator.tenant_verdict VALUES ('2', '2026-11-28 23:07:21.263136+00', '2026-11-28 23:07:21.263136+00', true, '30e1cdebbcda6d33:66629adf06526385', '872:872:', 1, 21, 0);
INSERT INTO migrator.tenant_verdict VALUES ('1', '2026-11-28 23:07:18.94775+00', '2026-11-28 23:07:21.883152+00', true, '30e1cdebbcda6d33:66629adf06526385', '882:882:', 2, 36, 0);

INSERT INTO migrator.throttle VALUES (true, false, NULL, '', 'install');

INSERT INTO migrator.validation VALUES ('ef260732-b3e8-4e08-87fc-06b4c1ff67ed', 'manual', '2026-11-28 23:07:17.511397+00', '2026-11-28 23:07:19.414321+00', 7, 125, 1, 62.418819001322845, '30e1cdebbcda6d33:66629adf06526385', true);
INSERT INTO migrator.validation VALUES ('5d1618fe-c5e5-4291-b268-14c76f166d5e', 'manual', '2026-11-28 23:07:20.315449+00', '2026-11-28 23:07:22.313972+00', 7, 125, 0, 45.53920499893138, '30e1cdebbcda6d33:66629adf06526385', true);

INSERT INTO shop.currency VALUES ('EUR', 1);
INSERT INTO shop.currency VALUES ('JPY', 160);
INSERT INTO shop.currency VALUES ('USD', 2);

INSERT INTO shop.line VALUES (1, 2, 'sku 1', '{1,NULL}');
INSERT INTO shop.line VALUES (3, 4, 'sku 3', '{3,NULL}');
INSERT INTO shop.line VALUES (4, 5, 'sku 4', '{4,NULL}');
INSERT INTO shop.line VALUES (5, 6, 'sku 5', '{5,NULL}');
INSERT INTO shop.line VALUES (6, 7, 'sku 6', '{6,NULL}');
INSERT INTO shop.line VALUES (7, 8, 'sku 7', '{7,NULL}');
INSERT INTO shop.line VALUES (8, 9, 'sku 8', '{8,NULL}');
INSERT INTO shop.line VALUES (9, 10, 'sku 9', '{9,NULL}');
INSERT INTO shop.line VALUES (10, 11, 'sku 10', '{10,NULL}');
INSERT INTO shop.line VALUES (11, 12, 'sku 11', '{11,NULL}');
INSERT INTO shop.line VALUES (12, 13, 'sku 12', '{12,NULL}');
INSERT INTO shop.line VALUES (13, 14, 'sku 13', '{13,NULL}');
INSERT INTO shop.line VALUES (14, 15, 'sku 14', '{14,NULL}');
INSERT INTO shop.line VALUES (15, 16, 'sku 15', '{15,NULL}');
INSERT INTO shop.line VALUES (16, 17, 'sku 16', '{16,NULL}');
INSERT INTO shop.line VALUES (17, 18, 'sku 17', '{17,NULL}');
INSERT INTO shop.line VALUES (18, 19, 'sku 18', '{18,NULL}');
INSERT INTO shop.line VALUES (19, 20, 'sku 19', '{19,NULL}');
INSERT INTO shop.line VALUES (20, 21, 'sku 20', '{20,NULL}');
INSERT INTO shop.line VALUES (21, 22, 'sku 21', '{21,NULL}');
INSERT INTO shop.line VALUES (22, 23, 'sku 22', '{22,NULL}');
INSERT INTO shop.line VALUES (23, 24, 'sku 23', '{23,NULL}');
INSERT INTO shop.line VALUES (24, 1, 'sku 24', '{24,NULL}');
INSERT INTO shop.line VALUES (25, 2, 'sku 25', '{25,NULL}');
INSERT INTO shop.line VALUES (27, 4, 'sku 27', '{27,NULL}');
INSERT INTO shop.line VALUES (28, 5, 'sku 28', '{28,NULL}');
INSERT INTO shop.line VALUES (29, 6, 'sku 29', '{29,NULL}');
INSERT INTO shop.line VALUES (30, 7, 'sku 30', '{30,NULL}');
INSERT INTO shop.line VALUES (31, 8, 'sku 31', '{31,NULL}');
INSERT INTO shop.line VALUES (32, 9, 'sku 32', '{32,NULL}');
INSERT INTO shop.line VALUES (33, 10, 'sku 33', '{33,NULL}');
INSERT INTO shop.line VALUES (34, 11, 'sku 34', '{34,NULL}');
INSERT INTO shop.line VALUES (35, 12, 'sku 35', '{35,NULL}');
INSERT INTO shop.line VALUES (36, 13, 'sku 36', '{36,NULL}');
INSERT INTO shop.line VALUES (37, 14, 'sku 37', '{37,NULL}');
INSERT INTO shop.line VALUES (38, 15, 'sku 38', '{38,NULL}');
INSERT INTO shop.line VALUES (39, 16, 'sku 39', '{39,NULL}');
INSERT INTO shop.line VALUES (40, 17, 'sku 40', '{40,NULL}');
INSERT INTO shop.line VALUES (41, 18, 'sku 41', '{41,NULL}');
INSERT INTO shop.line VALUES (42, 19, 'sku 42', '{42,NULL}');
INSERT INTO shop.line VALUES (43, 20, 'sku 43', '{43,NULL}');
INSERT INTO shop.line VALUES (44, 21, 'sku 44', '{44,NULL}');
INSERT INTO shop.line VALUES (45, 22, 'sku 45', '{45,NULL}');
INSERT INTO shop.line VALUES (46, 23, 'sku 46', '{46,NULL}');
INSERT INTO shop.line VALUES (47, 24, 'sku 47', '{47,NULL}');
INSERT INTO shop.line VALUES (48, 1, 'sku 48', '{48,NULL}');
INSERT INTO shop.line VALUES (1000, 1000, 'late', '{a}');

INSERT INTO shop.purchase VALUES (2, 3, 2, 2.20, 'happy', '{"n": 2}');
INSERT INTO shop.purchase VALUES (4, 5, 4, 4.40, 'ok', '{"n": 4}');
INSERT INTO shop.purchase VALUES (6, 1, 6, 6.60, 'sad', '{"n": 6}');
INSERT INTO shop.purchase VALUES (8, 3, 8, 8.80, 'happy', '{"n": 8}');
INSERT INTO shop.purchase VALUES (9, 1, 9, 9.90, 'sad', '{"n": 9}');
INSERT INTO shop.purchase VALUES (11, 6, 11, 12.10, 'happy', '{"n": 11}');
INSERT INTO shop.purchase VALUES (12, 1, 12, 13.20, 'sad', '{"n": 12}');
INSERT INTO shop.purchase VALUES (14, 3, 14, 15.40, 'happy', '{"n": 14}');
INSERT INTO shop.purchase VALUES (16, 5, 16, 17.60, 'ok', '{"n": 16}');
INSERT INTO shop.purchase VALUES (17, 6, 17, 18.70, 'happy', '{"n": 17}');
INSERT INTO shop.purchase VALUES (18, 1, 18, 19.80, 'sad', '{"n": 18}');
INSERT INTO shop.purchase VALUES (21, 1, 21, 23.10, 'sad', '{"n": 21}');
INSERT INTO shop.purchase VALUES (22, 5, 22, 24.20, 'ok', '{"n": 22}');
INSERT INTO shop.purchase VALUES (23, 6, 23, 25.30, 'happy', '{"n": 23}');
INSERT INTO shop.purchase VALUES (24, 1, 24, 26.40, 'sad', '{"n": 24}');
INSERT INTO shop.purchase VALUES (1, 2, 1, 1.10, 'ok', '{"n": 1}');
INSERT INTO shop.purchase VALUES (7, 2, 7, 7.70, 'ok', '{"n": 7}');
INSERT INTO shop.purchase VALUES (13, 2, 13, 14.30, 'ok', '{"n": 13}');
INSERT INTO shop.purchase VALUES (19, 2, 19, 20.90, 'ok', '{"n": 19}');
INSERT INTO shop.purchase VALUES (5, 6, 5, 7.00, 'happy', '{"n": 5}');
INSERT INTO shop.purchase VALUES (10, 5, 10, 7.00, 'ok', '{"n": 10}');
INSERT INTO shop.purchase VALUES (15, 1, 15, 7.00, 'sad', '{"n": 15}');
INSERT INTO shop.purchase VALUES (20, 3, 20, 7.00, 'happy', '{"n": 20}');
INSERT INTO shop.purchase VALUES (1000, 5, 1000, 1.00, 'ok', '{"late": true}');
INSERT INTO shop.purchase VALUES (1001, 6, 1001, 2.00, NULL, NULL);

INSERT INTO shop.remark VALUES (3, 2, 'remark 2');
INSERT INTO shop.remark VALUES (4, 3, 'remark 3');
INSERT INTO shop.remark VALUES (5, 4, 'remark 4');
INSERT INTO shop.remark VALUES (6, 5, 'remark 5');
INSERT INTO shop.remark VALUES (7, 6, 'remark 6');
INSERT INTO shop.remark VALUES (8, 7, 'remark 7');
INSERT INTO shop.remark VALUES (9, 8, 'remark 8');
INSERT INTO shop.remark VALUES (10, 9, 'remark 9');
INSERT INTO shop.remark VALUES (11, 10, 'remark 10');
INSERT INTO shop.remark VALUES (12, 11, 'remark 11');
INSERT INTO shop.remark VALUES (13, 12, 'remark 12');
INSERT INTO shop.remark VALUES (14, 13, 'remark 13');
INSERT INTO shop.remark VALUES (15, 14, 'remark 14');
INSERT INTO shop.remark VALUES (16, 15, 'remark 15');
INSERT INTO shop.remark VALUES (17, 16, 'remark 16');
INSERT INTO shop.remark VALUES (18, 17, 'remark 17');
INSERT INTO shop.remark VALUES (19, 18, 'remark 18');
INSERT INTO shop.remark VALUES (20, 19, 'remark 19');
INSERT INTO shop.remark VALUES (21, 20, 'remark 20');
INSERT INTO shop.remark VALUES (22, 21, 'remark 21');
INSERT INTO shop.remark VALUES (23, 22, 'remark 22');
INSERT INTO shop.remark VALUES (24, 23, 'remark 23');
INSERT INTO shop.remark VALUES (25, 24, 'remark 24');

INSERT INTO shop.tenant VALUES (1, 'tenant 1');
INSERT INTO shop.tenant VALUES (2, 'tenant 2');
INSERT INTO shop.tenant VALUES (3, 'tenant 3');
INSERT INTO shop.tenant VALUES (4, 'tenant 4');
INSERT INTO shop.tenant VALUES (5, 'tenant 5');
INSERT INTO shop.tenant VALUES (6, 'tenant 6');

INSERT INTO shop.visit_2026 VALUES (3, '2026-12-22', 2, 'page 2');
INSERT INTO shop.visit_2026 VALUES (4, '2026-12-23', 3, 'page 3');
INSERT INTO shop.visit_2026 VALUES (5, '2026-12-24', 4, 'page 4');
INSERT INTO shop.visit_2026 VALUES (6, '2026-12-25', 5, 'page 5');
INSERT INTO shop.visit_2026 VALUES (1, '2026-12-26', 6, 'page 6');
INSERT INTO shop.visit_2026 VALUES (2, '2026-12-27', 7, 'page 7');
INSERT INTO shop.visit_2026 VALUES (3, '2026-12-28', 8, 'page 8');
INSERT INTO shop.visit_2026 VALUES (4, '2026-12-29', 9, 'page 9');
INSERT INTO shop.visit_2026 VALUES (5, '2026-12-30', 10, 'page 10');
INSERT INTO shop.visit_2026 VALUES (6, '2026-12-31', 11, 'page 11');

INSERT INTO shop.visit_2027 VALUES (1, '2027-01-01', 12, 'page 12');
INSERT INTO shop.visit_2027 VALUES (2, '2027-01-02', 13, 'page 13');
INSERT INTO shop.visit_2027 VALUES (3, '2027-01-03', 14, 'page 14');
INSERT INTO shop.visit_2027 VALUES (4, '2027-01-04', 15, 'page 15');
INSERT INTO shop.visit_2027 VALUES (5, '2027-01-05', 16, 'page 16');
INSERT INTO shop.visit_2027 VALUES (6, '2027-01-06', 17, 'page 17');
INSERT INTO shop.visit_2027 VALUES (1, '2027-01-07', 18, 'page 18');
INSERT INTO shop.visit_2027 VALUES (2, '2027-01-08', 19, 'page 19');
INSERT INTO shop.visit_2027 VALUES (3, '2027-01-09', 20, 'page 20');
INSERT INTO shop.visit_2027 VALUES (2, '2027-03-01', 500, 'late');
INSERT INTO shop.visit_2027 VALUES (2, '2027-02-02', 1, 'page 1');

SELECT pg_catalog.setval('migrator.decision_id_seq', 12, true);

SELECT pg_catalog.setval('migrator.divergence_id_seq', 1, true);

SELECT pg_catalog.setval('migrator.incident_id_seq', 4, true);

SELECT pg_catalog.setval('migrator.report_id_seq', 4, true);

SELECT pg_catalog.setval('migrator.ring', 0, true);

SELECT pg_catalog.setval('migrator.schema_change_change_id_seq', 1, false);

ALTER TABLE ONLY migrator.approval
    ADD CONSTRAINT approval_pkey PRIMARY KEY (gate);

ALTER TABLE ONLY migrator.breaker_trip
    ADD CONSTRAINT breaker_trip_pkey PRIMARY KEY (process_id, scope, scope_key);

ALTER TABLE ONLY migrator.captured_table
    ADD CONSTRAINT captured_table_pkey PRIMARY KEY (table_id);

ALTER TABLE ONLY migrator.captured_table
    ADD CONSTRAINT captured_table_qualified_key UNIQUE (qualified);

ALTER TABLE ONLY migrator.copy_snapshot
    ADD CONSTRAINT copy_snapshot_pkey PRIMARY KEY (unit_id);

ALTER TABLE ONLY migrator.copy_unit
    ADD CONSTRAINT copy_unit_pkey PRIMARY KEY (unit_id);

ALTER TABLE ONLY migrator.decision
    ADD CONSTRAINT decision_pkey PRIMARY KEY (id);

ALTER TABLE ONLY migrator.divergence
    ADD CONSTRAINT divergence_pkey PRIMARY KEY (id);

ALTER TABLE ONLY migrator.fallback
    ADD CONSTRAINT fallback_pkey PRIMARY KEY (scope, scope_key);

ALTER TABLE ONLY migrator.fence
    ADD CONSTRAINT fence_pkey PRIMARY KEY (fence_id);

ALTER TABLE ONLY migrator.heartbeat
    ADD CONSTRAINT heartbeat_pkey PRIMARY KEY (part);

ALTER TABLE ONLY migrator.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (holder);

ALTER TABLE ONLY migrator.incident
    ADD CONSTRAINT incident_pkey PRIMARY KEY (id);

ALTER TABLE ONLY migrator.installed
    ADD CONSTRAINT installed_pkey PRIMARY KEY (version);

ALTER TABLE ONLY migrator.phase
    ADD CONSTRAINT phase_pkey PRIMARY KEY (phase);

ALTER TABLE ONLY migrator.plan
    ADD CONSTRAINT plan_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY migrator."position"
    ADD CONSTRAINT position_pkey PRIMARY KEY (part);

ALTER TABLE ONLY migrator.process
    ADD CONSTRAINT process_pkey PRIMARY KEY (process_id);

ALTER TABLE ONLY migrator.report
    ADD CONSTRAINT report_pkey PRIMARY KEY (id);

ALTER TABLE ONLY migrator.route
    ADD CONSTRAINT route_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY migrator.schema_change
    ADD CONSTRAINT schema_change_pkey PRIMARY KEY (change_id);

ALTER TABLE ONLY migrator.switch
    ADD CONSTRAINT switch_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY migrator.tenant
    ADD CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY migrator.tenant_verdict
    ADD CONSTRAINT tenant_verdict_pkey PRIMARY KEY (tenant_id, first_at);

ALTER TABLE ONLY migrator.throttle
    ADD CONSTRAINT throttle_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY migrator.validation
    ADD CONSTRAINT validation_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY shop.currency
    ADD CONSTRAINT currency_pkey PRIMARY KEY (code);

ALTER TABLE ONLY shop.line
    ADD CONSTRAINT line_pkey PRIMARY KEY (id);

ALTER TABLE ONLY shop.purchase
    ADD CONSTRAINT purchase_pkey PRIMARY KEY (id);

ALTER TABLE ONLY shop.purchase
    ADD CONSTRAINT purchase_tenant_id_slot_key UNIQUE (tenant_id, slot);

ALTER TABLE ONLY shop.remark
    ADD CONSTRAINT remark_pkey PRIMARY KEY (line_id, number);

ALTER TABLE ONLY shop.tenant
    ADD CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY shop.visit
    ADD CONSTRAINT visit_pkey PRIMARY KEY (tenant_id, day, id);

ALTER TABLE ONLY shop.visit_2026
    ADD CONSTRAINT visit_2026_pkey PRIMARY KEY (tenant_id, day, id);

ALTER TABLE ONLY shop.visit_2027
    ADD CONSTRAINT visit_2027_pkey PRIMARY KEY (tenant_id, day, id);

CREATE INDEX copy_snapshot_tenant_id_idx ON migrator.copy_snapshot USING btree (tenant_id);

CREATE INDEX copy_unit_state_idx ON migrator.copy_unit USING btree (state);

CREATE INDEX fence_part_idx ON migrator.fence USING btree (part) WHERE (state = 'requested'::text);

CREATE INDEX journal_1_0_xid_idx ON migrator.journal_1_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_1_1_xid_idx ON migrator.journal_1_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_1_2_xid_idx ON migrator.journal_1_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_1_xid_idx ON migrator.journal_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_2_0_xid_idx ON migrator.journal_2_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_2_1_xid_idx ON migrator.journal_2_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_2_2_xid_idx ON migrator.journal_2_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_2_xid_idx ON migrator.journal_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_3_0_xid_idx ON migrator.journal_3_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_3_1_xid_idx ON migrator.journal_3_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_3_2_xid_idx ON migrator.journal_3_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_3_xid_idx ON migrator.journal_3 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_4_0_xid_idx ON migrator.journal_4_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_4_1_xid_idx ON migrator.journal_4_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_4_2_xid_idx ON migrator.journal_4_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_4_xid_idx ON migrator.journal_4 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_5_0_xid_idx ON migrator.journal_5_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_5_1_xid_idx ON migrator.journal_5_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_5_2_xid_idx ON migrator.journal_5_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_5_xid_idx ON migrator.journal_5 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_6_0_xid_idx ON migrator.journal_6_0 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_6_1_xid_idx ON migrator.journal_6_1 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_6_2_xid_idx ON migrator.journal_6_2 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX journal_6_xid_idx ON migrator.journal_6 USING brin (xid) WITH (pages_per_range='16');

CREATE INDEX read_sample_at_idx ON migrator.read_sample USING brin (at);

CREATE INDEX route_epoch_idx ON migrator.route USING btree (epoch);

CREATE INDEX schema_change_change_id_idx ON migrator.schema_change USING btree (change_id) WHERE (finished_at IS NULL);

CREATE INDEX tenant_state_idx ON migrator.tenant USING btree (state);

CREATE INDEX line_purchase_id_idx ON shop.line USING btree (purchase_id);

ALTER INDEX shop.visit_pkey ATTACH PARTITION shop.visit_2026_pkey;

ALTER INDEX shop.visit_pkey ATTACH PARTITION shop.visit_2027_pkey;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.currency REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_1_delete();

ALTER TABLE shop.currency ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.line REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_2_delete();

ALTER TABLE shop.line ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.purchase REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_3_delete();

ALTER TABLE shop.purchase ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.remark REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_4_delete();

ALTER TABLE shop.remark ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.tenant REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_5_delete();

ALTER TABLE shop.tenant ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.visit REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_delete();

ALTER TABLE shop.visit ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.visit_2026 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_delete();

ALTER TABLE shop.visit_2026 ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_delete AFTER DELETE ON shop.visit_2027 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_delete();

ALTER TABLE shop.visit_2027 ENABLE ALWAYS TRIGGER migrator_capture_delete;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.currency REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_1_insert();

ALTER TABLE shop.currency ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.line REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_2_insert();

ALTER TABLE shop.line ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.purchase REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_3_insert();

ALTER TABLE shop.purchase ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.remark REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_4_insert();

ALTER TABLE shop.remark ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.tenant REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_5_insert();

ALTER TABLE shop.tenant ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.visit REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_insert();

ALTER TABLE shop.visit ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.visit_2026 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_insert();

ALTER TABLE shop.visit_2026 ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_insert AFTER INSERT ON shop.visit_2027 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_insert();

ALTER TABLE shop.visit_2027 ENABLE ALWAYS TRIGGER migrator_capture_insert;

CREATE TRIGGER migrator_capture_rekey AFTER UPDATE OF code ON shop.currency FOR EACH ROW EXECUTE FUNCTION migrator.capture_1_rekey();

ALTER TABLE shop.currency ENABLE ALWAYS TRIGGER migrator_capture_rekey;

CREATE TRIGGER migrator_capture_rekey AFTER UPDATE OF line_id, number ON shop.remark FOR EACH ROW EXECUTE FUNCTION migrator.capture_4_rekey();

ALTER TABLE shop.remark ENABLE ALWAYS TRIGGER migrator_capture_rekey;

CREATE TRIGGER migrator_capture_rekey AFTER UPDATE OF tenant_id ON shop.tenant FOR EACH ROW EXECUTE FUNCTION migrator.capture_5_rekey();

ALTER TABLE shop.tenant ENABLE ALWAYS TRIGGER migrator_capture_rekey;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.currency REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_1_update();

ALTER TABLE shop.currency ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.line REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_2_update();

ALTER TABLE shop.line ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.purchase REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_3_update();

ALTER TABLE shop.purchase ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.remark REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_4_update();

ALTER TABLE shop.remark ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.tenant REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_5_update();

ALTER TABLE shop.tenant ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.visit REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_update();

ALTER TABLE shop.visit ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.visit_2026 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_update();

ALTER TABLE shop.visit_2026 ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_capture_update AFTER UPDATE ON shop.visit_2027 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION migrator.capture_6_update();

ALTER TABLE shop.visit_2027 ENABLE ALWAYS TRIGGER migrator_capture_update;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.currency FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.currency ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.line FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.line ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.purchase FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.purchase ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.remark FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.remark ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.tenant FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.tenant ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.visit FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.visit ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.visit_2026 FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.visit_2026 ENABLE ALWAYS TRIGGER migrator_guard;

CREATE TRIGGER migrator_guard BEFORE TRUNCATE ON shop.visit_2027 FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_truncate();

ALTER TABLE shop.visit_2027 ENABLE ALWAYS TRIGGER migrator_guard;

ALTER TABLE ONLY shop.line
    ADD CONSTRAINT line_purchase_id_fkey FOREIGN KEY (purchase_id) REFERENCES shop.purchase(id) ON DELETE CASCADE;

ALTER TABLE ONLY shop.purchase
    ADD CONSTRAINT purchase_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES shop.tenant(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY shop.remark
    ADD CONSTRAINT remark_line_id_fkey FOREIGN KEY (line_id) REFERENCES shop.line(id) ON DELETE CASCADE;

CREATE EVENT TRIGGER migrator_guard_ddl ON ddl_command_end
   EXECUTE FUNCTION migrator.guard_ddl();

ALTER EVENT TRIGGER migrator_guard_ddl ENABLE ALWAYS;

CREATE EVENT TRIGGER migrator_guard_detach ON ddl_command_start
         WHEN TAG IN ('ALTER TABLE')
   EXECUTE FUNCTION migrator.guard_detach();

ALTER EVENT TRIGGER migrator_guard_detach ENABLE ALWAYS;

CREATE EVENT TRIGGER migrator_guard_drop ON sql_drop
   EXECUTE FUNCTION migrator.guard_drop();

ALTER EVENT TRIGGER migrator_guard_drop ENABLE ALWAYS;
