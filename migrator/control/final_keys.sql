-- Statements of final_keys.py.

-- name: in_final_form
-- Foreign keys that the tool made on Limitless, and that act or check at once: schema, table, name.
SELECT n.nspname, c.relname, k.conname
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN migrator.provisioned r
    ON r.kind = 'constraint' AND r.schema_name = n.nspname AND r.name = k.conname AND r.detail = c.relname
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND (k.confdeltype <> 'a' OR k.confupdtype <> 'a' OR NOT k.condeferred)
 ORDER BY 1, 2, 3;
