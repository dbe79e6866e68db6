-- Statements of provisioned.py: what provisioning made on Limitless, and what the last comparison of rights found.

-- name: forget
DELETE FROM migrator.provisioned
 WHERE kind = %(kind)s AND schema_name = %(schema)s AND name = %(name)s AND detail = %(detail)s;
