-- expected: applied
ALTER TYPE medium ADD VALUE IF NOT EXISTS 'audio';
ALTER TYPE medium ADD VALUE 'Brettspiel für Kinder' BEFORE 'film';
