-- Statements of sighting.py: who uses classic beside this tool.

-- name: sees_all
-- Without one of these a role sees its own sessions alone.
SELECT pg_has_role('pg_read_all_stats', 'USAGE');

-- name: look
-- Sessions of clients in every database, and walsenders; not this one, nor those of AWS' own roles. PostgreSQL 18 lists
-- connections that have not logged in yet: whose they are the next look sees, if they do.
SELECT CASE backend_type WHEN 'walsender' THEN 'walsender' ELSE 'session' END, coalesce(datname::text, ''),
       coalesce(usename::text, ''), coalesce(application_name, ''), coalesce(host(client_addr), ''),
       coalesce(bool_or(state = 'active'), false)
  FROM pg_stat_activity
 WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
   AND usesysid IS NOT NULL
   AND coalesce(usename::text, '') NOT IN ('rdsadmin', 'rdsproxyadmin')
 GROUP BY 1, 2, 3, 4, 5;

-- name: add
INSERT INTO migrator.sighting AS s (server, kind, database, role, application, client, looks, active)
SELECT %(server)s, n.kind, n.database, n.role, n.application, n.client, sum(n.looks)::bigint,
       coalesce(sum(n.looks) FILTER (WHERE n.active), 0)::bigint
  FROM unnest(%(kinds)s::text[], %(databases)s::text[], %(roles)s::text[], %(applications)s::text[],
              %(clients)s::text[], %(actives)s::bool[], %(looks)s::bigint[])
       AS n (kind, database, role, application, client, active, looks)
 GROUP BY n.kind, n.database, n.role, n.application, n.client
 ORDER BY n.kind, n.database, n.role, n.application, n.client
ON CONFLICT (server, kind, database, role, application, client) DO UPDATE
   SET last_at = clock_timestamp(), looks = s.looks + EXCLUDED.looks, active = s.active + EXCLUDED.active;

-- name: add_hour
INSERT INTO migrator.sighting_hour AS h (server, at, looks)
VALUES (%(server)s, date_trunc('hour', clock_timestamp(), 'UTC'), %(looks)s)
ON CONFLICT (server, at) DO UPDATE SET looks = h.looks + EXCLUDED.looks;

-- name: forget
DELETE FROM migrator.sighting WHERE ctid IN (
    SELECT ctid FROM migrator.sighting ORDER BY last_at DESC OFFSET %(most)s);

-- name: forget_hours
DELETE FROM migrator.sighting_hour WHERE at < clock_timestamp() - make_interval(days => %(days)s);

-- name: seen
-- One row for each role, application and database, the newest first: how many addresses, and one of them.
SELECT server, kind, database, role, application, min(first_at), max(last_at), sum(looks)::bigint,
       count(*)::int, (array_agg(client ORDER BY last_at DESC))[1:3],
       extract(epoch FROM clock_timestamp() - max(last_at))::float8, sum(active)::bigint
  FROM migrator.sighting
 GROUP BY server, kind, database, role, application
 ORDER BY max(last_at) DESC, 1, 2, 3, 4, 5;

-- name: watched
-- Of each server: since when, how many of the last hours, and how long ago the last look was begun.
SELECT server, min(at), count(*) FILTER (WHERE at > clock_timestamp() - make_interval(secs => %(within_s)s))::int,
       extract(epoch FROM clock_timestamp() - min(at))::float8, extract(epoch FROM clock_timestamp() - max(at))::float8
  FROM migrator.sighting_hour GROUP BY server ORDER BY server;

-- name: processes
SELECT DISTINCT name FROM migrator.process;
