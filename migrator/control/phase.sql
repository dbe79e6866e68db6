-- Statements of phase.py: the state of each phase, and approvals.

-- name: set_phase
INSERT INTO migrator.phase AS p (phase, state, detail, blockers, next_step, finished_at)
VALUES (%(phase)s, %(state)s, %(detail)s, %(blockers)s, %(next)s,
        CASE WHEN %(state)s IN ('done', 'undone', 'failed') THEN clock_timestamp() END)
ON CONFLICT (phase) DO UPDATE SET
    since = CASE WHEN p.state = EXCLUDED.state THEN p.since ELSE clock_timestamp() END,
    finished_at = CASE WHEN p.state = EXCLUDED.state THEN p.finished_at ELSE EXCLUDED.finished_at END,
    state = EXCLUDED.state, detail = EXCLUDED.detail, blockers = EXCLUDED.blockers,
    next_step = EXCLUDED.next_step,
    started_at = CASE WHEN p.state IN ('done', 'undone', 'failed')
                       AND EXCLUDED.state NOT IN ('done', 'undone', 'failed')
                      THEN clock_timestamp() ELSE p.started_at END;

-- name: phases_done
SELECT phase FROM migrator.phase WHERE state = 'done';

-- name: phase_state
SELECT state FROM migrator.phase WHERE phase = %(phase)s;

-- name: is_approved
SELECT EXISTS (SELECT FROM migrator.approval WHERE gate = %(gate)s);

-- name: approve
-- The first approval of a gate counts.
INSERT INTO migrator.approval (gate, approver, evidence) VALUES (%(gate)s, %(approver)s, %(evidence)s)
ON CONFLICT (gate) DO NOTHING;

-- name: void_approval
DELETE FROM migrator.approval WHERE gate = %(gate)s;
