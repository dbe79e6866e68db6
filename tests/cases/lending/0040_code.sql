-- expected: refused: side = classic
DO $$ BEGIN IF NOT EXISTS (SELECT FROM language WHERE code = 'mi') THEN INSERT INTO language VALUES ('mi', 'Māori'); END IF; END $$;
