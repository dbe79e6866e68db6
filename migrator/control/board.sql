-- Statements of board.py: what the board reads beside the status.

-- name: log
-- A page of the decision log, the newest first, from before a line; one more than is shown tells whether there are older ones.
SELECT id, at, who, kind, subject, reason
  FROM migrator.decision
 WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
 ORDER BY id DESC
 LIMIT %(limit)s;

-- name: tenants
-- Names of a page of tenants. A tenant is listed when it was inventoried, routed, held or ordered.
SELECT x.tenant_id
  FROM (SELECT tenant_id FROM migrator.tenant
         UNION SELECT tenant_id FROM migrator.route
         UNION SELECT tenant_id FROM migrator.held_tenant
         UNION SELECT tenant_id FROM migrator.tenant_order) x
 WHERE (%(after)s::text IS NULL OR x.tenant_id COLLATE "C" > %(after)s)
   AND (%(text)s = '' OR strpos(lower(x.tenant_id), lower(%(text)s)) > 0)
   AND CASE %(show)s
       WHEN 'all' THEN true
       WHEN 'limitless' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.route_status WHERE level = 'limitless')
       WHEN 'joining' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.route_status WHERE level = 'joining')
       WHEN 'classic' THEN x.tenant_id NOT IN (SELECT tenant_id FROM migrator.route_status WHERE level <> 'classic')
       WHEN 'held' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.held_tenant)
       WHEN 'rolled_back' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.rolled_back)
       WHEN 'fallen_back' THEN EXISTS (SELECT FROM migrator.tenant t JOIN migrator.fallback f
                                           ON migrator.covers(f.scope, f.scope_key, t.tenant_id, t.part)
                                        WHERE t.tenant_id = x.tenant_id)
       WHEN 'divergent' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.tenant WHERE divergent > 0)
       WHEN 'hot' THEN x.tenant_id IN (SELECT tenant_id FROM migrator.tenant WHERE hot)
       ELSE x.tenant_id IN (SELECT tenant_id FROM migrator.tenant WHERE state = %(show)s)
       END
 ORDER BY x.tenant_id COLLATE "C"
 LIMIT %(limit)s;
