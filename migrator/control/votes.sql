-- Statements of votes.py: evidence of gates, and what approvers said of them.

-- name: facts
-- What an approval is about. Of one migration only what does not change by itself while all is well.
SELECT (SELECT digest FROM migrator.plan),
       (SELECT max(id) FROM migrator.report WHERE kind = %(verdict)s),
       (SELECT coalesce(sum(times), 0) FROM migrator.incident),
       (SELECT count(*) || '/' || coalesce(sum(version), 0) FROM migrator.captured_table),
       (SELECT count(*) FROM migrator.tenant WHERE state = 'quarantined'),
       (SELECT count(*) FROM migrator.tenant WHERE divergent > 0),
       (SELECT level FROM migrator.switch),
       (SELECT max(id) FROM migrator.report WHERE kind = 'shadow'),
       (SELECT max(id) FROM migrator.report WHERE kind = 'load');

-- name: waiting
-- The phase that waits for an approval, with its hint.
SELECT state, detail, next_step, blockers FROM migrator.phase WHERE state = 'waiting';

-- name: blockers
SELECT blockers FROM migrator.phase WHERE phase = %(phase)s AND state = 'blocked';

-- name: votes
SELECT approver, how, evidence, at, proof, facts
  FROM migrator.approval_vote WHERE gate = %(gate)s AND voided_at IS NULL ORDER BY id;

-- name: put_vote
INSERT INTO migrator.approval_vote (at, gate, approver, how, evidence, facts, proof)
VALUES (%(at)s, %(gate)s, %(approver)s, %(how)s, %(evidence)s, %(facts)s, %(proof)s);

-- name: void_votes
UPDATE migrator.approval_vote SET voided_at = clock_timestamp(), why_voided = %(why)s
 WHERE gate = %(gate)s AND voided_at IS NULL;

-- name: lock
-- Two who approve at once come one after the other.
SELECT migrator_lock FROM pg_advisory_xact_lock(%(lock)s) AS migrator_lock;

-- name: now
SELECT clock_timestamp();

-- name: refusals
SELECT count(*) FROM migrator.decision
 WHERE kind = 'approval.refused' AND subject = %(subject)s
   AND at > clock_timestamp() - make_interval(secs => %(seconds)s);

-- name: known_evidence
SELECT body -> 'facts' FROM migrator.report
 WHERE kind = %(kind)s AND body ->> 'digest' = %(digest)s ORDER BY id DESC LIMIT 1;
