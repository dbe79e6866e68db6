-- The application of a conformance run, on Limitless.
CREATE SCHEMA app;
CREATE TABLE app.note (tenant_id text, id int, body text, PRIMARY KEY (tenant_id, id));
