-- The contract in SQL (docs/contract.md): what a client in any language asks classic to keep the promises of the shim.
-- Functions without a state of their own. Installed on classic after views.sql, in the same transaction, and put in place
-- again by every upgrade. Changes are additive: a new meaning is a new function, and a higher contract_version.
--
-- They have the rights of the tool, so that a client's role needs no right on a table; each writes no more than a shim may.
-- Those that decide by a snapshot refuse where it may be an old one. Every decision is one statement, so one snapshot.

CREATE FUNCTION migrator.contract_version() RETURNS int LANGUAGE sql IMMUTABLE RETURN 1;

-- A bound of the plan, in seconds; *otherwise* where the plan does not say (migrator.shim.settings).
CREATE FUNCTION migrator.client_bound(named text, otherwise double precision) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT (p.shim ->> named)::double precision FROM migrator.plan p), otherwise)
$$;

-- A replica has routes and positions of some time ago.
CREATE FUNCTION migrator.client_on_writer() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'asked of a replica, which may not know the routes of now'
            USING ERRCODE = 'MG015', HINT = 'Ask classic''s writer.';
    END IF;
END $$;

-- Lets the server end this transaction where its client is frozen in it: it holds the row that every route change takes,
-- and a rollback waits 5 s for that one.
CREATE FUNCTION migrator.client_brief() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '2s', true)
      WHERE current_setting('idle_in_transaction_session_timeout')::interval = interval '0'
         OR current_setting('idle_in_transaction_session_timeout')::interval > interval '2 s';
END $$;

-- Fails where a login has more processes on the register than any application: each route change looks at all of them.
CREATE FUNCTION migrator.client_room() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM migrator.process p WHERE p.login = session_user LIMIT 10000) counted) < 10000 THEN
        RETURN;
    END IF;
    DELETE FROM migrator.process p USING (
        SELECT q.process_id FROM migrator.process q
         WHERE q.login = session_user AND q.seen_at < clock_timestamp() - make_interval(secs => q.staleness_s + 60)
         LIMIT 1000 FOR UPDATE SKIP LOCKED) gone
     WHERE p.process_id = gone.process_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this login has registered 10,000 processes, and they are live' USING ERRCODE = 'MG018',
            HINT = 'Register each process once, under one identity, and call migrator.client_leave when it ends.';
    END IF;
END $$;

-- Fails where the answer would rest on an old snapshot, or on a heartbeat that is not committed.
CREATE FUNCTION migrator.client_fresh() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM migrator.client_on_writer();
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'asked in a transaction of isolation level %, whose snapshot may be an old one',
                        current_setting('transaction_isolation')
            USING ERRCODE = 'MG015',
                  HINT = 'Ask in a transaction of its own: BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE.';
    END IF;
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'asked in a transaction that has written, so its own heartbeat may not be committed'
            USING ERRCODE = 'MG015', HINT = 'Commit first, then ask in a transaction of its own.';
    END IF;
END $$;

-- A write token as a row; NULL in xid: a write on Limitless.
CREATE FUNCTION migrator.client_parsed(token text, OUT epoch bigint, OUT mark uuid, OUT xid xid8, OUT parts bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text[] := regexp_match(token, '^w1-([0-9]{1,18})-([0-9a-f]{32})-([0-9]{1,19})-([0-9]{1,19})$');
BEGIN
    parts := 4611686018427387903;
    IF token = 'w1-over' THEN
        RETURN;
    END IF;
    IF found IS NULL OR found[4]::numeric > parts OR found[3]::numeric > 9223372036854775807 THEN
        RAISE EXCEPTION 'a write token cannot be read (not shown)'
            USING ERRCODE = 'MG013', HINT = 'Give it as migrator.client_token() answered it.';
    END IF;
    epoch := found[1];
    mark := found[2]::uuid;
    xid := found[3]::xid8;
    parts := found[4];
END $$;

-- Registers a process, or renews that; it has to be committed before anything is asked. The seconds for which answers may
-- be acted on count from before this was sent. epoch and mark: of the oldest answer that is still acted on; NULL: of none.
CREATE FUNCTION migrator.client_beat(
    process text, name text, epoch bigint DEFAULT NULL, mark text DEFAULT NULL, staleness_s double precision DEFAULT NULL,
    OUT contract int, OUT valid_s double precision, OUT beat_s double precision, OUT ack_wait_s double precision,
    OUT give_up_s double precision, OUT closed_wait_s double precision, OUT read_timeout_s double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    applied bigint;
    newest bigint;
    before record;
    registered_s double precision;
    behind_epoch bigint;
    behind_at timestamptz;
BEGIN
    IF process IS NULL OR process = '' OR length(process) > 200 OR name IS NULL OR name = '' OR length(name) > 200
       OR process ~ '[[:cntrl:]]' OR name ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'process and name must be texts of 1 to 200 characters, none of them a control character'
            USING ERRCODE = 'MG016',
                  HINT = 'Give each running process its own random identity, and the application''s name.';
    END IF;
    IF staleness_s < 0.2 THEN
        RAISE EXCEPTION 'staleness_s is % s, must be at least 0.2 s', staleness_s USING ERRCODE = 'MG016';
    END IF;
    contract := migrator.contract_version();
    valid_s := least(staleness_s, migrator.client_bound('staleness_s', 3));  -- no longer than the tool counts on
    beat_s := valid_s / 3;
    ack_wait_s := migrator.client_bound('ack_wait_s', 1);
    closed_wait_s := migrator.client_bound('closed_wait_s', 30);
    read_timeout_s := migrator.client_bound('read_timeout_s', 5);
    registered_s := valid_s * 1.1 + 0.25;  -- as migrator.shim.settings: clocks do not run at exactly the same speed
    -- A fallback is confirmed at the latest when every process has confirmed it or fallen silent.
    give_up_s := ack_wait_s + migrator.client_bound('staleness_s', 3) * 1.1 + 0.25
                 + 2 * migrator.client_bound('poll_s', 0.5) + 5;
    PERFORM migrator.client_brief();  -- a trigger of the register may take the row of the switch
    PERFORM set_config('synchronous_commit', 'on', true)
      WHERE current_setting('synchronous_commit') <> 'remote_apply';
    SELECT s.epoch, CASE WHEN client_beat.epoch IS NULL THEN s.epoch  -- what it asks from now on is no older
                         ELSE coalesce((SELECT m.epoch FROM migrator.epoch_mark m
                                         WHERE m.epoch = client_beat.epoch AND m.mark::text = client_beat.mark), 0) END
      INTO newest, applied FROM migrator.switch s;
    SELECT p.* INTO before FROM migrator.process p WHERE p.process_id = client_beat.process FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM migrator.client_room();
    ELSIF clock_timestamp() <= before.seen_at + make_interval(secs => before.staleness_s) THEN
        -- What it was told before may still be acted on for as long as was said then.
        registered_s := greatest(registered_s, before.staleness_s);
        behind_epoch := before.behind_epoch;
        behind_at := before.behind_at;
    END IF;
    -- Every answer that is older than an epoch has run out (R9) once it is that long since the epoch was seen here. So no
    -- rollback waits for a process that goes on with heartbeats and does not follow: one that has lost a read, for example.
    IF applied >= newest THEN
        behind_epoch := NULL;
        behind_at := NULL;
    ELSIF behind_at IS NULL THEN
        behind_epoch := newest;
        behind_at := clock_timestamp();
    ELSE
        applied := greatest(applied, before.applied_epoch);
        IF clock_timestamp() > behind_at + make_interval(secs => registered_s) THEN
            applied := greatest(applied, behind_epoch);
            behind_epoch := newest;
            behind_at := clock_timestamp();
        END IF;
    END IF;
    INSERT INTO migrator.process AS p (process_id, name, started_at, seen_at, applied_epoch, staleness_s, login,
                                       behind_epoch, behind_at)
    VALUES (process, name, clock_timestamp(), clock_timestamp(), coalesce(applied, 0), registered_s, session_user,
            behind_epoch, behind_at)
    ON CONFLICT (process_id) DO UPDATE
       SET seen_at = clock_timestamp(), applied_epoch = EXCLUDED.applied_epoch, staleness_s = EXCLUDED.staleness_s,
           login = EXCLUDED.login, behind_epoch = EXCLUDED.behind_epoch, behind_at = EXCLUDED.behind_at;
END $$;

-- Takes a process off the register, so that no change waits for it.
CREATE FUNCTION migrator.client_leave(process text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM migrator.breaker_trip t WHERE t.process_id = client_leave.process;
    DELETE FROM migrator.process p WHERE p.process_id = client_leave.process;
END $$;

-- Where one tenant's reads go now. tokens: of writes that the read has to see, with dots between them. valid_s: how long
-- the answer may be acted on, from before the question was sent; NULL: for good. beat: a heartbeat is due.
CREATE FUNCTION migrator.client_side(
    process text, tenant text, tokens text DEFAULT NULL,
    OUT side text, OUT why text, OUT valid_s double precision, OUT epoch bigint, OUT mark text, OUT writes text,
    OUT beat boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen record;
    given text;
BEGIN
    PERFORM migrator.client_fresh();
    IF tenant IS NULL OR process IS NULL THEN
        RAISE EXCEPTION 'process and tenant must not be NULL' USING ERRCODE = 'MG016';
    END IF;
    IF length(tokens) > 2000 THEN
        RAISE EXCEPTION 'more write tokens than one read may name' USING ERRCODE = 'MG013',
            HINT = 'Read on classic''s writer: it has every write until the migration is over.';
    END IF;
    SELECT s.epoch, s.write_mode, m.mark, r.level AS own, r.part, r.reads_pct, t.level,
           extract(epoch FROM p.seen_at + make_interval(secs => (p.staleness_s - 0.25) / 1.1) - clock_timestamp()) AS left_s,
           (p.staleness_s - 0.25) / 1.1 AS whole_s, p.applied_epoch,
           (SELECT count(*) FROM migrator.position o
             WHERE o.part IN (0, r.part)
               AND extract(epoch FROM clock_timestamp() - o.fresh_at) <= migrator.client_bound('max_lag_s', 5)) AS near,
           (SELECT jsonb_object_agg(o.part, o.snapshot) FROM migrator.position o WHERE o.part IN (0, r.part)) AS positions,
           (SELECT jsonb_object_agg(k.epoch, k.mark) FROM migrator.epoch_mark k
             WHERE k.epoch = ANY (ARRAY(SELECT split_part(w, '-', 2)::bigint FROM regexp_split_to_table(tokens, '[.]') w
                                         WHERE w ~ '^w1-[0-9]{1,18}-'))) AS marks
      INTO seen
      FROM migrator.switch s
      LEFT JOIN migrator.epoch_mark m ON m.epoch = s.epoch
      LEFT JOIN migrator.process p ON p.process_id = client_side.process
      LEFT JOIN migrator.route r ON r.tenant_id = client_side.tenant
      LEFT JOIN migrator.route_status t ON t.tenant_id = client_side.tenant;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the control schema on classic is not complete' USING ERRCODE = 'MG017';
    END IF;
    epoch := seen.epoch;
    mark := seen.mark;
    writes := CASE seen.write_mode WHEN 'closed' THEN 'closed' WHEN 'limitless_only' THEN 'limitless' ELSE 'classic' END;
    IF seen.write_mode = 'limitless_only' THEN
        side := 'limitless';
        why := 'over';
        beat := coalesce(seen.left_s < seen.whole_s * 2 / 3 OR seen.applied_epoch < seen.epoch, true);
        RETURN;
    END IF;
    valid_s := greatest(coalesce(seen.left_s, 0), 0);
    beat := coalesce(seen.left_s < seen.whole_s * 2 / 3 OR seen.applied_epoch < seen.epoch, true);
    side := 'classic';
    why := CASE WHEN valid_s = 0 THEN 'not registered' WHEN seen.own IS NULL THEN 'never moved'
                WHEN seen.own <> 'limitless' THEN 'route' WHEN seen.level <> 'limitless' THEN 'fallback'
                WHEN random() * 100 >= seen.reads_pct THEN 'percentage'
                WHEN seen.near < CASE seen.part WHEN 0 THEN 1 ELSE 2 END THEN 'the mirror lags' END;
    FOREACH given IN ARRAY string_to_array(coalesce(tokens, ''), '.') LOOP
        IF given = 'w1-over' THEN
            RAISE EXCEPTION 'a write token names a write on Limitless, and classic takes the writes'
                USING ERRCODE = 'MG013', HINT = 'The token is of another system, or classic was restored.';
        END IF;
        why := coalesce(why, CASE WHEN NOT migrator.client_holds(seen.positions, seen.marks, coalesce(seen.part, 0), given)
                                   THEN 'not there yet' END);
    END LOOP;
    IF why IS NULL THEN
        side := 'limitless';
        why := 'route';
    END IF;
END $$;

-- Whether positions of partition 0 and *part* hold a write, in the history it belongs to.
CREATE FUNCTION migrator.client_holds(positions jsonb, marks jsonb, part int, given text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token record := migrator.client_parsed(given);
    number int;
BEGIN
    IF token.parts & (1 | 1::bigint << part) = 0 THEN
        RETURN true;  -- it touched nothing that this tenant reads
    END IF;
    IF marks ->> token.epoch::text IS DISTINCT FROM token.mark::text THEN
        RETURN false;
    END IF;
    FOREACH number IN ARRAY ARRAY[0, part] LOOP
        IF token.parts & (1::bigint << number) <> 0
           AND NOT coalesce(pg_visible_in_snapshot(token.xid, (positions ->> number::text)::pg_snapshot), false) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- For a client with a heartbeat of its own: every tenant whose reads may go to Limitless. tenants: of each the mirror
-- partition and the share of reads in percent; NULL: as at the epoch and mark that were given. fresh: partitions that may be
-- read; a tenant needs its own and 0.
CREATE FUNCTION migrator.client_view(
    process text, known_epoch bigint DEFAULT NULL, known_mark text DEFAULT NULL,
    OUT epoch bigint, OUT mark text, OUT writes text, OUT valid_s double precision, OUT beat boolean,
    OUT fresh int[], OUT tenants jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM migrator.client_fresh();
    SELECT s.epoch, m.mark::text,
           CASE s.write_mode WHEN 'closed' THEN 'closed' WHEN 'limitless_only' THEN 'limitless' ELSE 'classic' END,
           CASE WHEN s.write_mode <> 'limitless_only' THEN greatest(coalesce(l.left_s, 0), 0) END,
           coalesce(l.left_s < l.whole_s * 2 / 3 OR l.applied_epoch < s.epoch, true),
           ARRAY(SELECT o.part::int FROM migrator.position o
                  WHERE extract(epoch FROM clock_timestamp() - o.fresh_at) <= migrator.client_bound('max_lag_s', 5)
                  ORDER BY 1),
           CASE WHEN s.epoch IS DISTINCT FROM known_epoch OR m.mark::text IS DISTINCT FROM known_mark
                THEN (SELECT coalesce(jsonb_object_agg(t.tenant_id, jsonb_build_array(t.part, t.reads_pct)), '{}')
                        FROM migrator.route t  -- as in migrator.route_status, where a fallback of either level counts
                       WHERE s.level = 'limitless' AND t.level = 'limitless'
                         AND NOT EXISTS (SELECT FROM migrator.fallback f
                                          WHERE f.scope = 'all' OR f.scope = 'part' AND f.scope_key = '0')
                         AND t.part::text NOT IN (SELECT f.scope_key FROM migrator.fallback f WHERE f.scope = 'part')
                         AND t.tenant_id NOT IN (SELECT f.scope_key FROM migrator.fallback f WHERE f.scope = 'tenant')) END
      INTO epoch, mark, writes, valid_s, beat, fresh, tenants
      FROM migrator.switch s
      LEFT JOIN migrator.epoch_mark m ON m.epoch = s.epoch
      LEFT JOIN LATERAL (SELECT p.applied_epoch, (p.staleness_s - 0.25) / 1.1 AS whole_s,
                                extract(epoch FROM p.seen_at + make_interval(secs => (p.staleness_s - 0.25) / 1.1)
                                                   - clock_timestamp()) AS left_s
                           FROM migrator.process p WHERE p.process_id = client_view.process) l ON true;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the control schema on classic is not complete' USING ERRCODE = 'MG017';
    END IF;
END $$;

-- Names a transaction that is about to commit, as text; NULL when it wrote nothing. parts: as the setting migrator.parts.
CREATE FUNCTION migrator.client_named(number text, parts text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen record;
    every bigint := 4611686018427387903;  -- of a transaction whose partitions are not known
BEGIN
    SELECT s.write_mode, s.epoch, m.mark INTO seen
      FROM migrator.switch s LEFT JOIN migrator.epoch_mark m ON m.epoch = s.epoch;
    IF seen.write_mode IS NULL THEN
        RAISE EXCEPTION 'the control schema on classic is not complete' USING ERRCODE = 'MG017';
    ELSIF seen.write_mode = 'closed' THEN
        RAISE EXCEPTION 'writes are closed for the hand-over' USING ERRCODE = 'MG001',
            HINT = 'Roll back, ask migrator.client_side until it says where writes go, then write again.';
    ELSIF seen.write_mode = 'limitless_only' THEN
        RAISE EXCEPTION 'the migration is over: Limitless takes the writes' USING ERRCODE = 'MG011',
            HINT = 'Roll back, and write on Limitless, now and from now on.';
    END IF;
    IF number IS NULL THEN
        RETURN NULL;
    END IF;
    -- Capture writes plain numbers above zero, and 00 stands for none; anything else was set by the application.
    RETURN format('w1-%s-%s-%s-%s',
        coalesce(seen.epoch, 0), replace(coalesce(seen.mark::text, repeat('0', 32)), '-', ''), number,
        CASE WHEN parts = '00' THEN 0
             WHEN parts ~ '^[1-9][0-9]{0,18}$' AND parts::numeric < 9223372036854775808 THEN parts::bigint & every
             ELSE every END);
END $$;

-- Asked as the last statement before COMMIT. begun: the mark that BEGIN gave the transaction (SET LOCAL migrator.begun), by
-- which one that the application began instead is told. With the rights of the caller, as deferred triggers of the
-- application fire here; nothing is set and every name is qualified, so that they find their own search_path.
CREATE FUNCTION migrator.client_token(begun text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    number pg_catalog.text;
    parts pg_catalog.text;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    IF NOT pg_catalog.texteq(pg_catalog.current_setting('synchronous_commit'), 'remote_apply') THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    number := pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text;
    parts := pg_catalog.current_setting('migrator.parts', true);
    IF begun IS NOT NULL
       AND NOT coalesce(pg_catalog.texteq(pg_catalog.current_setting('migrator.begun', true), begun), false) THEN
        IF NOT pg_catalog.texteq(pg_catalog.current_setting('transaction_deferrable'), 'on') THEN
            RAISE EXCEPTION 'the transaction that ends is not the one that began, so its write cannot be acknowledged'
                USING ERRCODE = 'MG012', HINT = 'Roll back. Let no application end the transaction by itself.';
        END IF;
        -- Its marks were reset, or it is the next of a chain: a transaction before it may have written too.
        number := pg_catalog.pg_current_xact_id()::pg_catalog.text;
        parts := NULL;
    END IF;
    RETURN migrator.client_named(number, parts);
END $$;

-- Whether every read that begins from now on, in any process, sees a write; and which partitions do not hold it that
-- tenants read, or that tenants of today's routes wait for. In one statement, whose snapshot is younger than the write's
-- COMMIT: so a tenant that is promoted later is promoted behind the write (docs/protocols.md). As long as some process has
-- not confirmed the present epoch it may act on any since the one that it has: a route that changed since counts as waiting,
-- and switch and fallbacks do not count.
CREATE FUNCTION migrator.client_judged(
    process text, token text, OUT live boolean, OUT known boolean, OUT ended boolean, OUT seen boolean, OUT behind int[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given record := migrator.client_parsed(token);
BEGIN
    -- OFFSET 0: each of these is worked out once, and not for every tenant.
    SELECT EXISTS (SELECT FROM migrator.process p WHERE p.process_id = client_judged.process
                      AND clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s)),
           k.known, k.ended,
           k.known AND k.ended
             AND (s.write_mode = 'limitless_only'
                  OR (NOT EXISTS (SELECT FROM migrator.replica c WHERE c.level <> 'out' OR c.epoch > a.applied)
                      AND CASE WHEN cardinality(u.parts) = 0 THEN true
                               WHEN a.applied >= s.epoch THEN cardinality(w.parts) = 0
                               WHEN 0 = ANY (u.parts)
                               THEN NOT EXISTS (SELECT FROM migrator.route r WHERE r.level <> 'classic')
                                    AND NOT EXISTS (SELECT FROM migrator.route r WHERE r.epoch > a.applied)
                               ELSE NOT EXISTS (SELECT FROM migrator.route r
                                                 WHERE r.part = ANY (u.parts) AND r.level <> 'classic')
                                    AND NOT EXISTS (SELECT FROM migrator.route r
                                                     WHERE r.part = ANY (u.parts) AND r.epoch > a.applied) END)),
           w.parts
      INTO live, known, ended, seen, behind
      FROM migrator.switch s
     CROSS JOIN LATERAL (
        SELECT coalesce(min(p.applied_epoch), s.epoch) AS applied FROM migrator.process p
         WHERE clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s) OFFSET 0) a
     CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM migrator.epoch_mark m WHERE m.epoch = given.epoch AND m.mark = given.mark) AS known,
               coalesce(pg_visible_in_snapshot(given.xid, pg_current_snapshot()), false) AS ended OFFSET 0) k
     CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT n::int FROM generate_series(0, 61) n
                      WHERE given.parts & (1::bigint << n::int) <> 0
                        AND NOT EXISTS (SELECT FROM migrator.position o
                                         WHERE o.part = n
                                           AND pg_visible_in_snapshot(given.xid, o.snapshot::pg_snapshot))) AS parts
        OFFSET 0) u
     CROSS JOIN LATERAL (  -- those of whose tenants one is not on classic, as in migrator.route_status
        SELECT ARRAY(SELECT n FROM unnest(u.parts) n
                      WHERE s.level <> 'classic'
                        AND NOT EXISTS (SELECT FROM migrator.fallback f
                                         WHERE f.level = 'classic'
                                           AND (f.scope = 'all' OR f.scope = 'part' AND f.scope_key IN ('0', n::text)))
                        AND CASE WHEN n > 0
                                 THEN EXISTS (SELECT FROM migrator.route r
                                               WHERE r.part = n AND r.level <> 'classic'
                                                 AND NOT EXISTS (SELECT FROM migrator.fallback f
                                                                  WHERE f.scope = 'tenant' AND f.scope_key = r.tenant_id
                                                                    AND f.level = 'classic'))
                                 ELSE EXISTS (SELECT FROM migrator.route r
                                               WHERE r.level <> 'classic'
                                                 AND NOT EXISTS (SELECT FROM migrator.fallback f
                                                                  WHERE f.level = 'classic' AND
                                                                        (f.scope, f.scope_key) IN (('tenant', r.tenant_id),
                                                                                      ('part', r.part::text)))) END) AS parts
        OFFSET 0) w;
END $$;

-- Waits until every later read sees a write, at most so long (5 s at most): seen, or behind. To be asked after the answer to
-- COMMIT, again and again. 0: only looks.
CREATE FUNCTION migrator.client_wait(process text, token text, at_most_s double precision DEFAULT 0.5) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => least(greatest(coalesce(at_most_s, 0), 0), 5));
    rest_s double precision := 0.002;
    now_is record;
BEGIN
    PERFORM migrator.client_fresh();
    LOOP
        now_is := migrator.client_judged(process, token);
        IF NOT coalesce(now_is.live, false) THEN
            RAISE EXCEPTION 'the process is not registered, or has been silent for too long' USING ERRCODE = 'MG014',
                HINT = 'Send migrator.client_beat, then ask again; the write is committed.';
        END IF;
        IF now_is.seen THEN
            RETURN 'seen';
        END IF;
        IF clock_timestamp() >= until THEN
            RETURN 'behind';
        END IF;
        PERFORM pg_sleep(least(rest_s, greatest(extract(epoch FROM until - clock_timestamp()), 0)));
        rest_s := least(rest_s * 1.5, 0.05);
    END LOOP;
END $$;

-- Takes reads of the partitions that do not hold a write back to classic, for everybody; returns how many partitions. Only
-- for a write that has waited for ack_wait_s. What is raised already is not raised again.
CREATE FUNCTION migrator.client_fall_back(process text, token text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS $$
DECLARE
    now_is record;
    before record;
    number int;
    now_at bigint;
    raised int := 0;
    who text;
    reason text := format('the mirror did not follow a write within %s s', migrator.client_bound('ack_wait_s', 1));
BEGIN
    PERFORM migrator.client_fresh();
    FOR turn IN 1..2 LOOP  -- the lock is taken only where something is to be raised
        IF turn = 2 THEN
            PERFORM migrator.client_brief();
            PERFORM FROM migrator.switch FOR UPDATE;
        END IF;
        now_is := migrator.client_judged(process, token);
        IF NOT coalesce(now_is.live, false) THEN
            RAISE EXCEPTION 'the process is not registered, or has been silent for too long' USING ERRCODE = 'MG014',
                HINT = 'Send migrator.client_beat, then ask again; the write is committed.';
        END IF;
        IF NOT (now_is.known AND now_is.ended) THEN
            RAISE EXCEPTION 'the token names no write that is committed in this history' USING ERRCODE = 'MG013',
                HINT = 'Ask migrator.client_outcome what became of it.';
        END IF;
        IF now_is.seen OR cardinality(now_is.behind) = 0 THEN
            RETURN 0;
        END IF;
    END LOOP;
    SELECT format('shim %s (%s)', p.name, p.process_id) INTO who
      FROM migrator.process p WHERE p.process_id = client_fall_back.process;
    PERFORM set_config('synchronous_commit', 'on', true)
      WHERE current_setting('synchronous_commit') <> 'remote_apply';
    FOREACH number IN ARRAY now_is.behind LOOP
        SELECT f.level, f.epoch INTO before
          FROM migrator.fallback f WHERE f.scope = 'part' AND f.scope_key = number::text;
        CONTINUE WHEN before.level = 'classic';
        UPDATE migrator.switch SET epoch = epoch + 1 RETURNING epoch INTO now_at;
        INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
        VALUES (who, 'fallback.raised', 'fallback/part/' || number, reason,
                CASE WHEN before.level IS NOT NULL THEN jsonb_build_object('level', before.level, 'epoch', before.epoch) END,
                jsonb_build_object('level', 'classic', 'epoch', now_at));
        INSERT INTO migrator.incident (kind, reason, reported_by)
        VALUES ('fallback', format('fallback part %s: %s', number, reason), who);
        INSERT INTO migrator.fallback AS f (scope, scope_key, level, reason, raised_by, raised_at, epoch)
        VALUES ('part', number::text, 'classic', reason, who, clock_timestamp(), now_at)
        ON CONFLICT (scope, scope_key) DO UPDATE
           SET level = EXCLUDED.level, reason = EXCLUDED.reason, raised_by = EXCLUDED.raised_by,
               raised_at = EXCLUDED.raised_at, epoch = EXCLUDED.epoch;
        raised := raised + 1;
    END LOOP;
    IF raised > 0 THEN
        PERFORM pg_notify('migrator', 'route');
    END IF;
    RETURN raised;
END $$;

-- What became of a write whose answer to COMMIT was lost: committed, aborted, in progress (ask again), or unknown.
CREATE FUNCTION migrator.client_outcome(token text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given record := migrator.client_parsed(token);
BEGIN
    PERFORM migrator.client_on_writer();
    PERFORM FROM migrator.epoch_mark m WHERE m.epoch = given.epoch AND m.mark = given.mark;
    IF NOT FOUND OR given.xid IS NULL OR given.xid >= pg_snapshot_xmax(pg_current_snapshot()) THEN
        RETURN 'unknown';
    END IF;
    RETURN coalesce(pg_xact_status(given.xid), 'unknown');
END $$;

-- Reports that a process has opened its own circuit breaker for what scope and key cover: all, part or tenant. Enough
-- processes that agree take reads back for everybody.
CREATE FUNCTION migrator.client_trip(process text, scope text, key text, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF scope IS NULL OR scope NOT IN ('all', 'part', 'tenant') OR key IS NULL OR (scope = 'all') <> (key = '')
       OR (scope = 'part' AND key !~ '^[0-9]{1,2}$') OR length(key) > 1000 OR reason IS NULL OR length(reason) > 1000 THEN
        RAISE EXCEPTION 'scope must be all (with an empty key), part (a number) or tenant' USING ERRCODE = 'MG016',
            HINT = 'Key and reason have at most 1000 characters.';
    END IF;
    PERFORM FROM migrator.process p WHERE p.process_id = client_trip.process;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the process is not registered' USING ERRCODE = 'MG014', HINT = 'Send migrator.client_beat first.';
    END IF;
    IF (SELECT count(*) FROM migrator.breaker_trip t
         WHERE t.process_id = client_trip.process AND (t.scope, t.scope_key) <> (client_trip.scope, client_trip.key)) >= 100 THEN
        RAISE EXCEPTION 'the process has reported 100 breakers that are open' USING ERRCODE = 'MG018',
            HINT = 'Where so many tenants suffer, report one of scope part, or all.';
    END IF;
    INSERT INTO migrator.breaker_trip AS t (process_id, scope, scope_key, reason, at)
    VALUES (process, scope, key, reason, clock_timestamp())
    ON CONFLICT (process_id, scope, scope_key) DO UPDATE SET reason = EXCLUDED.reason, at = EXCLUDED.at;
END $$;

-- Reports that it has closed it again; returns whether it was open.
CREATE FUNCTION migrator.client_untrip(process text, scope text, key text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM migrator.breaker_trip t
     WHERE t.process_id = client_untrip.process AND t.scope = client_untrip.scope AND t.scope_key = client_untrip.key;
    RETURN FOUND;
END $$;

-- Whether the migration is over, and every process knows that: from then on a write on Limitless returns when it is
-- committed. Until then it returns wait_s after its process has learnt of the end, at the latest.
CREATE FUNCTION migrator.client_over(OUT over boolean, OUT known_to_all boolean, OUT wait_s double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM migrator.client_fresh();
    SELECT s.write_mode = 'limitless_only',
           s.write_mode = 'limitless_only' AND coalesce(p.applied >= s.epoch, true),
           greatest(p.longest_s, migrator.client_bound('staleness_s', 3) * 1.1 + 0.25)
      INTO over, known_to_all, wait_s
      FROM migrator.switch s
     CROSS JOIN LATERAL (
        SELECT min(p.applied_epoch) AS applied, max(p.staleness_s) AS longest_s FROM migrator.process p
         WHERE clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s)) p;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the control schema on classic is not complete' USING ERRCODE = 'MG017';
    END IF;
END $$;

-- migrator grant gives roles those that they need.
REVOKE EXECUTE ON FUNCTION migrator.client_bound(text, double precision), migrator.client_fresh(),
    migrator.client_on_writer(), migrator.client_brief(), migrator.client_room(),
    migrator.client_parsed(text), migrator.client_holds(jsonb, jsonb, int, text), migrator.client_judged(text, text),
    migrator.client_beat(text, text, bigint, text, double precision), migrator.client_leave(text),
    migrator.client_side(text, text, text), migrator.client_view(text, bigint, text), migrator.client_named(text, text),
    migrator.client_token(text), migrator.client_wait(text, text, double precision), migrator.client_fall_back(text, text),
    migrator.client_outcome(text), migrator.client_trip(text, text, text, text), migrator.client_untrip(text, text, text),
    migrator.client_over() FROM PUBLIC;
