-- name: database
SELECT d.datname AS name, current_setting('server_version') AS version, pg_database_size(d.oid) AS bytes,
       s.stats_reset AS counted_since, s.blks_hit::float8 / nullif(s.blks_hit + s.blks_read, 0) AS hit_share,
       current_setting('max_connections')::int AS max_connections, age(d.datfrozenxid) AS transaction_age
FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
WHERE d.datname = current_database();

-- name: tables
SELECT format('%I.%I', t.schemaname, t.relname) AS name, t.n_live_tup AS rows, t.n_dead_tup AS dead_rows,
       t.n_mod_since_analyze AS changed_rows, pg_table_size(t.relid) AS table_bytes,
       pg_indexes_size(t.relid) AS index_bytes, pg_total_relation_size(t.relid) AS total_bytes,
       coalesce(t.seq_scan, 0) AS sequential_scans, coalesce(t.seq_tup_read, 0) AS rows_by_sequential_scans,
       coalesce(t.idx_scan, 0) AS index_scans,
       (io.heap_blks_hit + coalesce(io.idx_blks_hit, 0))::float8
           / nullif(io.heap_blks_hit + io.heap_blks_read + coalesce(io.idx_blks_hit + io.idx_blks_read, 0), 0) AS hit_share,
       greatest(t.last_vacuum, t.last_autovacuum) AS last_vacuum,
       greatest(t.last_analyze, t.last_autoanalyze) AS last_analyze
FROM pg_stat_user_tables t JOIN pg_statio_user_tables io USING (relid)
ORDER BY pg_total_relation_size(t.relid) DESC, 1;

-- An index is needless beside another of the same kind, predicate and expressions that begins with its columns, unless
-- it is what enforces uniqueness. Of two equal ones the later made is the needless one.
-- name: indexes
SELECT format('%I.%I', n.nspname, c.relname) AS name, format('%I.%I', n.nspname, t.relname) AS "table",
       pg_get_indexdef(i.indexrelid) AS definition, pg_relation_size(i.indexrelid) AS bytes,
       coalesce(s.idx_scan, 0) AS scans, i.indisunique AS "unique", i.indisvalid AS valid,
       (SELECT format('%I.%I', n.nspname, oc.relname)
        FROM pg_index o JOIN pg_class oc ON oc.oid = o.indexrelid
        WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid AND o.indisvalid AND NOT i.indisunique
          AND oc.relam = c.relam AND (c.relam = 403 OR o.indnatts = i.indnatts)
          AND (o.indkey::int2[])[0:i.indnkeyatts - 1] = (i.indkey::int2[])[0:i.indnkeyatts - 1]
          AND o.indnkeyatts >= i.indnkeyatts
          AND (o.indclass::oid[])[0:i.indnkeyatts - 1] = (i.indclass::oid[])[0:i.indnkeyatts - 1]
          AND (o.indoption::int2[])[0:i.indnkeyatts - 1] = (i.indoption::int2[])[0:i.indnkeyatts - 1]
          AND (o.indcollation::oid[])[0:i.indnkeyatts - 1] = (i.indcollation::oid[])[0:i.indnkeyatts - 1]
          AND (i.indkey::int2[])[i.indnkeyatts:] <@ (o.indkey::int2[])
          AND i.indexprs IS NULL AND o.indexprs IS NULL
          AND pg_get_expr(o.indpred, o.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indpred, i.indrelid)
          AND (o.indnatts > i.indnatts OR o.indisunique OR o.indexrelid < i.indexrelid)
        ORDER BY o.indisunique DESC, o.indexrelid LIMIT 1) AS same_as
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'
ORDER BY pg_relation_size(i.indexrelid) DESC, 1;

-- name: foreign_keys
SELECT format('%I.%I', n.nspname, t.relname) AS "table", k.conname AS "constraint",
       (SELECT array_agg(a.attname ORDER BY p.place)
        FROM unnest(k.conkey) WITH ORDINALITY p (attnum, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum) AS columns,
       greatest(t.reltuples, 0)::bigint AS rows
FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
      AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
ORDER BY 4 DESC, 1, 2;

-- Since when others' connections are in their state, and which, is shown to roles that may read statistics.
-- name: connections
SELECT coalesce(nullif(application_name, ''), '(no name)') AS application, coalesce(state, 'unknown') AS state,
       count(*)::int AS count,
       max(extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start)))::float8 AS longest
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

-- name: statements
SELECT s.query AS statement, s.calls, s.total_exec_time AS total_time, s.mean_exec_time AS mean_time, s.rows,
       s.shared_blks_hit::float8 / nullif(s.shared_blks_hit + s.shared_blks_read, 0) AS hit_share
FROM {schema}.pg_stat_statements s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.toplevel
  AND s.query ~* '^\s*(select|with|insert|update|delete|merge)\y'
ORDER BY s.total_exec_time DESC LIMIT :limit;

-- Not every role may read the setting: it sees none, and finds out by reading the statements.
-- name: statements_schema
SELECT quote_ident(n.nspname) AS schema
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
  AND coalesce((SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'), e.extname)
      ~ '\ypg_stat_statements\y';
