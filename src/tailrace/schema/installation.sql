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
    kind text NOT NULL CHECK (kind IN ('triggers', 'rollup', 'index')),
    name text NOT NULL,
    definition_hash text NOT NULL,
    state text NOT NULL CHECK (state IN ('building', 'ready', 'abandoned')),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name)
);
