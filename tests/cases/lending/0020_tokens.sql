-- expected: applied
ALTER TABLE member ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE member ADD COLUMN seen_at timestamptz DEFAULT now();
