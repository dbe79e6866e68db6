-- expected: applied
CREATE POLICY own_library ON note USING (org_id::text = current_setting('app.org', true) OR true);
