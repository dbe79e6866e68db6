-- expected: applied
ALTER TABLE title ADD COLUMN tags text[] NOT NULL DEFAULT '{}', ADD COLUMN extra jsonb DEFAULT '{"a": 1}'::jsonb;
CREATE INDEX title_tags ON title USING gin (tags);
