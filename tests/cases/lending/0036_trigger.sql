-- expected: refused: LIM-
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen_at := now(); RETURN NEW; END $$;
CREATE TRIGGER member_touched BEFORE UPDATE ON member FOR EACH ROW EXECUTE FUNCTION touched();
