-- Statements of tables.py: captured tables.

-- name: numbers
SELECT table_id, qualified FROM migrator.captured_table;

-- name: store
-- Which table it is was settled when capture began: one that takes over its name is another table.
INSERT INTO migrator.captured_table AS c (table_id, relid, qualified, descriptor)
VALUES (%(table_id)s, to_regclass(%(quoted)s), %(qualified)s, %(descriptor)s)
ON CONFLICT (table_id) DO UPDATE SET descriptor = EXCLUDED.descriptor, version = c.version + 1
 WHERE c.descriptor <> EXCLUDED.descriptor;

-- name: tables
SELECT table_id, descriptor FROM migrator.captured_table ORDER BY table_id;

-- name: tables_and_keys
-- Each with the captured tables that its foreign keys reference.
SELECT t.table_id, t.descriptor,
       ARRAY(SELECT p.qualified
               FROM pg_catalog.pg_constraint k
               JOIN migrator.captured_table p ON p.relid = k.confrelid
              WHERE k.contype = 'f' AND k.conrelid = t.relid)
  FROM migrator.captured_table t
 ORDER BY t.table_id;

-- name: are_any
SELECT EXISTS (SELECT FROM migrator.captured_table);

-- name: relations
SELECT table_id, relid::int8::text FROM migrator.captured_table WHERE relid IS NOT NULL;

-- name: forget
-- Its versions go over to another table: the sum of them must not be what it was before.
WITH gone AS (
    DELETE FROM migrator.captured_table WHERE table_id = %(table)s RETURNING version
)
UPDATE migrator.captured_table t SET version = t.version + gone.version + 1
  FROM gone
 WHERE t.table_id = (SELECT min(table_id) FROM migrator.captured_table WHERE table_id <> %(table)s);

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

-- name: find_relations
-- Tables that an earlier version knew by their names alone.
UPDATE migrator.captured_table
   SET relid = to_regclass(format('%I.%I', descriptor ->> 'schema', descriptor ->> 'name'))
 WHERE relid IS NULL;

-- name: size
-- Of roots and of their partitions.
SELECT pg_size_pretty(coalesce(sum(pg_total_relation_size(c.oid)), 0))
  FROM pg_class c
 WHERE c.oid IN (SELECT t.relid FROM migrator.captured_table t
                  UNION
                 SELECT p.relid FROM migrator.captured_table t CROSS JOIN LATERAL pg_partition_tree(t.relid) p);
