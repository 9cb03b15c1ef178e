"""The SQL of an import, one name each. Pure: text only. Parameters are described beside each statement."""

from __future__ import annotations

__all__ = [
    "ADD_AGENTS",
    "AGENTS",
    "ANALYZE",
    "COUNT_AGENTS",
    "CREATE_NUMBERED",
    "CREATE_STAGED",
    "FILL_NUMBERED",
    "FIND_IMPORT",
    "FIND_USER",
    "INSERT_CALLS",
    "INSERT_IMPORT",
    "INSERT_LEADS",
    "INSERT_USER",
    "MIRROR_AGENT",
    "MIRROR_USER",
    "NEXT_USER",
    "NUMBERED",
    "SUMMARY",
]

FIND_IMPORT = "SELECT user_id, created_at FROM campaign_imports WHERE digest = $1 ORDER BY id LIMIT 1"
FIND_USER = "SELECT id, api_key_hash, created_at FROM users WHERE email = $1"
NEXT_USER = "SELECT nextval(pg_get_serial_sequence('users', 'id'))"

INSERT_USER = "INSERT INTO users (id, email, api_key_hash, credits) VALUES ($1, $2, $3, $4) RETURNING created_at"

INSERT_IMPORT = """
INSERT INTO campaign_imports (user_id, digest, file_name, rows_imported, rows_rejected) VALUES ($1, $2, $3, $4, $5)
"""

CREATE_STAGED = """
CREATE TEMPORARY TABLE staged_calls (
    line bigint NOT NULL, segment text NOT NULL, status text NOT NULL, duration_minutes numeric NOT NULL,
    credits_used numeric NOT NULL, created_at timestamptz NOT NULL, total_score smallint
) ON COMMIT DROP
"""

# $1: the user. An agent deleted since an earlier import stays deleted.
ADD_AGENTS = """
INSERT INTO agents (user_id, external_id, name, type, status, description)
SELECT $1, 'campaign_' || $1::bigint || '_' || segment, 'Campaign: ' || segment, 'outbound', 'active',
       'Imported calls to customers whose job is ' || segment
FROM (SELECT DISTINCT segment FROM staged_calls ORDER BY segment) AS segments
ON CONFLICT (external_id) DO NOTHING
"""

CREATE_NUMBERED = """
CREATE TEMPORARY TABLE numbered_calls (
    id bigint NOT NULL, lead_id bigint, agent_id bigint NOT NULL, status text NOT NULL,
    duration_minutes numeric NOT NULL, credits_used numeric NOT NULL, created_at timestamptz NOT NULL,
    total_score smallint
) ON COMMIT DROP
"""

# $1: the user; $2: the UTC day of the last call, or null. Sorted before it is numbered, so that ids rise with time.
FILL_NUMBERED = """
INSERT INTO numbered_calls
SELECT nextval(pg_get_serial_sequence('calls', 'id')),
       CASE WHEN total_score IS NOT NULL THEN nextval(pg_get_serial_sequence('lead_analytics', 'id')) END,
       agent_id, status, duration_minutes, credits_used, created_at, total_score
FROM (
    SELECT agents.id AS agent_id, staged.status, duration_minutes, credits_used, total_score,
           staged.created_at + coalesce($2::date - (max(staged.created_at) OVER () AT TIME ZONE 'UTC')::date, 0)
               * interval '24 hours' AS created_at
    FROM staged_calls AS staged
    JOIN agents ON agents.external_id = 'campaign_' || $1::bigint || '_' || staged.segment
    ORDER BY staged.line
) AS ordered
"""

# $1: the user.
INSERT_CALLS = """
INSERT INTO calls (id, user_id, agent_id, status, duration_minutes, credits_used, created_at)
SELECT id, $1, agent_id, status, duration_minutes, credits_used, created_at FROM numbered_calls ORDER BY id
"""

INSERT_LEADS = """
INSERT INTO lead_analytics (id, call_id, total_score, created_at)
SELECT lead_id, id, total_score, created_at + duration_minutes * interval '1 minute'
FROM numbered_calls WHERE lead_id IS NOT NULL ORDER BY lead_id
"""

ANALYZE = "ANALYZE agents, calls, lead_analytics"
"""Recent calls of a user nobody knew would mislead the planner until autovacuum comes round."""

COUNT_AGENTS = "SELECT count(DISTINCT agent_id) FROM numbered_calls"
SUMMARY = "SELECT count(lead_id) AS leads, min(created_at) AS first, max(created_at) AS last FROM numbered_calls"

AGENTS = """
SELECT id, user_id, external_id, name, type, status, description, is_active, created_at
FROM agents WHERE id IN (SELECT agent_id FROM numbered_calls) ORDER BY id
"""

NUMBERED = "SELECT * FROM numbered_calls ORDER BY id"

MIRROR_USER = "INSERT INTO users (id, email, api_key_hash, credits, created_at) VALUES ($1, $2, $3, $4, $5)"

# An agent that is there already, from an earlier import, must be the same one: the calls' foreign key sees to that.
MIRROR_AGENT = """
INSERT INTO agents (id, user_id, external_id, name, type, status, description, is_active, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO NOTHING
"""
