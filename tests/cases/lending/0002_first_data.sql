INSERT INTO language VALUES ('en', 'English'), ('de', 'Deutsch'), ('ja', '日本語');
CREATE FUNCTION shout(words text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(words)';
CREATE TABLE note (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id bigint NOT NULL,
    body text,
    about text CONSTRAINT about_something CHECK (about <> '')
);
