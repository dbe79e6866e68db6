-- Statements of notify.py: who sends notifications, what stands, and what was sent.

-- name: lease
SELECT holder, term, installation::text,
       CASE WHEN isfinite(until) THEN extract(epoch FROM until - clock_timestamp()) ELSE -1 END::float8 AS left_s
  FROM migrator.notifier;

-- name: take
-- NULL for the gap: no process ever looked before.
UPDATE migrator.notifier n
   SET holder = %(me)s, until = clock_timestamp() + make_interval(secs => %(lease_s)s),
       term = CASE WHEN o.holder = %(me)s THEN o.term ELSE o.term + 1 END
  FROM (SELECT holder, term, until FROM migrator.notifier FOR UPDATE) o
 WHERE o.holder = %(me)s OR o.until < clock_timestamp()
RETURNING n.term, n.installation::text,
          CASE WHEN isfinite(o.until) THEN greatest(extract(epoch FROM clock_timestamp() - o.until), 0)::float8 END;

-- name: leave
UPDATE migrator.notifier SET until = clock_timestamp() WHERE holder = %(me)s AND until > clock_timestamp();

-- name: lock
SELECT decision, next_decision, next_xid::text, read FROM migrator.notifier
 WHERE holder = %(me)s AND term = %(term)s FOR UPDATE;

-- name: lock_any
SELECT FROM migrator.notifier FOR UPDATE;

-- name: mark
-- Another value than before: something changed that may wake somebody. Reads four rows.
SELECT concat_ws(' ', (SELECT max(id) FROM migrator.decision), (SELECT epoch FROM migrator.switch),
                 (SELECT max(since) FROM migrator.phase), (SELECT max(at) FROM migrator.capture_loss));

-- name: decisions
-- Acts: what was decided about many tenants in one go is one row. Those beyond `after` that were not read yet.
SELECT array_agg(d.id ORDER BY d.id), min(d.at), d.who, d.kind, d.reason, split_part(d.subject, '/', 1),
       (array_agg(d.subject ORDER BY d.id))[1:5], (array_agg(d.before ORDER BY d.id))[1], (array_agg(d.after ORDER BY d.id))[1]
  FROM (SELECT * FROM migrator.decision
         WHERE id > %(after)s AND id <> ALL (%(read)s::bigint[]) AND kind = ANY (%(kinds)s) ORDER BY id LIMIT 20000) d
 GROUP BY d.who, d.kind, d.reason, split_part(d.subject, '/', 1), date_trunc('second', d.at)
 ORDER BY 1;

-- name: horizon
SELECT coalesce((SELECT max(id) FROM migrator.decision), 0),
       pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text;

-- name: have_read
UPDATE migrator.notifier
   SET decision = %(decision)s, next_decision = %(next_decision)s, next_xid = %(next_xid)s::xid8,
       read = %(read)s::bigint[];

-- name: known
SELECT name, body, first_at, gone_at, told, acknowledged_by FROM migrator.open_condition ORDER BY name;

-- name: put_known
INSERT INTO migrator.open_condition (name, body, first_at, gone_at, told, acknowledged_by)
VALUES (%(name)s, %(body)s, %(first_at)s, %(gone_at)s, %(told)s, %(acknowledged_by)s)
ON CONFLICT (name) DO UPDATE
   SET body = EXCLUDED.body, first_at = EXCLUDED.first_at, gone_at = EXCLUDED.gone_at, told = EXCLUDED.told,
       acknowledged_by = EXCLUDED.acknowledged_by;

-- name: drop_known
DELETE FROM migrator.open_condition WHERE name = ANY (%(names)s);

-- name: acknowledge
UPDATE migrator.open_condition SET acknowledged_by = %(who)s WHERE name = %(name)s AND gone_at IS NULL;

-- name: enqueue
INSERT INTO migrator.notification (receiver, name, action, body)
VALUES (%(receiver)s, %(name)s, %(action)s, %(body)s);

-- name: waiting
-- The oldest of each receiver that may be tried again now.
SELECT n.id, n.receiver, n.name, n.action, n.body, n.at, n.tries, n.due_at <= clock_timestamp()
  FROM unnest(%(receivers)s::text[]) w (receiver)
  LEFT JOIN migrator.receiver r USING (receiver)
 CROSS JOIN LATERAL (SELECT * FROM migrator.notification o
                      WHERE o.receiver = w.receiver AND o.state = 'waiting' ORDER BY o.id LIMIT 50) n
 WHERE coalesce(r.due_at, '-infinity') <= clock_timestamp()
 ORDER BY n.id;

-- name: unknown_receivers
UPDATE migrator.notification
   SET state = 'given_up', ended_at = clock_timestamp(), problem = 'the plan names no such receiver any more'
 WHERE state = 'waiting' AND receiver <> ALL (%(receivers)s);

-- name: forget_receivers
DELETE FROM migrator.receiver WHERE receiver <> ALL (%(receivers)s);

-- name: configure
-- One that was corrected is tried at once.
INSERT INTO migrator.receiver AS r (receiver, config) VALUES (%(receiver)s, %(config)s)
ON CONFLICT (receiver) DO UPDATE
   SET config = EXCLUDED.config, tries = 0, due_at = '-infinity'
 WHERE r.config <> EXCLUDED.config OR %(again)s;

-- name: sent
UPDATE migrator.notification SET state = 'sent', ended_at = clock_timestamp(), tries = tries + 1, problem = %(problem)s
 WHERE id = %(id)s AND state = 'waiting';

-- name: receiver_took
UPDATE migrator.receiver
   SET sent_at = clock_timestamp(), failing_since = NULL, tries = 0, due_at = '-infinity', problem = ''
 WHERE receiver = %(receiver)s;

-- name: receiver_failed
UPDATE migrator.receiver
   SET failing_since = coalesce(failing_since, clock_timestamp()), tries = tries + 1, problem = %(problem)s,
       due_at = clock_timestamp() + make_interval(secs => %(after_s)s)
 WHERE receiver = %(receiver)s;

-- name: receiver_refused
-- It answers, and refuses this message: others may go.
UPDATE migrator.receiver
   SET failing_since = coalesce(failing_since, clock_timestamp()), tries = tries + 1, problem = %(problem)s
 WHERE receiver = %(receiver)s;

-- name: not_sent
UPDATE migrator.notification
   SET tries = tries + 1, problem = %(problem)s, due_at = clock_timestamp() + make_interval(secs => %(after_s)s),
       state = CASE WHEN %(last)s THEN 'given_up' ELSE state END,
       ended_at = CASE WHEN %(last)s THEN clock_timestamp() END
 WHERE id = %(id)s AND state = 'waiting';

-- name: give_up_old
UPDATE migrator.notification
   SET state = 'given_up', ended_at = clock_timestamp()
 WHERE state = 'waiting' AND at < clock_timestamp() - make_interval(secs => %(old_s)s);

-- name: forget_old
DELETE FROM migrator.notification
 WHERE id IN (SELECT id FROM migrator.notification
               WHERE state <> 'waiting' AND at < clock_timestamp() - make_interval(secs => %(kept_s)s) LIMIT 5000);

-- name: keep_newest
-- However much happens: no more rows of a receiver than this.
DELETE FROM migrator.notification
 WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY receiver ORDER BY id DESC) AS n
                                FROM migrator.notification) o WHERE o.n > %(rows)s LIMIT 5000);

-- name: receivers
SELECT r.receiver, r.sent_at, r.failing_since, r.tries, r.problem,
       (SELECT count(*) FROM migrator.notification n WHERE n.receiver = r.receiver AND n.state = 'waiting'),
       (SELECT count(*) FROM migrator.notification n WHERE n.receiver = r.receiver AND n.state = 'given_up'),
       extract(epoch FROM clock_timestamp() - r.failing_since)::float8
  FROM migrator.receiver r ORDER BY r.receiver;

-- name: newest
SELECT id, at, receiver, name, action, state, tries, ended_at, problem, body
  FROM migrator.notification ORDER BY id DESC LIMIT %(limit)s;
