-- Statements of migrator/rights/read.py. %(schemas)s: text[], the plan's schemas; %(roles)s: text[], names of roles.

-- name: here
SELECT current_user::text AS tool, current_database()::text AS database;

-- name: things
-- Everything that rights can be granted on, with owner and ACL; an ACL that was never changed is the engine's default.
-- Members of extensions come with the extension, leaves of a partitioned table have no counterpart. What belongs to
-- pg_database_owner (schema public, since PostgreSQL 15) belongs to the owner of the database.
-- definer: it works with the rights of its owner on what others own: SECURITY DEFINER, and a view of others' tables.
-- drawn: the sequences of identity columns, and through which tables and views rows draw from them. That needs no right
-- there; Limitless has no identity, its default is nextval, so USAGE goes with the right to write such rows.
WITH RECURSIVE deputy AS (
    SELECT to_regrole('pg_database_owner')::oid AS oid, b.datdba AS owner
      FROM pg_catalog.pg_database b WHERE b.datname = current_database()
), drawn (sequence, relation) AS (
    SELECT d.objid, d.refobjid
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.deptype = 'i' AND d.refobjsubid > 0
    UNION
    SELECT w.sequence, v.ev_class
      FROM drawn w
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = w.relation
       AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_catalog.pg_rewrite v ON v.oid = d.objid AND v.ev_class <> w.relation
)
SELECT t.kind, t.schema, t.name, t.column_name, t.definer,
       pg_catalog.pg_get_userbyid(CASE t.owner WHEN d.oid THEN d.owner ELSE t.owner END)::text AS owner,
       CASE a.grantee WHEN 0 THEN 'public' WHEN d.oid THEN pg_catalog.pg_get_userbyid(d.owner)
                      ELSE pg_catalog.pg_get_userbyid(a.grantee) END::text AS grantee,
       CASE WHEN t.draws THEN 'USAGE' ELSE a.privilege_type END AS privilege,
       NOT t.draws AND (a.is_grantable OR a.grantee = t.owner) AS grantable
  FROM (
    SELECT 'schema' AS kind, '' AS schema, n.nspname::text AS name, '' AS column_name, n.nspowner AS owner,
           coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl, false AS definer, false AS draws
      FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname::text, c.relname::text, '', c.relowner,
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)),
           c.relkind = 'v' AND NOT coalesce(c.reloptions @> '{security_invoker=true}', false)
           AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r
                         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                          AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
                         JOIN pg_catalog.pg_class b ON b.oid = d.refobjid
                        WHERE r.ev_class = c.oid AND b.relowner <> c.relowner), false
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'f', 'v', 'S') AND NOT c.relispartition
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, '', p.oid::regprocedure::text, '', p.proowner,
           coalesce(p.proacl, acldefault('f', p.proowner)), p.prosecdef, false
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = ANY (%(schemas)s) AND p.prokind IN ('f', 'p')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'type', n.nspname::text, t.typname::text, '', t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)),
           false, false
      FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
     WHERE n.nspname = ANY (%(schemas)s) AND (t.typtype = 'e' OR (t.typtype = 'c' AND c.relkind = 'c'))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'database', '', '', '', b.datdba, coalesce(b.datacl, acldefault('d', b.datdba)), false, false
      FROM pg_catalog.pg_database b WHERE b.datname = current_database()
    UNION ALL
    SELECT 'column', n.nspname::text, c.relname::text, a.attname::text, c.relowner, a.attacl, false, false
      FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'f', 'v') AND NOT c.relispartition
       AND a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'sequence', n.nspname::text, s.relname::text, '', s.relowner, x.acl, false, true
      FROM drawn w
      JOIN pg_catalog.pg_class s ON s.oid = w.sequence
      JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
      JOIN pg_catalog.pg_class c ON c.oid = w.relation AND NOT c.relispartition
     CROSS JOIN LATERAL (SELECT coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
                         UNION ALL
                         SELECT a.attacl FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) x
     WHERE n.nspname = ANY (%(schemas)s)
) t
 CROSS JOIN deputy d
  LEFT JOIN LATERAL aclexplode(t.acl) a ON true
 WHERE NOT t.draws OR a.privilege_type IN ('INSERT', 'UPDATE');

-- name: seeds
-- Roles that matter although no ACL here names them: policies name them, an all-data role lets them in, or everything
-- they do here they do as part of PUBLIC (any role that may log in, then).
SELECT r.rolname::text AS name
  FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_roles r ON r.oid = ANY (p.polroles)
  JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s)
UNION
SELECT u.rolname::text
  FROM pg_catalog.pg_auth_members m
  JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
  JOIN pg_catalog.pg_roles u ON u.oid = m.member
 WHERE g.rolname IN ('pg_read_all_data', 'pg_write_all_data')
UNION
SELECT r.rolname::text FROM pg_catalog.pg_roles r
 WHERE r.rolcanlogin AND %(everybody)s
   AND EXISTS (SELECT FROM pg_catalog.pg_class c
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN aclexplode(c.relacl) a
                WHERE n.nspname = ANY (%(schemas)s) AND a.grantee = 0);

-- name: roles
-- The roles of that name and, with inside, everybody who is through any number of groups a member of one of them. Since
-- PostgreSQL 16 a role that made another one is a member of it that may neither use nor become it: that is no membership.
WITH RECURSIVE inside AS (
    SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%(roles)s)
    UNION
    SELECT m.member FROM pg_catalog.pg_auth_members m JOIN inside i ON i.oid = m.roleid
     WHERE %(inside)s
       AND (coalesce(to_jsonb(m) ->> 'inherit_option', 'true')::boolean
            OR coalesce(to_jsonb(m) ->> 'set_option', 'true')::boolean)
)
SELECT r.rolname::text AS name, r.rolcanlogin AS can_login, r.rolinherit AS inherits,
       r.rolbypassrls AS bypasses_policies, r.rolsuper AS superuser,
       coalesce(to_char(nullif(r.rolvaliduntil, 'infinity') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '')
           AS valid_until,
       r.rolconnlimit AS connection_limit, r.rolcreaterole AS creates_roles, r.rolcreatedb AS creates_databases,
       pg_has_role(r.oid, 'USAGE') AS of_tool
  FROM pg_catalog.pg_roles r JOIN inside i ON i.oid = r.oid
 ORDER BY r.rolname;

-- name: members
-- From PostgreSQL 16 on one membership may have been granted by several roles.
SELECT g.rolname::text AS role, u.rolname::text AS member, bool_or(m.admin_option) AS admin
  FROM pg_catalog.pg_auth_members m
  JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
  JOIN pg_catalog.pg_roles u ON u.oid = m.member
 WHERE u.rolname = ANY (%(roles)s)
   AND (coalesce(to_jsonb(m) ->> 'inherit_option', 'true')::boolean
        OR coalesce(to_jsonb(m) ->> 'set_option', 'true')::boolean)
   AND (g.rolname = ANY (%(roles)s) OR g.rolname IN ('pg_read_all_data', 'pg_write_all_data', 'rds_iam'))
 GROUP BY 1, 2;

-- name: settings
-- What a session gets: the role's in this database before the role's before the database's. A role that may not log in
-- has no session; where it is named (as on Limitless, which is looked at for classic's roles) people may yet let it in.
SELECT DISTINCT ON (r.rolname, split_part(s.entry, '=', 1))
       r.rolname::text AS role, split_part(s.entry, '=', 1) AS name,
       substr(s.entry, strpos(s.entry, '=') + 1) AS value, d.setrole <> 0 AS of_role
  FROM pg_catalog.pg_roles r
  JOIN pg_catalog.pg_db_role_setting d
    ON d.setrole IN (r.oid, 0)
   AND d.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = current_database()))
 CROSS JOIN unnest(d.setconfig) s (entry)
 WHERE r.rolname = ANY (%(roles)s) AND (r.rolcanlogin OR %(named)s)
 ORDER BY r.rolname, split_part(s.entry, '=', 1), d.setrole = 0, d.setdatabase = 0;

-- name: defaults
-- What a session gets here whose role sets nothing. This one has set all of them for itself, so what RESET would give is
-- the database's or the server's word, except where this session's own role has one: then the database's, if it says so.
SELECT s.name, coalesce(d.value, CASE WHEN NOT EXISTS (
           SELECT FROM pg_catalog.pg_db_role_setting o CROSS JOIN unnest(o.setconfig) e (entry)
            WHERE o.setrole = to_regrole(quote_ident(session_user))::oid AND split_part(e.entry, '=', 1) = s.name)
           THEN s.reset_val END) AS value
  FROM pg_catalog.pg_settings s
  LEFT JOIN LATERAL (
       SELECT substr(e.entry, strpos(e.entry, '=') + 1) AS value
         FROM pg_catalog.pg_db_role_setting o CROSS JOIN unnest(o.setconfig) e (entry)
        WHERE o.setrole = 0 AND split_part(e.entry, '=', 1) = s.name
          AND o.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = current_database()))
        ORDER BY o.setdatabase = 0 LIMIT 1) d ON true
 WHERE s.name = ANY (%(names)s);

-- name: effective
-- The server's own answer, whichever way a role came by a right. A column counts where the table as a whole is closed.
-- drawn: as above.
WITH RECURSIVE who AS (
    SELECT unnest(%(roles)s::text[]) AS name
), drawn (sequence, relation) AS (
    SELECT d.objid, d.refobjid
      FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.deptype = 'i' AND d.refobjsubid > 0
    UNION
    SELECT w.sequence, v.ev_class
      FROM drawn w
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = w.relation
       AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_catalog.pg_rewrite v ON v.oid = d.objid AND v.ev_class <> w.relation
), relation AS (
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'S' AS sequence
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'f', 'v', 'S') AND NOT c.relispartition
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT w.name AS grantee, 'table' AS kind, r.schema, r.name, '' AS column_name, p.privilege,
       has_table_privilege(w.name, r.oid, p.privilege || ' WITH GRANT OPTION') AS grantable
  FROM who w, relation r, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES']) p (privilege)
 WHERE NOT r.sequence AND has_table_privilege(w.name, r.oid, p.privilege)
UNION ALL
SELECT w.name, 'column', r.schema, r.name, a.attname::text, p.privilege,
       has_column_privilege(w.name, r.oid, a.attnum, p.privilege || ' WITH GRANT OPTION')
  FROM who w, relation r
  JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
 CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p (privilege)
 WHERE NOT has_table_privilege(w.name, r.oid, p.privilege) AND has_column_privilege(w.name, r.oid, a.attnum, p.privilege)
UNION ALL
SELECT w.name, 'sequence', r.schema, r.name, '', p.privilege,
       has_sequence_privilege(w.name, r.oid, p.privilege || ' WITH GRANT OPTION')
  FROM who w, relation r, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p (privilege)
 WHERE r.sequence
   AND (has_sequence_privilege(w.name, r.oid, p.privilege)
        OR p.privilege = 'USAGE'
           AND EXISTS (SELECT FROM drawn x JOIN pg_catalog.pg_class c ON c.oid = x.relation AND NOT c.relispartition
                        WHERE x.sequence = r.oid AND has_any_column_privilege(w.name, c.oid, 'INSERT, UPDATE')))
UNION ALL
SELECT w.name, 'schema', '', n.nspname::text, '', p.privilege,
       has_schema_privilege(w.name, n.oid, p.privilege || ' WITH GRANT OPTION')
  FROM who w, pg_catalog.pg_namespace n, unnest(ARRAY['USAGE', 'CREATE']) p (privilege)
 WHERE n.nspname = ANY (%(schemas)s) AND has_schema_privilege(w.name, n.oid, p.privilege)
   AND NOT (p.privilege = 'CREATE' AND has_schema_privilege('public', n.oid, 'CREATE'))  -- as everybody's, see _counts
UNION ALL
SELECT w.name, CASE f.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, '', f.oid::regprocedure::text, '',
       'EXECUTE', has_function_privilege(w.name, f.oid, 'EXECUTE WITH GRANT OPTION')
  FROM who w, pg_catalog.pg_proc f
  JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
 WHERE n.nspname = ANY (%(schemas)s) AND f.prokind IN ('f', 'p') AND has_function_privilege(w.name, f.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
UNION ALL
SELECT w.name, 'type', n.nspname::text, t.typname::text, '', 'USAGE',
       has_type_privilege(w.name, t.oid, 'USAGE WITH GRANT OPTION')
  FROM who w, pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
 WHERE n.nspname = ANY (%(schemas)s) AND (t.typtype = 'e' OR (t.typtype = 'c' AND c.relkind = 'c'))
   AND has_type_privilege(w.name, t.oid, 'USAGE')
UNION ALL
SELECT w.name, 'database', '', '', '', 'CONNECT', false
  FROM who w WHERE has_database_privilege(w.name, current_database(), 'CONNECT');

-- name: columns
SELECT n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column_name
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND a.attnum > 0 AND NOT a.attisdropped
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute o WHERE o.attrelid = c.oid AND o.attacl IS NOT NULL);

-- name: guarded
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relforcerowsecurity AS forced
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relrowsecurity AND NOT c.relispartition;

-- name: policies
SELECT n.nspname::text AS schema, c.relname::text AS table_name, p.polname::text AS name, p.polpermissive AS permissive,
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                     ELSE 'ALL' END AS command,
       ARRAY (SELECT coalesce(r.rolname::text, 'public')
                FROM unnest(p.polroles) o (oid) LEFT JOIN pg_catalog.pg_roles r ON r.oid = o.oid ORDER BY 1) AS roles,
       pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using_text,
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS check_text
  FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND NOT c.relispartition
 ORDER BY 1, 2, 3;

-- name: notes
SELECT 'default privileges of ' || pg_catalog.pg_get_userbyid(d.defaclrole) || coalesce(' in schema ' || n.nspname, '')
       || ' (' || coalesce(g.given, 'nothing to PUBLIC or other roles') || '): Limitless has no ALTER DEFAULT PRIVILEGES;'
       || ' what they gave is granted object by object, and what is made there after the hand-over needs its own GRANT'
       AS note
  FROM pg_catalog.pg_default_acl d
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
 CROSS JOIN LATERAL (
       SELECT string_agg(w.line, ', ' ORDER BY w.line) AS given
         FROM (SELECT string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) || ' on '
                      || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                                              WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::text END
                      || ' to ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END
                      AS line
                 FROM aclexplode(d.defaclacl) a WHERE a.grantee <> d.defaclrole GROUP BY a.grantee) w) g
 WHERE d.defaclnamespace = 0 OR n.nspname = ANY (%(schemas)s)
UNION
SELECT sum(k.n) || ' comments in schema ' || k.schema || ' stay behind, since Limitless has no COMMENT: '
       || string_agg(k.kind || ' ' || k.n, ', ' ORDER BY k.kind)
       || '. Tools that read comments find none there; pg_dump -s of classic keeps them'
  FROM (SELECT s.name AS schema, i.type AS kind, count(*) AS n
          FROM pg_catalog.pg_description d
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) i
          JOIN unnest(%(schemas)s::text[]) s (name)
            ON quote_ident(s.name) = CASE i.type WHEN 'schema' THEN i.identity
                                                 ELSE coalesce(i.schema, split_part(regexp_replace(i.identity, '^.* on ', ''), '.', 1)) END
         WHERE d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass AND i.identity = 'public' AND d.description
               <> 'standard public schema'
         GROUP BY 1, 2) k
 WHERE NOT k.kind = ANY ('{extension}')
 GROUP BY k.schema
UNION
SELECT 'rights on partition ' || c.oid::regclass || ' stay behind: Limitless has no partitions of the application''s own'
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relispartition
   AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner)
 ORDER BY 1;

-- name: mark
-- Another value than before: rights may have changed. Row versions, since everything else here is a version of a row that
-- was written; of roles their values, as their table is not for every role to read. A fraction of the price of reading all.
SELECT concat_ws(' ',
    (SELECT sum(hashtextextended(r::text, 0)) FROM pg_catalog.pg_roles r),
    (SELECT sum(hashtextextended(concat(m.roleid, ' ', m.member, ' ', m.xmin), 0)) FROM pg_catalog.pg_auth_members m),
    (SELECT sum(hashtextextended(concat(s.setdatabase, ' ', s.setrole, ' ', s.xmin), 0))
       FROM pg_catalog.pg_db_role_setting s),
    (SELECT sum(hashtextextended(concat(p.oid, ' ', p.xmin), 0)) FROM pg_catalog.pg_policy p),
    (SELECT sum(hashtextextended(concat(n.oid, ' ', n.xmin), 0)) FROM pg_catalog.pg_namespace n
      WHERE n.nspname = ANY (%(schemas)s)),
    (SELECT sum(hashtextextended(concat(d.oid, ' ', d.xmin), 0)) FROM pg_catalog.pg_database d
      WHERE d.datname = current_database()),
    (SELECT sum(hashtextextended(concat(c.oid, ' ', c.xmin), 0))
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'f', 'v', 'S') AND NOT c.relispartition),
    (SELECT sum(hashtextextended(concat(a.attrelid, ' ', a.attnum, ' ', a.xmin), 0)) FROM pg_catalog.pg_attribute a
      WHERE a.attacl IS NOT NULL),
    (SELECT sum(hashtextextended(concat(f.oid, ' ', f.xmin), 0))
       FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
      WHERE n.nspname = ANY (%(schemas)s)),
    (SELECT sum(hashtextextended(concat(t.oid, ' ', t.xmin), 0))
       FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
      WHERE n.nspname = ANY (%(schemas)s) AND t.typtype IN ('e', 'c'))) AS mark;
