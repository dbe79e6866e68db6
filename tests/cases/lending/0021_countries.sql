-- expected: applied
-- migrator: kind = reference
CREATE TABLE country (code char(2) PRIMARY KEY, name varchar(100) NOT NULL);
INSERT INTO country (code, name) VALUES ('AT', 'Austria'), ('NZ', 'Aotearoa');
ALTER TABLE member ADD COLUMN country char(2);
