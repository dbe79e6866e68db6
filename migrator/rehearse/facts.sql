-- Statements of facts.py: what classic says of a rehearsal, asked past the tool's own functions, whose witness this is.

-- name: facts
-- Everything the rehearsal waits for and draws, in one look at the control schema. One JSON object.
SELECT jsonb_build_object(
    'level', s.level,
    'write_mode', s.write_mode,
    'phases', (SELECT coalesce(jsonb_object_agg(phase, jsonb_build_object(
                   'state', state, 'detail', detail, 'blockers', blockers, 'next_step', next_step)), '{}')
                 FROM migrator.phase),
    'tenants', (SELECT coalesce(jsonb_object_agg(state, n), '{}')
                  FROM (SELECT state, count(*) AS n FROM migrator.tenant GROUP BY state) AS t),
    'units', (SELECT coalesce(jsonb_object_agg(state, n), '{}')
                FROM (SELECT state, count(*) AS n FROM migrator.copy_unit GROUP BY state) AS u),
    'copying', (SELECT coalesce(jsonb_agg(worker), '[]') FROM migrator.copy_unit WHERE state = 'copying'),
    'attempts', (SELECT coalesce(max(attempts), 0) FROM migrator.copy_unit),
    'copied_rows', (SELECT coalesce(sum(copied_rows), 0) FROM migrator.copy_unit),
    'copied_s', (SELECT coalesce(extract(epoch FROM max(finished_at) - min(started_at)), 0) FROM migrator.copy_unit),
    'moved', (SELECT count(*) FROM migrator.route WHERE level = 'limitless' AND reads_pct > 0),
    'reading', (SELECT count(*) FROM migrator.route AS r
                 WHERE r.level = 'limitless' AND r.reads_pct > 0 AND s.level = 'limitless'
                   AND NOT EXISTS (SELECT 1 FROM migrator.fallback AS f
                                    WHERE f.scope = 'all'
                                       OR f.scope = 'part' AND f.scope_key IN (r.part::text, '0')
                                       OR f.scope = 'tenant' AND f.scope_key = r.tenant_id)),
    'fallbacks', (SELECT coalesce(jsonb_agg(jsonb_build_object('scope', scope, 'key', scope_key, 'level', level,
                      'by', raised_by, 'at', extract(epoch FROM raised_at))), '[]') FROM migrator.fallback),
    'trips', (SELECT count(*) FROM migrator.breaker_trip),
    -- An idle partition publishes once a second; older than that, it hangs, and its age is its lag.
    'lag_s', (SELECT max(CASE WHEN age_s > 1.5 THEN age_s ELSE lag_s END)
                FROM (SELECT lag_s, extract(epoch FROM clock_timestamp() - fresh_at) AS age_s
                        FROM migrator.position) AS p),
    'applied', (SELECT coalesce(sum(applied), 0) FROM migrator.position),
    'problems', (SELECT coalesce(jsonb_agg('partition ' || part || ': ' || problem), '[]')
                   FROM migrator.position WHERE problem IS NOT NULL),
    'processes', (SELECT count(*) FROM migrator.process
                   WHERE clock_timestamp() < seen_at + staleness_s * interval '1 second'),
    -- Of its newest start; and classic's reads by the server that answered.
    'replica', coalesce((SELECT level FROM migrator.replica ORDER BY epoch DESC LIMIT 1), ''),
    'reads', (SELECT coalesce(jsonb_object_agg(server, n), '{}')
                FROM (SELECT CASE WHEN side = 'classic/writer' THEN 'writer' ELSE 'replica' END AS server, sum(reads) AS n
                        FROM (SELECT side, reads FROM migrator.read_sample WHERE tenant_id IS NULL
                              UNION ALL SELECT side, reads FROM migrator.read_minute WHERE tenant_id IS NULL
                              UNION ALL SELECT side, reads FROM migrator.read_hour WHERE tenant_id IS NULL) AS s
                       WHERE starts_with(side, 'classic/')
                       GROUP BY 1) AS r),
    'incidents', (SELECT count(*) FROM migrator.incident),
    'divergent', (SELECT coalesce(sum(divergent), 0) FROM migrator.tenant),
    'validations', (SELECT count(*) FROM migrator.validation WHERE finished_at IS NOT NULL)
)
  FROM migrator.switch AS s;

-- name: waves
-- Per tenant the wave it moved in, and whether it is hot.
SELECT t.tenant_id, coalesce(r.wave, t.wave), t.hot
  FROM migrator.tenant AS t
  LEFT JOIN migrator.route AS r USING (tenant_id);
