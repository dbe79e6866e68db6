-- expected: applied
CREATE TABLE visit (org_id bigint NOT NULL, at date NOT NULL, door text NOT NULL, PRIMARY KEY (org_id, at, door)) PARTITION BY RANGE (at);
