-- expected: applied
ALTER TABLE member ADD CONSTRAINT one_account UNIQUE (org_id, email, id);
