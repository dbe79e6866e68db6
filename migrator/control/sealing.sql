-- Statements of sealing.py: the hash chain over the decision log.

-- name: seal
-- NULL while another session seals.
SELECT migrator.seal_decisions(%(most)s, %(everything)s, '') AS migrator_sealed;

-- name: head
SELECT seq, encode(hash, 'hex'), at FROM migrator.decision_seal ORDER BY seq DESC LIMIT 1;

-- name: chain
-- The whole chain in its order, each row with the entry it seals.
SELECT s.seq, s.entry, encode(s.content, 'hex'), s.repeated, s.note, encode(s.prev, 'hex'), encode(s.hash, 'hex'),
       d.id, to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.who, d.login, d.kind, d.subject,
       d.before::text, d.after::text, d.reason
  FROM migrator.decision_seal s LEFT JOIN migrator.decision d ON d.id = s.entry
 ORDER BY s.seq;

-- name: unsealed
-- The oldest first.
SELECT d.id, to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.who, d.login, d.kind, d.subject,
       d.before::text, d.after::text, d.reason
  FROM migrator.decision d
 WHERE NOT EXISTS (SELECT FROM migrator.decision_seal s WHERE s.entry = d.id)
 ORDER BY d.id;

-- name: forgiven
-- Anchors whose loss a person accepted, by hash.
SELECT after ->> 'anchor' FROM migrator.decision WHERE kind = 'log.restored';

-- name: hash_at
SELECT encode(hash, 'hex') FROM migrator.decision_seal WHERE seq = %(seq)s;

-- name: anchors
-- On Limitless, the newest first.
SELECT seq, hash, at FROM migrator.decision_anchor ORDER BY at DESC, seq DESC;

-- name: put_anchor
INSERT INTO migrator.decision_anchor (seq, hash) VALUES (%(seq)s, %(hash)s) ON CONFLICT DO NOTHING;

-- name: forget_anchors
-- All but the newest.
DELETE FROM migrator.decision_anchor
 WHERE seq NOT IN (SELECT seq FROM migrator.decision_anchor ORDER BY at DESC, seq DESC LIMIT %(kept)s);

-- name: newest
-- The newest entries, with what seals them where they are sealed.
SELECT s.seq, encode(s.hash, 'hex'),
       d.id, to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.who, d.login, d.kind, d.subject,
       d.before::text, d.after::text, d.reason
  FROM (SELECT * FROM migrator.decision ORDER BY id DESC LIMIT %(limit)s) d
  LEFT JOIN migrator.decision_seal s ON s.entry = d.id
 ORDER BY d.id;
