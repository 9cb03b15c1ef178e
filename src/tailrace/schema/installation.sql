-- What Tailrace keeps for itself, in the service's own database. Safe to run again.
CREATE SCHEMA IF NOT EXISTS tailrace;

-- Tags of what was changed, written by triggers in the writing transaction, taken by the relay.
CREATE TABLE IF NOT EXISTS tailrace.outbox (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 32),
    tag text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000
);

-- Exactly one row: who this installation is, the secret that signs its tokens, and in which life the shared store is
-- that counts: processes that see it in another one (a partition, a failover) do not trust what they see.
CREATE TABLE IF NOT EXISTS tailrace.installation (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    secret bytea NOT NULL DEFAULT sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea),
    store_epoch text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX IF NOT EXISTS installation_one_row ON tailrace.installation ((true));
INSERT INTO tailrace.installation DEFAULT VALUES ON CONFLICT DO NOTHING;

-- What was built from which definition. A rollup may be read only while its state is 'ready'.
CREATE TABLE IF NOT EXISTS tailrace.objects (
    kind text NOT NULL,
    name text NOT NULL,
    definition_hash text NOT NULL,
    state text NOT NULL CHECK (state IN ('building', 'ready', 'abandoned')),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name)
);
-- The statements that take a kept table away: nothing else knows them when it is no longer declared.
ALTER TABLE tailrace.objects ADD COLUMN IF NOT EXISTS removal text[];
ALTER TABLE tailrace.objects DROP CONSTRAINT IF EXISTS objects_kind_check;
ALTER TABLE tailrace.objects ADD CONSTRAINT objects_kind_check
    CHECK (kind IN ('triggers', 'rollup', 'table', 'index', 'series', 'summary'));

-- Logs of differences, and the table whose rows they are about. Each has a function that folds it. Retired ones are
-- written to no more, and kept only for a view that may still read them.
CREATE TABLE IF NOT EXISTS tailrace.delta_logs (
    name text PRIMARY KEY,
    source text NOT NULL,
    retired boolean NOT NULL DEFAULT false
);

-- Adds what writers noted to the summaries it belongs to; answers are the same before and after. Takes at most so many
-- rows of each log, or of one. Returns how many, or NULL if somebody else is folding, or changing what there is to fold.
CREATE OR REPLACE FUNCTION tailrace.fold(most integer, only_log text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $tailrace$
DECLARE
    log text;
    folded bigint;
    total bigint := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(8386099895436536932) THEN
        RETURN NULL;
    END IF;
    FOR log IN SELECT name FROM tailrace.delta_logs
               WHERE NOT retired AND name = coalesce(only_log, name) ORDER BY name COLLATE "C" LOOP
        EXECUTE format('SELECT tailrace.%I($1)', 'fold ' || log) INTO folded USING most;
        total := total + folded;
    END LOOP;
    RETURN total;
END
$tailrace$;

-- The oldest rows of the outbox, so many at most, beside the installation's own row: as soon as one is there that the
-- snapshot ``known`` did not show, or after ``patience`` seconds. Of all who call it one looks every ``pause`` seconds,
-- and the others wait for his lock, which costs nothing: he lets go of it when he has found something, and then each of
-- them finds it too. Who has waited too long, because the one with the lock hangs, looks himself.
CREATE OR REPLACE FUNCTION tailrace.outbox_news(known pg_snapshot, patience float8, pause float8, most integer)
RETURNS TABLE (
    store_epoch text, server timestamptz, snapshot text, xid bigint, id bigint, tag text, left_over boolean
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $tailrace$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => patience);
BEGIN
    IF patience > 0 THEN
        PERFORM pg_sleep(pause);  -- what is committed in quick succession is found together
        BEGIN
            PERFORM pg_advisory_xact_lock(7210426119);
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
        WHILE clock_timestamp() < until AND NOT EXISTS (
            SELECT FROM tailrace.outbox o
            WHERE o.xid >= pg_snapshot_xmin(known) AND NOT pg_visible_in_snapshot(o.xid, known)
        ) LOOP
            PERFORM pg_sleep(pause);
        END LOOP;
    END IF;
    RETURN QUERY
        SELECT i.store_epoch, pg_postmaster_start_time(), pg_current_snapshot()::text,
               o.xid::text::bigint, o.id, o.tag, o.left_over
        FROM tailrace.installation i LEFT JOIN (
            SELECT b.xid, b.id, b.tag, b.written_at < clock_timestamp() - interval '500 milliseconds' AS left_over
            FROM tailrace.outbox b ORDER BY b.xid, b.id LIMIT most
        ) o ON true;
END
$tailrace$;

-- Removes rows that have been stamped and that nobody holds; their ids. None, unless the store they were stamped in is
-- the one that counts, and it stays that until the transaction ends: saying that another one does waits for this.
CREATE OR REPLACE FUNCTION tailrace.outbox_remove(ids bigint[], xids xid8[], epoch text) RETURNS SETOF bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $tailrace$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7210426118);
    RETURN QUERY
        WITH taken AS (
            SELECT b.xid, b.id FROM tailrace.outbox b
            WHERE b.id = ANY (ids) AND b.xid = ANY (xids)
              AND EXISTS (SELECT FROM tailrace.installation i WHERE i.store_epoch = epoch)
            FOR UPDATE SKIP LOCKED
        )
        DELETE FROM tailrace.outbox o USING taken WHERE o.xid = taken.xid AND o.id = taken.id RETURNING o.id;
END
$tailrace$;
