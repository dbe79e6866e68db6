-- Statements of tables.py: captured tables.

-- name: tables
SELECT table_id, descriptor FROM migrator.captured_table ORDER BY table_id;

-- name: relations
SELECT table_id, relid::int8::text FROM migrator.captured_table WHERE relid IS NOT NULL;

-- name: id_and_slot
SELECT table_id, (SELECT last_value FROM migrator.ring) FROM migrator.captured_table WHERE qualified = %(table)s;

-- name: owner
SELECT o.name, pg_has_role(current_user, o.name, 'MEMBER'), o.name = current_user
  FROM (SELECT pg_get_userbyid(c.relowner) AS name, count(*) AS tables
          FROM migrator.captured_table t JOIN pg_class c ON c.oid = t.relid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = %(schema)s GROUP BY 1
         UNION ALL
        SELECT pg_get_userbyid(nspowner), 0 FROM pg_namespace WHERE nspname = %(schema)s) o
 ORDER BY o.tables DESC, 1 LIMIT 1;
