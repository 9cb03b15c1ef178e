"""The SQL of an import, one name each. Pure: text only. Parameters are described beside each statement."""

from __future__ import annotations

from tailrace_services.trading_desk.api.audit import FIELDS

__all__ = [
    "CREATE_NUMBERED",
    "CREATE_STAGED",
    "DROP_KNOWN",
    "FILL_NUMBERED",
    "FIND_IMPORT",
    "INSERT_ENTRIES",
    "INSERT_IMPORT",
    "INSERT_ITEMS",
    "NEW_TRADERS",
    "NUMBERED",
    "STAGED",
    "TRADER",
]

STAGED = ("position", "key", "reporter", "email", *FIELDS, "changes", "created_at", "updated_at")
TRADER = ("id", "name", "email", "api_key_hash", "created_at")

_ITEM = """
    title text NOT NULL, description text NOT NULL, category text NOT NULL, priority smallint NOT NULL,
    status text NOT NULL, tags text[] NOT NULL, metadata jsonb NOT NULL, changes jsonb NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
"""

CREATE_STAGED = f"""
CREATE TEMPORARY TABLE staged_items (
    position bigint NOT NULL, key text NOT NULL, reporter text NOT NULL, email text NOT NULL, {_ITEM}
) ON COMMIT DROP
"""

CREATE_NUMBERED = f"""
CREATE TEMPORARY TABLE numbered_items (
    id bigint NOT NULL, entry_id bigint NOT NULL, trader_id bigint NOT NULL, {_ITEM}
) ON COMMIT DROP
"""

# $1: the digest.
FIND_IMPORT = "SELECT created_at FROM imports WHERE digest = $1"

DROP_KNOWN = """
WITH dropped AS (
    DELETE FROM staged_items AS staged WHERE staged.key IN (SELECT metadata ->> 'key' FROM items) RETURNING 1
)
SELECT count(*) FROM dropped
"""

NEW_TRADERS = """
SELECT nextval(pg_get_serial_sequence('traders', 'id')) AS id, name, email, created_at
FROM (
    SELECT min(reporter) AS name, email, min(created_at) AS created_at FROM staged_items
    WHERE email NOT IN (SELECT email FROM traders) GROUP BY email ORDER BY count(*) DESC, email
) AS reporters
"""

# Sorted before it is numbered, so that ids rise with time.
FILL_NUMBERED = """
INSERT INTO numbered_items
SELECT nextval(pg_get_serial_sequence('items', 'id')), nextval(pg_get_serial_sequence('audit_log', 'id')),
       trader_id, title, description, category, priority, status, tags, metadata, changes, created_at, updated_at
FROM (
    SELECT staged.*, traders.id AS trader_id FROM staged_items AS staged JOIN traders USING (email)
    ORDER BY staged.created_at, staged.position
) AS ordered
"""

NUMBERED = "SELECT * FROM numbered_items ORDER BY id"

INSERT_ITEMS = """
INSERT INTO items (id, title, description, category, priority, status, tags, metadata, created_at, updated_at)
SELECT id, title, description, category, priority, status, tags, metadata, created_at, updated_at
FROM numbered_items ORDER BY id
"""

INSERT_ENTRIES = """
INSERT INTO audit_log (id, item_id, trader_id, action, changes, created_at)
SELECT entry_id, id, trader_id, 'created', changes, created_at FROM numbered_items ORDER BY entry_id
"""

# $1: the digest; $2: the name; $3, $4: how many rows were imported, and rejected.
INSERT_IMPORT = "INSERT INTO imports (digest, file_name, imported, rejected) VALUES ($1, $2, $3, $4)"
