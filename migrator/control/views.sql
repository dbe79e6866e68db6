-- Facts that several parts of the tool ask for, each defined here and nowhere else. Installed on classic after
-- classic.sql, in the same transaction. Status, gates, throttle, monitor, mirror and metrics read these views, so that
-- one state has one answer.

-- How far each mirror partition is behind, in seconds. A mirror that stands still measures nothing, so the age of its
-- position counts too; after the hand-over nobody mirrors any more and the last measurement stays.
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

-- Processes that run the shim. `live`: heard of within the process's own staleness limit; a silent one reads classic by
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

-- Whether a fallback covers a tenant of a partition; reference tables are read by everybody.
CREATE FUNCTION migrator.covers(scope text, scope_key text, tenant text, part int) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN scope = 'all' OR (scope = 'part' AND scope_key IN (part::text, '0'))
       OR (scope = 'tenant' AND scope_key = tenant);

-- Each route with the level in force: the lowest of the route, the switch and every fallback that covers the tenant.
CREATE VIEW migrator.route_status AS
SELECT r.tenant_id, r.part, r.wave, r.level AS route, r.reads_pct, r.epoch, r.changed_by, r.reason,
       (ARRAY['classic', 'joining', 'limitless'])[least(
           array_position(ARRAY['classic', 'joining', 'limitless'], r.level),
           array_position(ARRAY['classic', 'joining', 'limitless'], s.level),
           (SELECT min(array_position(ARRAY['classic', 'joining', 'limitless'], f.level)) FROM migrator.fallback f
             WHERE migrator.covers(f.scope, f.scope_key, r.tenant_id, r.part)))] AS level
  FROM migrator.route r
 CROSS JOIN migrator.switch s;

-- Tenants that were cut over in their wave and are back on classic. A tenant that was given another wave since waits.
CREATE VIEW migrator.rolled_back AS
SELECT t.tenant_id, t.wave, r.changed_by, r.reason
  FROM migrator.tenant t
  JOIN migrator.route r ON r.tenant_id = t.tenant_id AND r.wave = t.wave
 WHERE r.level = 'classic';
