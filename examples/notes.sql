-- The table of the notes, on classic. The tool makes the one on Limitless.
CREATE SCHEMA app;
CREATE TABLE app.note (tenant_id text, id int, body text, PRIMARY KEY (tenant_id, id));
