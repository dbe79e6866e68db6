-- Facts that several parts of the tool ask for, each defined here and nowhere else: views and functions without a state of
-- their own. Installed on classic after classic.sql, in the same transaction, and put in place again by every upgrade. Status,
-- gates, throttle, monitor, mirror and metrics read these views, so that one state has one answer.

-- How far each mirror partition is behind, in seconds. A stalled mirror measures nothing, so the age of its
-- position counts too; after the hand-over no mirror runs and the last measurement stays.
CREATE VIEW migrator.partition_status AS
SELECT p.part, p.epoch, p.snapshot, p.fresh_at, a.age_s,
       CASE WHEN s.write_mode = 'limitless_only' THEN p.lag_s ELSE greatest(p.lag_s, a.age_s) END AS lag_s,
       p.depth, p.applied, p.rows_per_s, p.state, p.problem
  FROM migrator.position p
 CROSS JOIN migrator.switch s
 CROSS JOIN LATERAL (SELECT greatest(extract(epoch FROM clock_timestamp() - p.fresh_at), 0)::float8 AS age_s) a;

-- What the journal takes on disk, its indexes included. One megabyte is 1,000,000 bytes, as in the plan.
CREATE VIEW migrator.journal_status AS
SELECT j.bytes, j.bytes / 1e6::float8 AS mb
  FROM (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint AS bytes
          FROM pg_catalog.pg_class c
         WHERE c.relnamespace = 'migrator'::regnamespace AND c.relkind = 'r'
           AND c.relname ~ '^journal_[0-9]+_[0-9]+$') j;

-- Processes that run the shim. `live`: its heartbeat is within the process's own staleness limit; a silent one reads classic by
-- itself. `behind`: route changes it has not applied yet.
CREATE VIEW migrator.process_status AS
SELECT p.process_id, p.name, p.name || ' (' || p.process_id || ')' AS label, p.seen_at, p.staleness_s, p.applied_epoch,
       extract(epoch FROM clock_timestamp() - p.seen_at)::float8 AS seen_s,
       clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s) AS live,
       greatest(s.epoch - p.applied_epoch, 0) AS behind
  FROM migrator.process p
 CROSS JOIN migrator.switch s;

-- Breakers that live processes hold open. A process that died holds nothing.
CREATE VIEW migrator.open_breaker AS
SELECT t.process_id, t.scope, t.scope_key, t.reason, t.at
  FROM migrator.breaker_trip t
  JOIN migrator.process_status p USING (process_id)
 WHERE p.live;

-- Whether a fallback covers a tenant of a partition; reference tables are read for every tenant.
CREATE FUNCTION migrator.covers(scope text, scope_key text, tenant text, part int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN scope = 'all' OR (scope = 'part' AND scope_key IN (part::text, '0'))
       OR (scope = 'tenant' AND scope_key = tenant);

-- Each route with the effective level: the lowest of the route, the switch and every fallback that covers the tenant.
CREATE VIEW migrator.route_status AS
SELECT r.tenant_id, r.part, r.wave, r.level AS route, r.reads_pct, r.epoch, r.changed_by, r.reason,
       (ARRAY['classic', 'joining', 'limitless'])[least(
           array_position(ARRAY['classic', 'joining', 'limitless'], r.level),
           array_position(ARRAY['classic', 'joining', 'limitless'], s.level),
           (SELECT min(array_position(ARRAY['classic', 'joining', 'limitless'], f.level)) FROM migrator.fallback f
             WHERE migrator.covers(f.scope, f.scope_key, r.tenant_id, r.part)))] AS level
  FROM migrator.route r
 CROSS JOIN migrator.switch s;

-- Holds that count now: one whose date has come ends by itself.
CREATE VIEW migrator.held_tenant AS
SELECT tenant_id, reason, held_by, held_at, wave, until
  FROM migrator.tenant_hold
 WHERE until IS NULL OR until > clock_timestamp();

-- Tenants that have no rows on either side: deleted, or merged into others. The last validation counted none, and the
-- mirror noted no change after the moment it began at. They hold up nothing; when rows of such a name come again, it is
-- in this view no more.
CREATE VIEW migrator.empty_tenant AS
SELECT tenant_id FROM migrator.tenant
 WHERE state = 'mirrored' AND rows = 0 AND divergent = 0 AND clean_at = validated_at
   AND (changed_at IS NULL OR changed_at < clean_at);

-- Tenants that were cut over in their wave and are back on classic. A tenant that was given another wave since waits.
-- CASE and NOT IN keep the two look-ups hashed: right after the rollback of a large wave no statistics tell a planner that a
-- join of these tables has many rows on both sides. A route without a wave would compare with each of the hashed rows.
CREATE VIEW migrator.rolled_back AS
SELECT r.tenant_id, r.wave, r.changed_by, r.reason
  FROM migrator.route r
 WHERE r.level = 'classic' AND r.wave IS NOT NULL
   AND CASE WHEN (r.tenant_id, r.wave) IN (SELECT tenant_id, wave FROM migrator.tenant WHERE wave IS NOT NULL)
            THEN true ELSE false END
   AND r.tenant_id NOT IN (SELECT tenant_id FROM migrator.empty_tenant);

-- What decides how rows compare, on this side: names, types and collations of the columns of migrated tables.
CREATE FUNCTION migrator.classic_fingerprint() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT left(encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')),
                       'hex'), 16)
      FROM (SELECT concat_ws('|', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), o.collname)
              FROM migrator.captured_table t
              JOIN pg_class c ON c.oid = t.relid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              LEFT JOIN pg_collation o ON o.oid = a.attcollation) s (line)
$$;

-- The schemas as they are: classic's now, Limitless's as the last validation saw it.
CREATE FUNCTION migrator.schema_fingerprint() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT migrator.classic_fingerprint() || ':' || coalesce(
        (SELECT split_part(schema_fingerprint, ':', 2) FROM migrator.validation
          WHERE schema_fingerprint IS NOT NULL ORDER BY started_at DESC LIMIT 1), '')
$$;

-- What gates may believe about a tenant: a verdict at another schema is none. In scalar subqueries the fingerprint is taken
-- once for all tenants; in FROM it would be taken for each, and it reads the catalog.
CREATE VIEW migrator.gate_fact AS
SELECT t.tenant_id, t.part, t.state, t.wave, t.reason, t.changed_at, t.validated_at, t.divergent, t.clean_fence,
       CASE WHEN t.clean_fingerprint = (SELECT migrator.schema_fingerprint()) THEN t.clean_at END AS clean_at,
       t.clean_at IS NOT NULL
           AND t.clean_fingerprint IS DISTINCT FROM (SELECT migrator.schema_fingerprint()) AS outdated
  FROM migrator.tenant t;

-- The same about the reference tables, which every tenant reads: one row where there are any, else none. A verdict from
-- before their last copy says nothing, however late it was stored, and none counts as clean while they are copied.
CREATE VIEW migrator.reference_fact AS
SELECT v.divergent,
       CASE WHEN v.clean AND v.fingerprint = f.now AND NOT c.going_on THEN v.last_at END AS clean_at,
       coalesce(v.clean AND v.fingerprint <> f.now, false) AS outdated
  FROM (SELECT migrator.schema_fingerprint() AS now) f
 CROSS JOIN (SELECT max(generation) FILTER (WHERE NOT superseded) AS generation,
                    coalesce(max(finished_at), '-infinity') AS finished_at,
                    coalesce(bool_or(state <> 'joined'), false) AS going_on
               FROM migrator.copy_unit WHERE part = 0) c
  LEFT JOIN LATERAL (SELECT divergent, clean, fingerprint, last_at FROM migrator.tenant_verdict
                      WHERE tenant_id IS NULL AND generation IS NOT DISTINCT FROM c.generation
                        AND last_at > c.finished_at
                      ORDER BY last_at DESC LIMIT 1) v ON true
 WHERE EXISTS (SELECT FROM migrator.captured_table WHERE descriptor ->> 'kind' <> 'sharded');

-- Those that still stand: not repaired, and in a copy that was not replaced since, however late they were stored.
CREATE VIEW migrator.open_divergence AS
SELECT id, run_id, found_at, table_name, tenant_id, generation, key, rows, kind, columns, fence, repaired_at, repaired_by
  FROM migrator.divergence d
 WHERE repaired_at IS NULL
   AND NOT EXISTS (SELECT FROM migrator.tenant t WHERE t.tenant_id = d.tenant_id AND t.generation <> d.generation);

-- What has the tool's rights, and would serve a trigger that an application's role makes on a table of its own. The tables'
-- own triggers run it without a right.
REVOKE EXECUTE ON FUNCTION migrator.mark_epoch(), migrator.take_replicas_out(), migrator.join_incidents(),
    migrator.refuse_change() FROM PUBLIC;
