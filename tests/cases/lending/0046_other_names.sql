-- expected: applied
ALTER INDEX loan_title RENAME TO loan_of_title;
ALTER TABLE library RENAME CONSTRAINT library_pkey TO library_key;
