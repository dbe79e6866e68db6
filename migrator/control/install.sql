-- Statements of install.py: which control schema is installed.

-- name: is_installed
SELECT to_regclass('migrator.installed') IS NOT NULL;

-- name: version
SELECT max(version) FROM migrator.installed;

-- name: record_version
INSERT INTO migrator.installed (version) VALUES (%(version)s);
