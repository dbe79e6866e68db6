-- expected: applied
CREATE OR REPLACE FUNCTION days_left(due date) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN due - current_date;  -- a semicolon; and more
END;
$$;
DROP FUNCTION shout(text);
