-- Hand-labelled statements: "expect" is the verdict and why. Labels were argued from what the planner can prove, before
-- the audit ran on them. Kinds: accounts, users, orders, invoices, notes, documents, drafts sharded by tenant_id;
-- order_items sharded too, but its tenant_id exists on Limitless only; countries, plans reference; job_queue standard.

-- ---------------------------------------------------------------- one table, equality

-- name: eq_parameter
-- expect: single_shard: the key equals one parameter
SELECT * FROM orders WHERE tenant_id = $1;
-- name: eq_constant
-- expect: single_shard: the key equals a constant
SELECT * FROM orders WHERE tenant_id = '7b1f6f0e-3d5a-4c43-9f1d-0d8a2f7f0001';
-- name: eq_reversed
-- expect: single_shard: equality has no direction
SELECT * FROM orders WHERE $1 = tenant_id AND id = $2;
-- name: eq_qualified
-- expect: single_shard: the alias names the same column
SELECT o.id FROM orders AS o WHERE o.tenant_id = $1;
-- name: eq_schema_qualified
-- expect: single_shard: schema and table name are spelled out
SELECT orders.id FROM public.orders WHERE public.orders.tenant_id = $1;
-- name: eq_quoted
-- expect: single_shard: quoting changes nothing for a lower-case name
SELECT "o"."id" FROM "orders" AS "o" WHERE "o"."tenant_id" = $1;
-- name: no_select_list
-- expect: single_shard: a row without columns is a row
SELECT FROM orders WHERE tenant_id = $1;
-- name: no_where
-- expect: cross_shard: no condition at all
SELECT * FROM orders;
-- name: other_column
-- expect: cross_shard: the id alone says nothing about the shard
SELECT * FROM orders WHERE id = $1;
-- name: like_named_column
-- expect: cross_shard: parent_tenant_id is another column
SELECT * FROM orders WHERE parent_tenant_id = $1;
-- name: column_to_column
-- expect: cross_shard: the key equals another column of the row, which may hold anything
SELECT * FROM orders WHERE tenant_id = parent_tenant_id;
-- name: column_to_bound_column
-- expect: single_shard: the other column equals a parameter, so the key does too
SELECT * FROM orders WHERE tenant_id = parent_tenant_id AND parent_tenant_id = $1;
-- name: eq_null
-- expect: cross_shard: = NULL is no key
SELECT * FROM orders WHERE tenant_id = NULL;
-- name: is_null
-- expect: cross_shard: IS NULL names no tenant
SELECT * FROM orders WHERE tenant_id IS NULL;
-- name: not_distinct
-- expect: cross_shard: IS NOT DISTINCT FROM is not used for pruning
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM $1;
-- name: count_one_tenant
-- expect: single_shard: an aggregate over one tenant
SELECT count(*), max(total) FROM orders WHERE tenant_id = $1;
-- name: order_limit
-- expect: single_shard: order and limit of one tenant's rows
SELECT * FROM orders WHERE tenant_id = $1 ORDER BY placed_at DESC LIMIT 10 OFFSET $2;
-- name: for_update
-- expect: single_shard: row locks on one shard
SELECT * FROM orders WHERE tenant_id = $1 AND id = $2 FOR UPDATE SKIP LOCKED;
-- name: having_key
-- expect: single_shard: HAVING on the grouping column filters rows before grouping
SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id HAVING tenant_id = $1;
-- name: having_aggregate
-- expect: cross_shard: HAVING on an aggregate binds nothing
SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id HAVING count(*) > 10;
-- name: tablesample
-- expect: single_shard: a sample of one tenant's rows
SELECT * FROM orders TABLESAMPLE SYSTEM (10) WHERE tenant_id = $1;
-- name: only_table
-- expect: single_shard: ONLY of a plain table
SELECT * FROM ONLY orders WHERE tenant_id = $1;
-- name: is_true
-- expect: cross_shard: the planner does not look into IS TRUE
SELECT * FROM orders WHERE (tenant_id = $1) IS TRUE;
-- name: two_equalities
-- expect: single_shard: two parameters for one column: rows exist only if both are the same key
SELECT * FROM orders WHERE tenant_id = $1 AND tenant_id = $2;

-- ---------------------------------------------------------------- casts and expressions

-- name: cast_parameter
-- expect: single_shard: the parameter is cast, the column is bare
SELECT * FROM orders WHERE tenant_id = $1::uuid;
-- name: cast_function_style
-- expect: single_shard: CAST is a cast
SELECT * FROM orders WHERE tenant_id = CAST($1 AS uuid);
-- name: cast_column_to_text
-- expect: cross_shard: the column is converted, so its hash is not known
SELECT * FROM orders WHERE tenant_id::text = $1;
-- name: cast_column_to_own_type
-- expect: single_shard: a cast to the column's own type is dropped
SELECT * FROM orders WHERE tenant_id::uuid = $1;
-- name: cast_varchar_to_text
-- expect: single_shard: varchar to text is a relabelling, which the planner looks through
SELECT * FROM notes WHERE tenant_id::text = $1;
-- name: lower_column
-- expect: cross_shard: a function of the key is not the key
SELECT * FROM notes WHERE lower(tenant_id) = lower($1);
-- name: lower_parameter
-- expect: single_shard: an immutable function of a parameter is a constant
SELECT * FROM notes WHERE tenant_id = lower($1);
-- name: concat_operator
-- expect: single_shard: an expression over parameters is a constant
SELECT * FROM notes WHERE tenant_id = $1 || '-' || $2;
-- name: coalesce_column
-- expect: cross_shard: COALESCE over the key is not the key
SELECT * FROM orders WHERE COALESCE(tenant_id, parent_tenant_id) = $1;
-- name: coalesce_parameter
-- expect: single_shard: COALESCE over parameters is one value
SELECT * FROM orders WHERE tenant_id = COALESCE($1, $2);
-- name: case_over_key
-- expect: cross_shard: a CASE hides the key
SELECT * FROM orders WHERE CASE WHEN $1 THEN tenant_id = $2 ELSE true END;
-- name: case_of_parameters
-- expect: single_shard: a CASE over parameters is one value
SELECT * FROM orders WHERE tenant_id = CASE WHEN $1 THEN $2 ELSE $3 END;
-- name: stable_function
-- expect: single_shard: one value per statement, though not immutable
-- rules: LIM-QRY-03
SELECT * FROM orders WHERE tenant_id = current_setting('app.tenant_id')::uuid;
-- name: user_stable_function
-- expect: single_shard: a STABLE function gives one value per statement
SELECT * FROM orders WHERE tenant_id = current_tenant();
-- name: user_volatile_function
-- expect: cross_shard: a VOLATILE function may change from row to row
SELECT * FROM orders WHERE tenant_id = any_tenant();
-- name: unknown_function
-- expect: cross_shard: nobody knows what the function does
SELECT * FROM orders WHERE tenant_id = pick_tenant($1);
-- name: random_function
-- expect: cross_shard: volatile
SELECT * FROM orders WHERE tenant_id = gen_random_uuid();
-- name: jsonb_parameter
-- expect: single_shard: a field of a parameter is a constant
SELECT * FROM notes WHERE tenant_id = $1::jsonb ->> 'tenant';
-- name: arithmetic_on_key
-- expect: cross_shard: the key stands inside an expression
SELECT * FROM notes WHERE tenant_id || '' = $1;
-- name: like_key
-- expect: cross_shard: LIKE is no equality
SELECT * FROM notes WHERE tenant_id LIKE $1;

-- ---------------------------------------------------------------- parameter styles

-- name: style_percent_s
-- expect: single_shard: %s is a parameter
SELECT * FROM orders WHERE tenant_id = %s AND id = %s;
-- name: style_percent_name
-- expect: single_shard: %(name)s is a parameter
SELECT * FROM orders WHERE tenant_id = %(tenant)s;
-- name: style_colon
-- expect: single_shard: :name is a parameter
SELECT * FROM orders WHERE tenant_id = :tenant AND placed_at > :since::timestamptz;
-- name: style_colon_join
-- expect: single_shard: the same name is the same value
SELECT 1 FROM orders o, users u WHERE o.tenant_id = :tenant AND u.tenant_id = :tenant;
-- name: style_at
-- expect: single_shard: @name is a parameter (sqlc)
SELECT * FROM orders WHERE tenant_id = @tenant_id AND id = @id;
-- name: style_sqlc
-- expect: single_shard: sqlc.arg is a parameter
SELECT * FROM orders WHERE tenant_id = sqlc.arg(tenant) AND state = sqlc.narg('state');
-- name: style_question
-- expect: single_shard: ? is a parameter where it is no operator
SELECT * FROM orders WHERE tenant_id = ? AND id = ?;
-- name: style_none
-- expect: cross_shard: a literal that looks like a parameter is a literal, and on another column
SELECT * FROM orders WHERE state = '%s';
-- name: style_cast_is_no_parameter
-- expect: cross_shard: ::text is a cast, not a parameter
SELECT id::text FROM orders WHERE id = 5;

-- ---------------------------------------------------------------- lists and arrays

-- name: in_one
-- expect: single_shard: a list of one is an equality
SELECT * FROM orders WHERE tenant_id IN ($1);
-- name: in_several
-- expect: multi_shard_keys: two known keys
SELECT * FROM orders WHERE tenant_id IN ($1, $2);
-- name: in_same_twice
-- expect: single_shard: the same key twice is one key
SELECT * FROM orders WHERE tenant_id IN ($1, $1);
-- name: in_constants
-- expect: multi_shard_keys: three known keys
SELECT * FROM notes WHERE tenant_id IN ('a', 'b', 'c');
-- name: not_in
-- expect: cross_shard: all keys but some
SELECT * FROM orders WHERE tenant_id NOT IN ($1, $2);
-- name: any_parameter
-- expect: cross_shard: an array of any length
SELECT * FROM orders WHERE tenant_id = ANY($1);
-- name: any_cast_parameter
-- expect: cross_shard: an array of any length
SELECT * FROM orders WHERE tenant_id = ANY($1::uuid[]) AND id = $2;
-- name: any_array_one
-- expect: single_shard: an array of one
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[$1::uuid]);
-- name: any_array_two
-- expect: multi_shard_keys: an array of two
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[$1, $2]::uuid[]);
-- name: any_literal
-- expect: multi_shard_keys: the literal holds two keys
SELECT * FROM notes WHERE tenant_id = ANY('{a,b}');
-- name: any_literal_one
-- expect: single_shard: the literal holds one key
SELECT * FROM notes WHERE tenant_id = ANY('{a}'::text[]);
-- name: not_any
-- expect: cross_shard: negated
SELECT * FROM orders WHERE NOT (tenant_id = ANY($1));
-- name: all_array
-- expect: cross_shard: <> ALL excludes keys
SELECT * FROM orders WHERE tenant_id <> ALL($1);
-- name: any_and_equality
-- expect: single_shard: the equality decides, the list only filters
SELECT * FROM orders WHERE tenant_id = $1 AND tenant_id = ANY($2);
-- name: in_on_other_column
-- expect: single_shard: the list is of ids, the tenant is one
SELECT * FROM orders WHERE tenant_id = $1 AND id IN (1, 2, 3);

-- ---------------------------------------------------------------- ranges, OR, negation

-- name: range
-- expect: cross_shard: hash sharding knows no ranges
SELECT * FROM orders WHERE tenant_id > $1;
-- name: between
-- expect: cross_shard: a range
SELECT * FROM orders WHERE tenant_id BETWEEN $1 AND $2;
-- name: inequality
-- expect: cross_shard: all but one
SELECT * FROM orders WHERE tenant_id <> $1;
-- name: not_equal
-- expect: cross_shard: NOT (key = x) is an inequality
SELECT * FROM orders WHERE NOT tenant_id = $1;
-- name: not_not_equal
-- expect: single_shard: NOT (key <> x) is an equality, as the planner sees it
SELECT * FROM orders WHERE NOT (tenant_id <> $1);
-- name: not_or
-- expect: single_shard: NOT (a OR b) is NOT a AND NOT b
SELECT * FROM orders WHERE NOT (tenant_id <> $1 OR state = 'closed');
-- name: not_and
-- expect: cross_shard: NOT (a AND b) is NOT a OR NOT b
SELECT * FROM orders WHERE NOT (tenant_id <> $1 AND state = 'closed');
-- name: or_two_keys
-- expect: multi_shard_keys: either of two known keys
SELECT * FROM orders WHERE tenant_id = $1 OR tenant_id = $2;
-- name: or_same_key
-- expect: single_shard: both arms bind the same key
SELECT * FROM orders WHERE (tenant_id = $1 AND state = 'open') OR (tenant_id = $1 AND total > 5);
-- name: or_unbound_arm
-- expect: cross_shard: one arm lets every tenant through
SELECT * FROM orders WHERE tenant_id = $1 OR state = 'public';
-- name: or_optional_filter
-- expect: cross_shard: with a NULL parameter it runs over all tenants
SELECT * FROM orders WHERE ($1::uuid IS NULL OR tenant_id = $1);
-- name: or_beside_equality
-- expect: single_shard: the OR is on other columns
SELECT * FROM orders WHERE tenant_id = $1 AND (state = 'open' OR total > 5);
-- name: or_nested
-- expect: multi_shard_keys: every way through binds one of three keys
SELECT * FROM orders WHERE tenant_id = $1 OR (state = 'open' AND (tenant_id = $2 OR tenant_id = $3));
-- name: or_in_lists
-- expect: multi_shard_keys: lists in both arms
SELECT * FROM orders WHERE tenant_id IN ($1, $2) OR tenant_id = $3;
-- name: or_join_in_all_arms
-- expect: single_shard: both arms join the key, and one table is bound
SELECT 1 FROM orders o, users u WHERE o.tenant_id = $1
   AND ((u.tenant_id = o.tenant_id AND u.id = 1) OR (u.tenant_id = o.tenant_id AND u.id = o.user_id));
-- name: or_join_in_one_arm
-- expect: cross_shard: the other arm does not join the key
SELECT 1 FROM orders o, users u WHERE o.tenant_id = $1
   AND ((u.tenant_id = o.tenant_id AND u.id = 1) OR u.id = o.user_id);
-- name: and_false
-- expect: single_shard: whatever else is said, the key is one
SELECT * FROM orders WHERE tenant_id = $1 AND false;

-- ---------------------------------------------------------------- row comparison

-- name: row_equal
-- expect: single_shard: columns pairwise
SELECT * FROM orders WHERE (tenant_id, id) = ($1, $2);
-- name: row_in
-- expect: multi_shard_keys: two rows, two keys
SELECT * FROM orders WHERE (tenant_id, id) IN (($1, 1), ($2, 2));
-- name: row_in_one_tenant
-- expect: single_shard: two rows of one key
SELECT * FROM orders WHERE (tenant_id, id) IN (($1, 1), ($1, 2));
-- name: row_greater
-- expect: cross_shard: keyset over all tenants
SELECT * FROM orders WHERE (tenant_id, id) > ($1, $2) ORDER BY tenant_id, id LIMIT 100;
-- name: row_join
-- expect: single_shard: the row equality joins the keys
SELECT 1 FROM orders o JOIN users u ON (u.tenant_id, u.id) = (o.tenant_id, o.user_id) WHERE o.tenant_id = $1;
-- name: row_without_key
-- expect: cross_shard: the rows compared do not hold the key
SELECT * FROM orders WHERE (id, user_id) = ($1, $2);

-- ---------------------------------------------------------------- inner joins

-- name: join_on_key
-- expect: single_shard: the join carries the key over
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id WHERE o.tenant_id = $1;
-- name: join_on_id_only
-- expect: cross_shard: users is not bound
-- rules: LIM-QRY-02
SELECT * FROM orders o JOIN users u ON u.id = o.user_id WHERE o.tenant_id = $1;
-- name: join_both_bound
-- expect: single_shard: both are bound to the same parameter
SELECT * FROM orders o JOIN users u ON u.id = o.user_id WHERE o.tenant_id = $1 AND u.tenant_id = $1;
-- name: join_two_parameters
-- expect: multi_shard_keys: two parameters may be two tenants
SELECT * FROM orders o JOIN users u ON u.id = o.user_id WHERE o.tenant_id = $1 AND u.tenant_id = $2;
-- name: join_two_parameters_joined
-- expect: single_shard: the join makes both parameters one key
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id WHERE o.tenant_id = $1 AND u.tenant_id = $2;
-- name: join_unbound
-- expect: cross_shard: joined on the key, but no tenant is named
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id;
-- name: join_chain
-- expect: single_shard: three tables in a chain
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id JOIN invoices i ON i.tenant_id = u.tenant_id
 WHERE i.tenant_id = $1;
-- name: join_chain_broken
-- expect: cross_shard: the third table is joined by id only
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id JOIN invoices i ON i.order_id = o.id
 WHERE o.tenant_id = $1;
-- name: join_comma
-- expect: single_shard: a comma is an inner join
SELECT * FROM orders o, users u WHERE o.tenant_id = u.tenant_id AND u.tenant_id = $1;
-- name: join_cross
-- expect: cross_shard: users has no condition
SELECT * FROM orders o CROSS JOIN users u WHERE o.tenant_id = $1;
-- name: join_using
-- expect: single_shard: USING equates the keys
SELECT * FROM orders JOIN users USING (tenant_id) WHERE tenant_id = $1;
-- name: join_using_qualified
-- expect: single_shard: one side of USING is bound
SELECT * FROM orders o JOIN users u USING (tenant_id) WHERE u.tenant_id = $1;
-- name: join_using_other
-- expect: cross_shard: USING another column
SELECT * FROM orders o JOIN invoices i USING (id) WHERE o.tenant_id = $1;
-- name: join_natural
-- expect: single_shard: NATURAL equates tenant_id and id
SELECT * FROM orders NATURAL JOIN invoices WHERE tenant_id = $1;
-- name: join_on_in_on
-- expect: single_shard: ON of an inner join counts like WHERE
SELECT * FROM orders o JOIN users u ON u.tenant_id = o.tenant_id AND o.tenant_id = $1;
-- name: join_self
-- expect: cross_shard: the second copy of the table is not bound
SELECT * FROM users u JOIN users m ON m.id = u.manager_id WHERE u.tenant_id = $1;
-- name: join_self_bound
-- expect: single_shard: both copies are
SELECT * FROM users u JOIN users m ON m.tenant_id = u.tenant_id AND m.id = u.manager_id WHERE u.tenant_id = $1;
-- name: join_reference
-- expect: single_shard: a reference table is on every shard
SELECT * FROM users u JOIN countries c ON c.code = u.country_code WHERE u.tenant_id = $1;
-- name: join_reference_unbound
-- expect: cross_shard: the reference table does not help the users
SELECT * FROM users u JOIN countries c ON c.code = u.country_code WHERE c.code = 'DE';
-- name: join_standard
-- expect: single_shard: the sharded side is bound; the standard table is joined on the router
-- rules: LIM-QRY-07
SELECT * FROM orders o JOIN job_queue j ON j.id = o.id WHERE o.tenant_id = $1;
-- name: join_through_reference_column
-- expect: cross_shard: equal countries do not make equal tenants
SELECT * FROM users a JOIN users b ON a.country_code = b.country_code WHERE a.tenant_id = $1;
-- name: join_alias
-- expect: single_shard: a join with its own alias
SELECT j.email FROM (orders o JOIN users u USING (tenant_id)) AS j WHERE j.tenant_id = $1;
-- name: join_parenthesised
-- expect: single_shard: parentheses change nothing
SELECT 1 FROM (orders o JOIN users u ON u.tenant_id = o.tenant_id) JOIN invoices i ON i.tenant_id = o.tenant_id
 WHERE u.tenant_id = $1;
-- name: join_negated
-- expect: cross_shard: joined where the tenants differ
SELECT * FROM orders o JOIN users u ON u.tenant_id <> o.tenant_id WHERE o.tenant_id = $1;

-- ---------------------------------------------------------------- outer joins

-- name: left_on_key
-- expect: single_shard: the nullable side follows the preserved side
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id WHERE o.tenant_id = $1;
-- name: left_on_constant_preserved
-- expect: cross_shard: a predicate in ON does not bind the preserved side
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id AND o.tenant_id = $1;
-- name: left_on_constant_nullable
-- expect: single_shard: ON binds the nullable side, WHERE the preserved one
SELECT * FROM orders o LEFT JOIN users u ON u.id = o.user_id AND u.tenant_id = $1 WHERE o.tenant_id = $1;
-- name: left_nullable_unbound
-- expect: cross_shard: users is joined by id only
SELECT * FROM orders o LEFT JOIN users u ON u.id = o.user_id WHERE o.tenant_id = $1;
-- name: left_where_nullable
-- expect: single_shard: WHERE on the nullable side makes it an inner join, so the equality binds both
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id WHERE u.tenant_id = $1;
-- name: left_where_nullable_other_column
-- expect: single_shard: any strict condition on the nullable side makes it an inner join
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id AND u.tenant_id = $1 WHERE u.email = $2;
-- name: left_anti
-- expect: cross_shard: IS NULL keeps the outer join outer; orders are not bound
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id AND u.tenant_id = $1 WHERE u.id IS NULL;
-- name: left_anti_bound
-- expect: single_shard: the preserved side is bound
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id AND u.id = o.user_id
 WHERE o.tenant_id = $1 AND u.id IS NULL;
-- name: right_on_key
-- expect: single_shard: the preserved side is the right one
SELECT * FROM users u RIGHT JOIN orders o ON u.tenant_id = o.tenant_id WHERE o.tenant_id = $1;
-- name: right_on_constant_preserved
-- expect: cross_shard: ON does not bind the preserved side
SELECT * FROM users u RIGHT JOIN orders o ON u.tenant_id = o.tenant_id AND o.tenant_id = $1;
-- name: left_using
-- expect: single_shard: the merged column is the left one
SELECT * FROM orders LEFT JOIN users USING (tenant_id) WHERE tenant_id = $1;
-- name: right_using
-- expect: single_shard: the merged column is the right one
SELECT * FROM orders RIGHT JOIN users USING (tenant_id) WHERE tenant_id = $1;
-- name: full_using
-- expect: single_shard: the merged column is a COALESCE of both, and equal to a constant it is known of both
SELECT * FROM orders FULL JOIN users USING (tenant_id) WHERE tenant_id = $1;
-- name: full_using_three
-- expect: cross_shard: of several full joins PostgreSQL 15 asks every shard, and 18 one
SELECT * FROM orders FULL JOIN users USING (tenant_id) FULL JOIN notes USING (tenant_id) WHERE tenant_id = $1;
-- name: full_using_and_a_side
-- expect: cross_shard: the condition on one side makes it a left join, and the COALESCE reaches neither
SELECT * FROM orders FULL JOIN users USING (tenant_id) WHERE tenant_id = $1 AND orders.state = $2;
-- name: full_using_and_a_function_of_a_side
-- expect: cross_shard: PostgreSQL sees through more conditions than the audit
SELECT * FROM orders FULL JOIN users USING (tenant_id) WHERE tenant_id = $1 AND lower(orders.state) = $2;
-- name: full_using_in_an_array
-- expect: cross_shard: only an equality is known of both sides
SELECT * FROM orders FULL JOIN users USING (tenant_id) WHERE tenant_id = ANY (ARRAY['a']::uuid[]);
-- name: full_on
-- expect: cross_shard: both sides are preserved
SELECT * FROM orders o FULL JOIN users u ON u.tenant_id = o.tenant_id AND o.tenant_id = $1 AND u.tenant_id = $1;
-- name: full_where_both
-- expect: single_shard: strict conditions on both sides make it an inner join
SELECT * FROM orders o FULL JOIN users u ON u.tenant_id = o.tenant_id WHERE o.tenant_id = $1 AND u.tenant_id = $1;
-- name: left_chain
-- expect: single_shard: nullable sides in a chain
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id LEFT JOIN invoices i ON i.tenant_id = o.tenant_id
 WHERE o.tenant_id = $1;
-- name: left_chain_through_nullable
-- expect: single_shard: invoices match only where users matched, with the same key
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id LEFT JOIN invoices i ON i.tenant_id = u.tenant_id
 WHERE o.tenant_id = $1;
-- name: left_reference_preserved
-- expect: single_shard: the sharded side is bound in ON; the router pads it with NULLs
-- rules: LIM-QRY-06
SELECT * FROM countries c LEFT JOIN users u ON u.country_code = c.code AND u.tenant_id = $1;
-- name: left_inside_right
-- expect: single_shard: an inner join inside the nullable side
SELECT * FROM orders o LEFT JOIN (users u JOIN invoices i ON i.tenant_id = u.tenant_id) ON u.tenant_id = o.tenant_id
 WHERE o.tenant_id = $1;

-- ---------------------------------------------------------------- subqueries

-- name: from_subquery
-- expect: single_shard: the filter is inside
SELECT * FROM (SELECT * FROM orders WHERE tenant_id = $1) AS o WHERE o.id = $2;
-- name: from_subquery_filtered_outside
-- expect: single_shard: a plain subquery is flattened
SELECT * FROM (SELECT tenant_id, id FROM orders) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_renamed
-- expect: single_shard: through another name
SELECT * FROM (SELECT tenant_id AS t, id FROM orders) AS o WHERE o.t = $1;
-- name: from_subquery_column_aliases
-- expect: single_shard: through column aliases
SELECT * FROM (SELECT tenant_id, id FROM orders) AS o (t, n) WHERE o.t = $1;
-- name: from_subquery_limit
-- expect: cross_shard: LIMIT inside: the filter outside cannot go in
SELECT * FROM (SELECT * FROM orders ORDER BY placed_at LIMIT 10) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_group_key
-- expect: single_shard: grouped by the key, so the filter goes in
SELECT * FROM (SELECT tenant_id, count(*) AS n FROM orders GROUP BY tenant_id) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_group_other
-- expect: cross_shard: grouped by something else; max(key) is not the key
SELECT * FROM (SELECT state, max(parent_tenant_id) AS t FROM orders GROUP BY state) AS o WHERE o.t = $1;
-- name: from_subquery_distinct
-- expect: single_shard: DISTINCT lets a filter through
SELECT * FROM (SELECT DISTINCT tenant_id, state FROM orders) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_distinct_on_key
-- expect: single_shard: DISTINCT ON the key lets a filter on it through
SELECT * FROM (SELECT DISTINCT ON (tenant_id) tenant_id, id FROM orders ORDER BY tenant_id, placed_at) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_distinct_on_other
-- expect: cross_shard: DISTINCT ON another column does not
SELECT * FROM (SELECT DISTINCT ON (state) tenant_id, state FROM orders) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_window_key
-- expect: single_shard: the window is per tenant
SELECT * FROM (SELECT tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY id) AS n FROM orders) AS o
 WHERE o.tenant_id = $1 AND o.n = 1;
-- name: from_subquery_window_all
-- expect: cross_shard: the window runs over all rows
SELECT * FROM (SELECT tenant_id, row_number() OVER (ORDER BY placed_at) AS n FROM orders) AS o WHERE o.tenant_id = $1;
-- name: from_subquery_aggregate
-- expect: cross_shard: an aggregate over all tenants
SELECT * FROM (SELECT max(placed_at) AS newest FROM orders) AS o;
-- name: in_subquery_same_tenant
-- expect: single_shard: both levels are bound
SELECT * FROM orders WHERE tenant_id = $1 AND user_id IN (SELECT id FROM users WHERE tenant_id = $1 AND email = $2);
-- name: in_subquery_unbound
-- expect: cross_shard: the inner level is not bound
SELECT * FROM orders WHERE tenant_id = $1 AND user_id IN (SELECT id FROM users WHERE email = $2);
-- name: in_subquery_gives_key
-- expect: cross_shard: the tenants are known at run time only
SELECT * FROM orders WHERE tenant_id IN (SELECT tenant_id FROM accounts WHERE plan_code = $1);
-- name: in_subquery_bound_key
-- expect: single_shard: the subquery's key is bound, and the semi-join equates it
SELECT * FROM orders WHERE tenant_id IN (SELECT tenant_id FROM accounts WHERE tenant_id = $1 AND plan_code = 'pro');
-- name: in_subquery_outer_bound
-- expect: single_shard: the semi-join carries the outer key inwards
SELECT * FROM orders WHERE tenant_id = $1 AND tenant_id IN (SELECT tenant_id FROM accounts WHERE plan_code = 'pro');
-- name: not_in_subquery
-- expect: cross_shard: NOT IN carries nothing inwards
SELECT * FROM orders WHERE tenant_id = $1 AND tenant_id NOT IN (SELECT tenant_id FROM accounts WHERE plan_code = 'pro');
-- name: not_in_subquery_bound
-- expect: single_shard: the inner level is bound by itself
SELECT * FROM orders WHERE tenant_id = $1 AND user_id NOT IN (SELECT id FROM users WHERE tenant_id = $1);
-- name: exists_correlated
-- expect: single_shard: EXISTS is correlated on the key
SELECT * FROM orders o WHERE o.tenant_id = $1
   AND EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = o.tenant_id AND u.id = o.user_id);
-- name: exists_uncorrelated
-- expect: cross_shard: users by id only
SELECT * FROM orders o WHERE o.tenant_id = $1 AND EXISTS (SELECT 1 FROM users u WHERE u.id = o.user_id);
-- name: exists_binds_outer
-- expect: single_shard: a positive EXISTS binds the outer table too
SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1);
-- name: not_exists_correlated
-- expect: single_shard: the outer key goes in
SELECT * FROM orders o WHERE o.tenant_id = $1 AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.tenant_id = o.tenant_id AND i.order_id = o.id);
-- name: not_exists_binds_nothing
-- expect: cross_shard: NOT EXISTS binds no outer row
SELECT * FROM orders o WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1);
-- name: exists_inside_or
-- expect: cross_shard: inside an OR it binds no outer row
SELECT * FROM orders o WHERE o.state = 'x' OR EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1);
-- name: scalar_gives_key
-- expect: cross_shard: the key is looked up at run time, over all shards
SELECT * FROM orders WHERE tenant_id = (SELECT tenant_id FROM accounts WHERE slug = $1);
-- name: scalar_gives_key_from_reference
-- expect: cross_shard: known at run time only
SELECT * FROM notes WHERE tenant_id = (SELECT name FROM countries WHERE code = $1);
-- name: scalar_bound
-- expect: single_shard: the subquery can only give the key it is bound to
SELECT * FROM orders WHERE tenant_id = (SELECT tenant_id FROM accounts WHERE tenant_id = $1);
-- name: scalar_in_list
-- expect: single_shard: correlated in the select list
SELECT o.id, (SELECT count(*) FROM invoices i WHERE i.tenant_id = o.tenant_id AND i.order_id = o.id) FROM orders o WHERE o.tenant_id = $1;
-- name: scalar_in_list_unbound
-- expect: cross_shard: the subquery in the select list reads all tenants
SELECT o.id, (SELECT max(total) FROM orders) FROM orders o WHERE o.tenant_id = $1;
-- name: subquery_in_order_by
-- expect: cross_shard: a subquery in ORDER BY counts too
SELECT id FROM orders WHERE tenant_id = $1 ORDER BY (SELECT count(*) FROM users);
-- name: from_subquery_join
-- expect: single_shard: two subqueries joined on the key, one bound
SELECT * FROM (SELECT * FROM orders) o JOIN (SELECT * FROM users) u ON u.tenant_id = o.tenant_id WHERE o.tenant_id = $1;
-- name: values_join
-- expect: multi_shard_keys: VALUES holds two keys
SELECT * FROM orders o JOIN (VALUES ('a'), ('b')) AS v (t) ON o.tenant_id = v.t;
-- name: values_join_one
-- expect: single_shard: VALUES holds one key
SELECT * FROM orders o JOIN (VALUES ($1::uuid, 1), ($1::uuid, 2)) AS v (t, n) ON o.tenant_id = v.t AND o.id = v.n;
-- name: unnest_join
-- expect: cross_shard: as many tenants as the array holds
SELECT * FROM orders o JOIN unnest($1::uuid[]) AS t (id) ON o.tenant_id = t.id;
-- name: any_subquery
-- expect: single_shard: = ANY (SELECT) is IN
SELECT * FROM orders WHERE tenant_id = ANY (SELECT tenant_id FROM accounts WHERE tenant_id = $1);
-- name: array_subquery
-- expect: cross_shard: an array built at run time
SELECT * FROM orders WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM accounts WHERE plan_code = 'pro'));

-- ---------------------------------------------------------------- LATERAL

-- name: lateral_correlated
-- expect: single_shard: the lateral subquery takes the outer key
SELECT * FROM orders o, LATERAL (SELECT * FROM users u WHERE u.tenant_id = o.tenant_id AND u.id = o.user_id) x WHERE o.tenant_id = $1;
-- name: lateral_limit
-- expect: single_shard: LIMIT inside does not matter for a key that comes from outside
SELECT * FROM users u CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.tenant_id = u.tenant_id AND o.user_id = u.id ORDER BY placed_at DESC LIMIT 1) x
 WHERE u.tenant_id = $1;
-- name: lateral_unbound
-- expect: cross_shard: correlated on another column
SELECT * FROM users u CROSS JOIN LATERAL (SELECT * FROM orders o WHERE o.user_id = u.id LIMIT 1) x WHERE u.tenant_id = $1;
-- name: lateral_left
-- expect: single_shard: LEFT JOIN LATERAL … ON true takes the outer key
SELECT * FROM users u LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.tenant_id = u.tenant_id) x ON true WHERE u.tenant_id = $1;
-- name: lateral_left_inside_only
-- expect: cross_shard: the bound key is inside a left join, users stay unbound
SELECT * FROM users u LEFT JOIN LATERAL (SELECT 1 FROM orders o WHERE o.tenant_id = u.tenant_id AND o.tenant_id = $1) x ON true;

-- ---------------------------------------------------------------- common table expressions

-- name: cte_bound_inside
-- expect: single_shard: the filter is inside
WITH o AS (SELECT * FROM orders WHERE tenant_id = $1) SELECT * FROM o WHERE id = $2;
-- name: cte_filtered_outside
-- expect: single_shard: used once, so it is inlined
WITH o AS (SELECT tenant_id, id FROM orders) SELECT * FROM o WHERE o.tenant_id = $1;
-- name: cte_materialized
-- expect: cross_shard: MATERIALIZED is computed whole
WITH o AS MATERIALIZED (SELECT tenant_id, id FROM orders) SELECT * FROM o WHERE o.tenant_id = $1;
-- name: cte_twice
-- expect: cross_shard: used twice, so it is computed whole
WITH o AS (SELECT tenant_id, id FROM orders) SELECT * FROM o a JOIN o b ON b.id = a.id WHERE a.tenant_id = $1 AND b.tenant_id = $1;
-- name: cte_twice_bound_inside
-- expect: single_shard: bound inside, however often it is used
WITH o AS (SELECT tenant_id, id FROM orders WHERE tenant_id = $1) SELECT * FROM o a JOIN o b ON b.id = a.id;
-- name: cte_chain
-- expect: single_shard: the key goes through two expressions and a join
WITH a AS (SELECT tenant_id FROM accounts WHERE tenant_id = $1), o AS (SELECT o.* FROM orders o JOIN a ON a.tenant_id = o.tenant_id)
SELECT count(*) FROM o;
-- name: cte_gives_key
-- expect: cross_shard: the tenants come from a lookup by slug
WITH a AS (SELECT tenant_id FROM accounts WHERE slug = $1) SELECT o.* FROM orders o JOIN a ON a.tenant_id = o.tenant_id;
-- name: cte_parameters
-- expect: single_shard: a CTE that only holds parameters
WITH p AS (SELECT $1::uuid AS t, $2::bigint AS n) SELECT o.* FROM orders o JOIN p ON o.tenant_id = p.t AND o.id = p.n;
-- name: cte_column_names
-- expect: single_shard: renamed by the CTE's column list
WITH p (t) AS (SELECT $1::uuid) SELECT o.* FROM orders o, p WHERE o.tenant_id = p.t;
-- name: cte_unused
-- expect: cross_shard: an unused CTE over all tenants still stands there
WITH x AS (SELECT * FROM users) SELECT * FROM orders WHERE tenant_id = $1;
-- name: cte_shadows_table
-- expect: reference_only: the name means the CTE, which reads a reference table
WITH orders AS (SELECT code AS tenant_id FROM countries) SELECT * FROM orders;
-- name: cte_nested
-- expect: single_shard: WITH inside a subquery
SELECT * FROM (WITH o AS (SELECT * FROM orders WHERE tenant_id = $1) SELECT * FROM o) AS s;
-- name: cte_delete_returning
-- expect: single_shard: a data-modifying CTE, both parts bound
WITH gone AS (DELETE FROM orders WHERE tenant_id = $1 AND state = 'x' RETURNING tenant_id, id)
INSERT INTO invoices (tenant_id, id) SELECT tenant_id, id FROM gone;
-- name: cte_delete_unbound
-- expect: cross_shard: the DELETE runs over all tenants
WITH gone AS (DELETE FROM orders WHERE state = 'x' RETURNING tenant_id, id) INSERT INTO invoices (tenant_id, id) SELECT tenant_id, id FROM gone;
-- name: cte_insert_then_select
-- expect: single_shard: inserted and read under the same key
WITH o AS (INSERT INTO orders (tenant_id, state) VALUES ($1, 'open') RETURNING tenant_id, id)
SELECT u.email, o.id FROM o JOIN users u ON u.tenant_id = o.tenant_id WHERE u.id = $2;

-- ---------------------------------------------------------------- recursive

-- name: recursive_keeps_key
-- expect: single_shard: the recursive arm joins on the key that the first arm binds
WITH RECURSIVE chain AS (
    SELECT tenant_id, id, manager_id FROM users WHERE tenant_id = $1 AND id = $2
    UNION ALL SELECT u.tenant_id, u.id, u.manager_id FROM users u JOIN chain c ON u.tenant_id = c.tenant_id AND u.id = c.manager_id
) SELECT * FROM chain;
-- name: recursive_loses_key
-- expect: cross_shard: the recursive arm walks by id alone
WITH RECURSIVE chain AS (
    SELECT tenant_id, id, manager_id FROM users WHERE tenant_id = $1 AND id = $2
    UNION ALL SELECT u.tenant_id, u.id, u.manager_id FROM users u JOIN chain c ON u.id = c.manager_id
) SELECT * FROM chain;
-- name: recursive_changes_key
-- expect: cross_shard: the recursive arm goes on with another tenant
WITH RECURSIVE chain AS (
    SELECT tenant_id, parent_tenant_id FROM orders WHERE tenant_id = $1
    UNION SELECT o.tenant_id, o.parent_tenant_id FROM orders o JOIN chain c ON o.tenant_id = c.parent_tenant_id
) SELECT * FROM chain;
-- name: recursive_numbers
-- expect: no_table: counts without a table
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT * FROM n;
-- name: recursive_bound_each_arm
-- expect: single_shard: every arm names the tenant itself
WITH RECURSIVE chain AS (
    SELECT id, manager_id FROM users WHERE tenant_id = $1 AND id = $2
    UNION ALL SELECT u.id, u.manager_id FROM users u JOIN chain c ON u.id = c.manager_id WHERE u.tenant_id = $1
) SELECT * FROM chain;

-- ---------------------------------------------------------------- set operations

-- name: union_both_bound
-- expect: single_shard: both arms name the tenant
SELECT id FROM orders WHERE tenant_id = $1 UNION ALL SELECT id FROM invoices WHERE tenant_id = $1;
-- name: union_two_keys
-- expect: multi_shard_keys: one tenant per arm
SELECT id FROM orders WHERE tenant_id = $1 UNION SELECT id FROM orders WHERE tenant_id = $2;
-- name: union_one_unbound
-- expect: cross_shard: the second arm reads all
SELECT id FROM orders WHERE tenant_id = $1 UNION SELECT id FROM invoices;
-- name: union_filtered_outside
-- expect: single_shard: the filter goes into both arms
SELECT * FROM (SELECT tenant_id, id FROM orders UNION ALL SELECT tenant_id, id FROM invoices) AS x WHERE x.tenant_id = $1;
-- name: union_limit_filtered_outside
-- expect: cross_shard: LIMIT stands between
SELECT * FROM (SELECT tenant_id, id FROM orders UNION ALL SELECT tenant_id, id FROM invoices LIMIT 5) AS x WHERE x.tenant_id = $1;
-- name: union_other_position
-- expect: cross_shard: in the second arm that column is not the key
SELECT * FROM (SELECT tenant_id, id FROM orders UNION ALL SELECT parent_tenant_id, id FROM orders) AS x WHERE x.tenant_id = $1;
-- name: intersect_bound
-- expect: single_shard: both arms bound
SELECT id FROM orders WHERE tenant_id = $1 INTERSECT SELECT order_id FROM invoices WHERE tenant_id = $1;
-- name: except_unbound
-- expect: cross_shard: the right arm reads all
SELECT id FROM orders WHERE tenant_id = $1 EXCEPT SELECT order_id FROM invoices;
-- name: union_with_reference
-- expect: single_shard: a reference arm is harmless
SELECT name FROM accounts WHERE tenant_id = $1 UNION SELECT name FROM countries;
-- name: union_references
-- expect: reference_only: reference tables only
SELECT name FROM countries UNION SELECT code FROM plans;
-- name: values_only
-- expect: no_table: VALUES alone
VALUES (1, 'a'), (2, 'b');
-- name: union_joined
-- expect: single_shard: the union's key is joined with a bound table
SELECT 1 FROM accounts a JOIN (SELECT tenant_id FROM orders UNION ALL SELECT tenant_id FROM invoices) x ON x.tenant_id = a.tenant_id WHERE a.tenant_id = $1;

-- ---------------------------------------------------------------- views

-- name: view_filtered
-- expect: single_shard: the view joins on the key and the filter goes in
SELECT * FROM all_orders WHERE tenant_id = $1;
-- name: view_unfiltered
-- expect: cross_shard: no filter
SELECT * FROM all_orders WHERE id = $1;
-- name: view_loose
-- expect: cross_shard: inside the view users is joined by id only
SELECT * FROM loose_orders WHERE tenant_id = $1;
-- name: view_own_filter
-- expect: single_shard: the view's own filter binds the tenant of the session
-- rules: -
SELECT * FROM my_orders WHERE id = $1;
-- name: view_grouped
-- expect: single_shard: grouped by the key
SELECT * FROM order_totals WHERE tenant_id = $1;
-- name: view_limited
-- expect: cross_shard: LIMIT in the view
SELECT * FROM recent_orders WHERE tenant_id = $1;
-- name: view_reference
-- expect: reference_only: a view of a reference table
SELECT * FROM country_names;
-- name: view_union
-- expect: single_shard: the filter goes into both arms
SELECT * FROM everything WHERE tenant_id = $1;
-- name: view_joined
-- expect: single_shard: view and table joined on the key
SELECT * FROM all_orders v JOIN invoices i ON i.tenant_id = v.tenant_id WHERE i.tenant_id = $1;
-- name: view_joined_by_id
-- expect: cross_shard: joined by id only
SELECT * FROM all_orders v JOIN invoices i ON i.order_id = v.id WHERE v.tenant_id = $1;

-- ---------------------------------------------------------------- row-level security

-- name: rls_select
-- expect: single_shard: the policy adds the tenant of the session
SELECT * FROM documents WHERE id = $1;
-- name: rls_join
-- expect: cross_shard: the policy binds documents, not orders
SELECT * FROM documents d JOIN orders o ON o.id = d.id;
-- name: rls_two_policies
-- expect: cross_shard: a second permissive policy lets other tenants' rows through
SELECT * FROM drafts WHERE id = $1;
-- name: rls_and_parameter
-- expect: single_shard: the parameter binds
SELECT * FROM drafts WHERE tenant_id = $1;

-- ---------------------------------------------------------------- INSERT

-- name: insert_values
-- expect: single_shard: the row names its tenant
INSERT INTO orders (tenant_id, id, state) VALUES ($1, $2, 'open');
-- name: insert_without_columns
-- expect: single_shard: the first column is the key
INSERT INTO accounts VALUES ($1, $2, $3, 'free');
-- name: insert_two_tenants
-- expect: multi_shard_keys: two rows, two tenants
INSERT INTO orders (tenant_id, id) VALUES ($1, 1), ($2, 2);
-- name: insert_one_tenant_twice
-- expect: single_shard: two rows of one tenant
INSERT INTO orders (tenant_id, id) VALUES ($1, 1), ($1, 2);
-- name: insert_missing_key
-- expect: cross_shard: the row's tenant is not in the text
INSERT INTO orders (id, state) VALUES (1, 'open');
-- name: insert_default_key
-- expect: cross_shard: DEFAULT decides at run time
INSERT INTO invoices (tenant_id, id) VALUES (DEFAULT, 1);
-- name: insert_volatile_key
-- expect: cross_shard: a function decides at run time
INSERT INTO accounts (tenant_id, name, slug) VALUES (gen_random_uuid(), $1, $2);
-- name: insert_default_values
-- expect: cross_shard: nothing is given
INSERT INTO invoices DEFAULT VALUES;
-- name: insert_select_bound
-- expect: single_shard: selected and inserted under one key
INSERT INTO invoices (tenant_id, id, order_id) SELECT tenant_id, id, id FROM orders WHERE tenant_id = $1;
-- name: insert_select_unbound
-- expect: cross_shard: all tenants
INSERT INTO invoices (tenant_id, id) SELECT tenant_id, id FROM orders WHERE state = 'open';
-- name: insert_select_parameter
-- expect: single_shard: the key is a parameter in the select list
INSERT INTO invoices (tenant_id, id) SELECT $1, id FROM orders WHERE tenant_id = $1;
-- name: insert_select_other_tenant
-- expect: multi_shard_keys: copied from one tenant to another
INSERT INTO invoices (tenant_id, id) SELECT $2, id FROM orders WHERE tenant_id = $1;
-- name: insert_select_wrong_position
-- expect: cross_shard: the column in the key's place is not the key
INSERT INTO invoices (tenant_id, id) SELECT parent_tenant_id, id FROM orders WHERE tenant_id = $1;
-- name: insert_select_unnest
-- expect: single_shard: many rows, one parameter for the key
INSERT INTO orders (id, tenant_id) SELECT unnest($1::bigint[]), $2;
-- name: insert_select_unnest_keys
-- expect: cross_shard: the keys come from an array
INSERT INTO orders (tenant_id, id) SELECT * FROM unnest($1::uuid[], $2::bigint[]);
-- name: insert_select_unnest_in_the_select_list
-- expect: cross_shard: a row, and with it a key, for every element of an array
INSERT INTO orders (tenant_id, id) SELECT unnest($1::uuid[]), unnest($2::bigint[]);
-- name: insert_returning
-- expect: single_shard: RETURNING of one row
INSERT INTO orders (tenant_id, id) VALUES ($1, $2) RETURNING *;
-- name: insert_select_star
-- expect: single_shard: the star expands to the table's columns, the key first
INSERT INTO documents SELECT tenant_id, id, body FROM notes WHERE tenant_id = $1;
-- name: insert_with_subquery_value
-- expect: cross_shard: a subquery over all tenants for another column
INSERT INTO orders (tenant_id, id) VALUES ($1, (SELECT max(id) + 1 FROM orders));
-- name: insert_reference
-- expect: reference_only: a write to every shard's copy, but no sharded table
INSERT INTO countries (code, name) VALUES ('XX', $1);
-- name: conflict_key
-- expect: single_shard: the target holds the key
INSERT INTO users (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, email) DO UPDATE SET email = EXCLUDED.email;
-- name: conflict_nothing
-- expect: single_shard: DO NOTHING without a target
INSERT INTO users (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;
-- name: conflict_without_key
-- expect: single_shard: the row is on one shard; the target must become composite
-- rules: LIM-DML-03
INSERT INTO accounts (tenant_id, name, slug) VALUES ($1, $2, $3) ON CONFLICT (slug) DO NOTHING;
-- name: conflict_now
-- expect: single_shard: one shard, but now() in DO UPDATE is refused as written
-- rules: LIM-DML-02
INSERT INTO users (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, id) DO UPDATE SET created_at = now();
-- name: conflict_subquery
-- expect: cross_shard: the subquery in DO UPDATE reads all tenants
-- rules: LIM-DML-02
INSERT INTO users (tenant_id, id, email) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, id) DO UPDATE SET manager_id = (SELECT max(id) FROM users);

-- ---------------------------------------------------------------- UPDATE and DELETE

-- name: update_bound
-- expect: single_shard: one tenant
UPDATE orders SET state = 'paid' WHERE tenant_id = $1 AND id = $2;
-- name: update_unbound
-- expect: cross_shard: by id
UPDATE orders SET state = 'paid' WHERE id = $1;
-- name: update_all
-- expect: cross_shard: everything
UPDATE orders SET state = 'paid';
-- name: update_key
-- expect: unsupported: the shard key cannot be updated
-- rules: LIM-KEY-04
UPDATE orders SET tenant_id = $2 WHERE tenant_id = $1 AND id = $3;
-- name: update_from
-- expect: single_shard: joined on the key
UPDATE orders o SET total = i.amount FROM invoices i WHERE i.tenant_id = o.tenant_id AND i.order_id = o.id AND o.tenant_id = $1;
-- name: update_from_by_id
-- expect: cross_shard: invoices by order id only
UPDATE orders o SET total = i.amount FROM invoices i WHERE i.order_id = o.id AND o.tenant_id = $1;
-- name: update_from_values
-- expect: single_shard: VALUES of ids, tenant bound
UPDATE orders o SET total = v.t FROM (VALUES (1, 10), (2, 20)) AS v (id, t) WHERE o.id = v.id AND o.tenant_id = $1;
-- name: update_from_cte
-- expect: single_shard: picked rows of one tenant
WITH picked AS (SELECT tenant_id, id FROM orders WHERE tenant_id = $1 ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED)
UPDATE orders o SET state = 'taken' FROM picked p WHERE o.tenant_id = p.tenant_id AND o.id = p.id;
-- name: update_from_cte_by_id
-- expect: cross_shard: the outer update joins by id only
WITH picked AS (SELECT id FROM orders WHERE tenant_id = $1) UPDATE orders o SET state = 'taken' FROM picked p WHERE o.id = p.id;
-- name: update_subquery_set
-- expect: cross_shard: the value is computed over all tenants
UPDATE orders SET total = (SELECT avg(amount) FROM invoices) WHERE tenant_id = $1;
-- name: update_subquery_set_bound
-- expect: single_shard: the value is computed under the same key
UPDATE orders SET total = (SELECT sum(amount) FROM invoices WHERE tenant_id = $1) WHERE tenant_id = $1;
-- name: update_current_of
-- expect: unsupported: WHERE CURRENT OF
-- rules: LIM-DML-04
UPDATE orders SET state = 'x' WHERE CURRENT OF my_cursor;
-- name: update_reference
-- expect: reference_only: no sharded table
UPDATE countries SET name = $2 WHERE code = $1;
-- name: delete_bound
-- expect: single_shard: one tenant
DELETE FROM orders WHERE tenant_id = $1 AND id = $2;
-- name: delete_unbound
-- expect: cross_shard: housekeeping by time
DELETE FROM orders WHERE placed_at < now() - interval '1 year';
-- name: delete_using
-- expect: single_shard: joined on the key
DELETE FROM orders o USING users u WHERE u.tenant_id = o.tenant_id AND u.id = o.user_id AND u.tenant_id = $1;
-- name: delete_using_by_id
-- expect: cross_shard: users by id only
DELETE FROM orders o USING users u WHERE u.id = o.user_id AND o.tenant_id = $1;
-- name: delete_in_subquery
-- expect: cross_shard: the subquery is bound, the outer table is not
DELETE FROM orders WHERE id IN (SELECT order_id FROM invoices WHERE tenant_id = $1);
-- name: delete_in_row_subquery
-- expect: single_shard: the row comparison carries the key
DELETE FROM orders WHERE (tenant_id, id) IN (SELECT tenant_id, order_id FROM invoices WHERE tenant_id = $1);
-- name: delete_ctid
-- expect: cross_shard: a batch by ctid, which means nothing across shards
-- rules: LIM-DML-08
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE state = 'x' LIMIT 100);

-- ---------------------------------------------------------------- tables whose key exists on Limitless only

-- name: derived_alone
-- expect: cross_shard: the statement cannot name a column that classic does not have
SELECT * FROM order_items WHERE order_id = $1;
-- name: derived_joined
-- expect: cross_shard: joined through another column; on Limitless the key must be named
SELECT * FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.tenant_id = $1;
-- name: derived_rewritten
-- expect: single_shard: as it must read on Limitless
SELECT * FROM order_items i JOIN orders o ON o.id = i.order_id AND o.tenant_id = i.tenant_id WHERE o.tenant_id = $1;
-- name: derived_insert
-- expect: cross_shard: the row does not name its tenant
INSERT INTO order_items (order_id, sku) VALUES ($1, $2);

-- ---------------------------------------------------------------- functions

-- name: call_bound_function
-- expect: single_shard: the body binds its key to the argument, which is a parameter
SELECT order_total($1, $2);
-- name: call_bound_function_from
-- expect: single_shard: the same as a table function
SELECT * FROM order_total($1, $2);
-- name: call_unbound_function
-- expect: cross_shard: the body reads all tenants
SELECT order_count();
-- name: call_function_per_row
-- expect: single_shard: the argument is the bound key
SELECT id, order_total(tenant_id, id) FROM orders WHERE tenant_id = $1;
-- name: call_function_other_key
-- expect: multi_shard_keys: the function works on another tenant
SELECT id, order_total($2, id) FROM orders WHERE tenant_id = $1;
-- name: call_procedure
-- expect: single_shard: every statement of the body is bound to the argument
CALL close_order($1, $2);
-- name: call_procedure_unbound
-- expect: cross_shard: the body works on all tenants
CALL purge();
-- name: call_dynamic
-- expect: cross_shard: dynamic SQL is not known
SELECT run_report('orders');
-- name: call_pure
-- expect: no_table: the body touches no table
SELECT tax(100);

-- ---------------------------------------------------------------- no sharded table

-- name: select_constant
-- expect: no_table: nothing is read
SELECT 1;
-- name: select_now
-- expect: no_table: nothing is read
SELECT now(), current_user;
-- name: select_reference
-- expect: reference_only: a reference table
SELECT * FROM countries WHERE code = $1;
-- name: select_standard
-- expect: reference_only: a standard table is not sharded
SELECT * FROM job_queue WHERE taken_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
-- name: select_catalog
-- expect: no_table: system catalogs
SELECT relname FROM pg_catalog.pg_class WHERE relkind = 'r';
-- name: select_series
-- expect: no_table: a function of the server
SELECT n FROM generate_series(1, 10) AS n;
-- name: select_unknown
-- expect: cross_shard: the schema does not know the table
-- rules: AUD-EVD-03
SELECT * FROM nowhere WHERE tenant_id = $1;
-- name: begin
-- expect: no_table: a transaction command
BEGIN;
-- name: set_local
-- expect: no_table: a setting
SET LOCAL statement_timeout = '5s';
-- name: show
-- expect: no_table: a setting
SHOW search_path;
-- name: comment_only
-- expect: no_table: nothing but a comment

-- ---------------------------------------------------------------- utility commands

-- name: explain_bound
-- expect: single_shard: EXPLAIN of a bound statement
EXPLAIN ANALYZE SELECT * FROM orders WHERE tenant_id = $1;
-- name: copy_query_bound
-- expect: single_shard: COPY of a bound query
COPY (SELECT * FROM orders WHERE tenant_id = 'x') TO STDOUT;
-- name: copy_table
-- expect: cross_shard: rows of any tenant
COPY orders (tenant_id, id) FROM STDIN;
-- name: copy_reference
-- expect: reference_only: a reference table
COPY countries TO STDOUT;
-- name: truncate
-- expect: cross_shard: the whole table
TRUNCATE orders;
-- name: lock_table
-- expect: cross_shard: the whole table
LOCK TABLE orders IN SHARE MODE;
-- name: declare_cursor
-- expect: single_shard: a cursor over one tenant
DECLARE c CURSOR FOR SELECT * FROM orders WHERE tenant_id = 'x';
-- name: prepare
-- expect: single_shard: prepared for one tenant
-- rules: LIM-SES-05
PREPARE q (uuid) AS SELECT * FROM orders WHERE tenant_id = $1;
-- name: create_table_as
-- expect: cross_shard: reads all tenants
-- rules: LIM-TBL-11
CREATE TABLE copy_of_orders AS SELECT * FROM orders;

-- ---------------------------------------------------------------- refused by Limitless

-- name: merge
-- expect: unsupported: MERGE
-- rules: LIM-DML-01
MERGE INTO orders o USING invoices i ON o.tenant_id = i.tenant_id AND o.id = i.order_id WHEN MATCHED THEN UPDATE SET total = i.amount;
-- name: listen
-- expect: unsupported: LISTEN
-- rules: LIM-DML-05
LISTEN changes;
-- name: notify
-- expect: unsupported: NOTIFY
-- rules: LIM-DML-05
NOTIFY changes, 'x';
-- name: refresh
-- expect: unsupported: materialized views
-- rules: LIM-OBJ-04
REFRESH MATERIALIZED VIEW CONCURRENTLY order_stats;
-- name: reindex
-- expect: unsupported: REINDEX
-- rules: LIM-IDX-03
REINDEX TABLE orders;
-- name: set_constraints
-- expect: unsupported: SET CONSTRAINTS
-- rules: LIM-TXN-06
SET CONSTRAINTS ALL DEFERRED;
-- name: prepare_transaction
-- expect: unsupported: two-phase commit by the user
-- rules: LIM-TXN-02
PREPARE TRANSACTION 'x';
-- name: commit_prepared
-- expect: unsupported: two-phase commit by the user
-- rules: LIM-TXN-02
COMMIT PREPARED 'x';
-- name: create_trigger
-- expect: unsupported: triggers
-- rules: LIM-OBJ-01
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f();
-- name: comment_on
-- expect: unsupported: COMMENT
-- rules: LIM-OBJ-08
COMMENT ON TABLE orders IS 'x';
-- name: create_domain
-- expect: unsupported: domains
-- rules: LIM-COL-04
CREATE DOMAIN money_amount AS numeric CHECK (VALUE > 0);
-- name: alter_system
-- expect: unsupported: ALTER SYSTEM
-- rules: LIM-OBJ-09
ALTER SYSTEM SET work_mem = '1GB';
-- name: create_matview
-- expect: unsupported: materialized views
-- rules: LIM-OBJ-04
CREATE MATERIALIZED VIEW order_stats AS SELECT state, count(*) FROM orders GROUP BY state;
-- name: drop_trigger
-- expect: unsupported: DROP TRIGGER
-- rules: LIM-OBJ-01
DROP TRIGGER t ON orders;
-- name: pg_notify
-- expect: unsupported: the call is all there is, and Limitless refuses it
-- rules: LIM-DML-05
SELECT pg_notify('changes', $1);
-- name: advisory_lock
-- expect: unsupported: refused before engine 16.10, and the target is 16.9
-- rules: LIM-TXN-05
SELECT pg_advisory_xact_lock($1);
-- name: setval
-- expect: unsupported: the call is all there is, and Limitless refuses it
-- rules: LIM-SEQ-02
SELECT setval('orders_id_seq', 100);
-- name: serializable
-- expect: unsupported: a transaction mode that Limitless refuses
-- rules: LIM-TXN-01
BEGIN ISOLATION LEVEL SERIALIZABLE;
-- name: temp_table
-- expect: unsupported: temporary tables do not exist
-- rules: LIM-TBL-04
CREATE TEMPORARY TABLE batch (id bigint);
-- name: order_by_id
-- expect: single_shard: one tenant; but ids are not in the order of time
-- rules: LIM-SEQ-03
SELECT * FROM orders WHERE tenant_id = $1 ORDER BY id DESC LIMIT 20;
-- name: keyset_by_id
-- expect: single_shard: one tenant; but a keyset by id may skip rows that come later
-- rules: LIM-SEQ-03
SELECT * FROM orders WHERE tenant_id = $1 AND id > $2 LIMIT 100;
-- name: session_set
-- expect: no_table: a setting that outlives the transaction
-- rules: LIM-SES-04
SET app.tenant_id = 'x';

-- ---------------------------------------------------------------- not readable

-- name: broken
-- expect: unparsable: two WHERE
SELECT * FROM orders WHERE WHERE tenant_id = 1;
-- name: broken_quote
-- expect: unparsable: a quote that never ends
SELECT * FROM orders WHERE state = 'open;
-- name: template
-- expect: unparsable: a template is not SQL
SELECT * FROM {{ table }} WHERE tenant_id = 1;
-- name: after_broken
-- expect: single_shard: the rest is still read
SELECT * FROM orders WHERE tenant_id = $1 AND state = 'last';

-- ---------------------------------------------------------------- traps

-- name: swapped_column_aliases
-- expect: cross_shard: the alias list swaps the names: here tenant_id means the id
SELECT * FROM notes AS n (id, tenant_id) WHERE n.tenant_id = $1;
-- name: column_aliases
-- expect: single_shard: the first column is the key
SELECT * FROM notes AS n (t, i) WHERE n.t = $1;
-- name: group_by_position
-- expect: single_shard: position 1 is the key
SELECT * FROM (SELECT tenant_id, count(*) AS n FROM orders GROUP BY 1) AS o WHERE o.tenant_id = $1;
-- name: group_by_output_name
-- expect: single_shard: grouped by the key under its new name
SELECT * FROM (SELECT tenant_id AS t, count(*) AS n FROM orders GROUP BY t) AS o WHERE o.t = $1;
-- name: group_by_other_position
-- expect: cross_shard: position 2 is not the key
SELECT * FROM (SELECT max(parent_tenant_id) AS tenant_id, state FROM orders GROUP BY 2) AS o WHERE o.tenant_id = $1;
-- name: grouping_sets
-- expect: cross_shard: in a grouping set the key may be NULL, so the filter stays outside
SELECT * FROM (SELECT tenant_id, state, count(*) FROM orders GROUP BY ROLLUP (tenant_id, state)) AS o WHERE o.tenant_id = $1;
-- name: squashed_list
-- expect: cross_shard: PostgreSQL 18 shows a list of any length by its first element
SELECT * FROM orders WHERE tenant_id IN ($1 /*, ... */);
-- name: exists_union
-- expect: cross_shard: the other arm of the UNION lets orders of every tenant through
SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1 UNION SELECT 1 FROM countries);
-- name: exists_aggregate
-- expect: cross_shard: an aggregate always gives a row, so EXISTS filters nothing
SELECT * FROM orders o WHERE EXISTS (SELECT count(*) FROM users u WHERE u.tenant_id = o.tenant_id AND u.tenant_id = $1);
-- name: outer_name_in_subquery
-- expect: cross_shard: order_items has no such column on classic, so the inner name is the outer table's
SELECT * FROM orders o WHERE o.tenant_id = $1 AND EXISTS (SELECT 1 FROM job_queue j, users u WHERE u.id = j.id AND o.tenant_id = $1);
-- name: filter_clause
-- expect: cross_shard: FILTER restricts an aggregate, not the rows read
SELECT count(*) FILTER (WHERE tenant_id = $1) FROM orders;
-- name: key_in_select_list_only
-- expect: cross_shard: comparing in the select list restricts nothing
SELECT tenant_id = $1 FROM orders;
-- name: key_in_order_by
-- expect: cross_shard: nor does ORDER BY
SELECT * FROM orders ORDER BY tenant_id = $1;
-- name: key_in_join_of_other_level
-- expect: cross_shard: the equality is inside a subquery that restricts nothing outside
SELECT o.id, (SELECT u.email FROM users u WHERE u.tenant_id = o.tenant_id AND o.tenant_id = $1 AND u.id = o.user_id) FROM orders o;
-- name: except_right_only
-- expect: cross_shard: only the right arm is bound
SELECT tenant_id FROM orders EXCEPT SELECT tenant_id FROM orders WHERE tenant_id = $1;
-- name: left_join_false_friend
-- expect: cross_shard: the WHERE arm with IS NULL keeps unmatched rows of every tenant
SELECT * FROM orders o LEFT JOIN users u ON u.tenant_id = o.tenant_id WHERE u.tenant_id = $1 OR u.tenant_id IS NULL;
-- name: insert_on_select_literal_union
-- expect: multi_shard_keys: two literal rows through UNION ALL
INSERT INTO notes (tenant_id, id) SELECT 'a', 1 UNION ALL SELECT 'b', 2;
-- name: insert_select_without_from
-- expect: single_shard: a select of parameters
INSERT INTO notes (tenant_id, id) SELECT $1, $2;
-- name: copy_from_server_file
-- expect: unsupported: the server's files are out of reach
-- rules: LIM-DML-06
COPY orders FROM '/tmp/orders.csv';
-- name: setval_beside_rows
-- expect: single_shard: one tenant's rows; the call inside must go
-- rules: LIM-SEQ-02
SELECT setval('orders_id_seq', max(id)) FROM orders WHERE tenant_id = $1;
-- name: create_partitioned
-- expect: unsupported: PARTITION BY
-- rules: LIM-TBL-01
CREATE TABLE measurements (tenant_id uuid, at date) PARTITION BY RANGE (at);
-- name: unique_index_concurrently
-- expect: unsupported: CREATE UNIQUE INDEX CONCURRENTLY
-- rules: LIM-IDX-01
CREATE UNIQUE INDEX CONCURRENTLY by_state ON orders (tenant_id, state);
-- name: key_at_run_time
-- expect: single_shard: the rows are one tenant's, but the planner cannot look out of a subquery with LIMIT
-- rules: LIM-QRY-02
SELECT * FROM (SELECT * FROM orders WHERE tenant_id = $1 LIMIT 5) AS o JOIN users u ON u.tenant_id = o.tenant_id;
-- name: compared_with_true
-- expect: single_shard: what is compared with true is the condition
SELECT * FROM orders WHERE (tenant_id = $1) = true;
-- name: compared_with_false
-- expect: single_shard: its negation
SELECT * FROM orders WHERE (tenant_id <> $1) = false;
-- name: equality_is_true
-- expect: cross_shard: IS TRUE stays as it is
SELECT * FROM orders WHERE (tenant_id = $1) IS TRUE;
-- name: or_never
-- expect: single_shard: an arm that is never true counts for nothing
SELECT * FROM orders WHERE tenant_id = $1 OR 1 = 0;
-- name: or_always
-- expect: cross_shard: an arm that is always true
SELECT * FROM orders WHERE tenant_id = $1 OR 1 = 1;
-- name: never
-- expect: reference_only: what mappers write for an empty list asks nobody
SELECT * FROM orders WHERE state = $1 AND 1 = 0;
-- name: never_in_one_arm
-- expect: single_shard: the other arm is one tenant's
SELECT id FROM orders WHERE 1 = 0 UNION ALL SELECT id FROM users WHERE tenant_id = $1;
-- name: never_in_a_subquery
-- expect: cross_shard: NOT EXISTS of nothing passes every row
SELECT * FROM orders WHERE NOT EXISTS (SELECT 1 FROM users WHERE 1 = 0);
-- name: negated_row
-- expect: single_shard: NOT of an inequality of rows is an equality of both parts
SELECT * FROM orders WHERE NOT ROW(tenant_id, id) <> ROW($1, $2);
-- name: all_of_one
-- expect: single_shard: ALL over one element
SELECT * FROM orders WHERE tenant_id = ALL (ARRAY[$1]::uuid[]);
-- name: array_of_one_parameter
-- expect: single_shard: one key, and every shard where it is NULL
-- rules: LIM-QRY-02
SELECT * FROM orders WHERE tenant_id = ANY (ARRAY[$1]::uuid[]);
-- name: list_of_the_same_parameter
-- expect: single_shard: a list of two is an array
-- rules: LIM-QRY-02
SELECT * FROM orders WHERE tenant_id IN ($1, $1);
-- name: list_with_null
-- expect: single_shard: NULL in a list equals nothing
SELECT * FROM orders WHERE tenant_id IN ('a', NULL);
