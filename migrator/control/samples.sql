-- Statements of samples.py; those over every bucket are composed there.

-- name: fold_shadows
-- Adds up by the hour what is older than raw_s; whole minutes only.
WITH gone AS (
    DELETE FROM migrator.shadow_sample
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM migrator.shadow_sample
                              WHERE at < date_trunc('minute', clock_timestamp() - make_interval(secs => %(raw_s)s),
                                                    'UTC')
                              ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING *
), added AS (
    INSERT INTO migrator.shadow_hour AS h (at, compared, mismatched, classic_ms, limitless_ms)
    SELECT date_trunc('hour', at, 'UTC'), sum(compared), sum(mismatched),
           sum(compared * classic_ms), sum(compared * limitless_ms)
      FROM gone GROUP BY 1 ORDER BY 1
    ON CONFLICT (at) DO UPDATE
       SET compared = h.compared + EXCLUDED.compared, mismatched = h.mismatched + EXCLUDED.mismatched,
           classic_ms = h.classic_ms + EXCLUDED.classic_ms, limitless_ms = h.limitless_ms + EXCLUDED.limitless_ms
), totals AS (
    INSERT INTO migrator.read_total AS t (side, reads, errors)
    SELECT 'shadow', sum(compared), sum(mismatched) FROM gone HAVING count(*) > 0
    ON CONFLICT (side) DO UPDATE SET reads = t.reads + EXCLUDED.reads, errors = t.errors + EXCLUDED.errors
)
SELECT count(*) FROM gone;

-- name: fold_shadow_reads
-- Adds up by the minute, and keeps what the fingerprints stand for. What cannot be decided counts in totals, too.
WITH gone AS (
    DELETE FROM migrator.shadow_read_sample
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM migrator.shadow_read_sample
                              WHERE at < date_trunc('second', clock_timestamp())
                              ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING *
), added AS (
    INSERT INTO migrator.shadow_read AS r (at, fingerprint, tenant_id, compared, differing, reordered, undecided)
    SELECT date_trunc('minute', at, 'UTC'), fingerprint, tenant_id, sum(compared), sum(differing), sum(reordered),
           sum(undecided)
      FROM gone GROUP BY 1, 2, 3 ORDER BY 2, 3, 1
    ON CONFLICT (fingerprint, tenant_id, at) DO UPDATE
       SET compared = r.compared + EXCLUDED.compared, differing = r.differing + EXCLUDED.differing,
           reordered = r.reordered + EXCLUDED.reordered, undecided = r.undecided + EXCLUDED.undecided
), named AS (
    INSERT INTO migrator.shadow_statement AS s (fingerprint, statement, note)
    SELECT fingerprint, left(max(statement), 500),
           left(coalesce(max(note) FILTER (WHERE differing > 0), max(note) FILTER (WHERE note <> ''), ''), 300)
      FROM gone GROUP BY 1 ORDER BY 1
    ON CONFLICT (fingerprint) DO UPDATE
       SET seen_at = clock_timestamp(), note = CASE WHEN EXCLUDED.note = '' THEN s.note ELSE EXCLUDED.note END
), totals AS (
    INSERT INTO migrator.read_total AS t (side, reads, errors)
    SELECT 'shadow_undecided', sum(undecided), 0 FROM gone HAVING sum(undecided) > 0
    ON CONFLICT (side) DO UPDATE SET reads = t.reads + EXCLUDED.reads
)
SELECT count(*) FROM gone;

-- name: since
-- From when sums count that are asked for from a moment on (seconds since 1970), and whether samples alone answer.
SELECT CASE WHEN s.at >= clock_timestamp() - make_interval(secs => %(exact_s)s) THEN s.at
            WHEN s.at >= clock_timestamp() - make_interval(secs => %(minutes_s)s)
            THEN date_trunc('minute', s.at + interval '1 minute' - interval '1 microsecond', 'UTC')
            ELSE date_trunc('hour', s.at + interval '1 hour' - interval '1 microsecond', 'UTC') END,
       s.at >= clock_timestamp() - make_interval(secs => %(exact_s)s)
  FROM (SELECT to_timestamp(%(since)s) AS at) s;

-- name: has_baseline
-- Since the wave was chosen: its number comes again when the whole wave was deferred.
SELECT EXISTS (SELECT FROM migrator.read_baseline
                WHERE wave = %(wave)s
                  AND at >= coalesce((SELECT max(at) FROM migrator.decision
                                       WHERE kind = 'wave.chosen' AND subject = 'wave-' || %(wave)s), '-infinity'));

-- name: put_baselines
-- The baseline of all tenants is stored once: later they read from both sides.
INSERT INTO migrator.read_baseline AS b (tenant_id, wave, reads, errors, p99_ms)
SELECT u.tenant, %(wave)s, u.reads, u.errors, u.p99_ms
  FROM unnest(%(tenants)s::text[], %(reads)s::bigint[], %(errors)s::bigint[], %(p99_ms)s::float8[])
       AS u (tenant, reads, errors, p99_ms)
ON CONFLICT (tenant_id) DO UPDATE
   SET wave = EXCLUDED.wave, reads = EXCLUDED.reads, errors = EXCLUDED.errors, p99_ms = EXCLUDED.p99_ms,
       at = clock_timestamp()
 WHERE b.tenant_id IS NOT NULL;

-- name: baselines
SELECT tenant_id, reads, errors, p99_ms FROM migrator.read_baseline
 WHERE tenant_id = ANY (%(tenants)s) OR tenant_id IS NULL;
