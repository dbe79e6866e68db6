-- expected: applied
UPDATE loan SET state = 'returned', returned_at = due WHERE due < '2026-04-01';
DELETE FROM note WHERE body IS NULL;
INSERT INTO language (code, name) VALUES ('fr', 'Français') ON CONFLICT (code) DO NOTHING;
