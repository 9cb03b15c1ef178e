"""Create the extensions and the tables, with primary keys, unique constraints and foreign keys and no other index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for extension in ("pg_trgm", "vector"):
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    _create_users()
    _create_api_keys()
    _create_authors()
    _create_contents()
    _create_patterns()
    _create_research_sessions()
    _create_cards()
    _create_attributions()
    _create_token_ledger()
    _create_idempotency_keys()
    _create_dataset()
    _create_post_imports()


def downgrade() -> None:
    """The extensions stay: others may use them."""
    for table in (
        *("post_imports", "dataset", "idempotency_keys", "token_ledger", "attributions", "cards"),
        *("research_sessions", "patterns", "contents", "authors", "api_keys", "users"),
    ):
        op.drop_table(table)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False)


def _reference(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=None if default is None else sa.text(default))


def _moment(name: str = "created_at", *, now: bool = True, nullable: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _count(name: str, kind: type[sa.Integer] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False)


def _flag(name: str, default: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text(default))


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _belongs(table: str, column: str, owner: str, on_delete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=f"{table}_{column}_fkey", ondelete=on_delete)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*(columns or ("id",)), name=f"{table}_pkey")


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"{table}_{'_'.join(columns)}_key")


def _create_users() -> None:
    op.create_table(
        "users",
        _identity(),
        _text("email"),
        _text("username"),
        _moment(),
        _key("users"),
        _unique("users", "email"),
        _unique("users", "username"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        _identity(),
        _reference("user_id"),
        _text("key_hash"),
        _flag("active", "true"),
        _flag("administrator", "false"),
        _moment("last_used_at", now=False, nullable=True),
        _key("api_keys"),
        _belongs("api_keys", "user_id", "users"),
    )


def _create_authors() -> None:
    op.create_table(
        "authors",
        _identity(),
        _text("platform"),
        _text("username"),
        _text("display_name"),
        sa.Column("followers", sa.Integer, nullable=False, server_default=sa.text("0")),
        _key("authors"),
        _unique("authors", "platform", "username"),
        _check("authors_followers_check", "followers >= 0"),
    )


def _create_contents() -> None:
    op.create_table(
        "contents",
        _identity(),
        _reference("author_id"),
        _text("platform"),
        _text("url"),
        _text("title"),
        _text("body"),
        _moment("scraped_at"),
        _moment("published_at", now=False),
        _moment("analyzed_at", now=False, nullable=True),
        sa.Column("embedding", HALFVEC(384)),
        sa.Column("metrics", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        _key("contents"),
        _unique("contents", "url"),
        _belongs("contents", "author_id", "authors", "RESTRICT"),
    )


def _create_patterns() -> None:
    op.create_table(
        "patterns",
        _identity(),
        _text("type"),
        _text("description"),
        sa.Column("confidence_score", sa.Numeric(4, 3), nullable=False),
        _moment("discovered_at"),
        sa.Column("content_ids", ARRAY(sa.BigInteger), nullable=False, server_default=sa.text("'{}'::bigint[]")),
        _key("patterns"),
        _check("patterns_type_check", "type IN ('trend', 'theme', 'format', 'contradiction', 'anomaly')"),
        _check("patterns_confidence_score_check", "confidence_score BETWEEN 0 AND 1"),
    )


def _create_research_sessions() -> None:
    op.create_table(
        "research_sessions",
        _identity(),
        _reference("user_id"),
        _text("query"),
        _text("status", "'queued'"),
        _moment(),
        _key("research_sessions"),
        _belongs("research_sessions", "user_id", "users"),
        _check("research_sessions_status_check", "status IN ('queued', 'running', 'done', 'failed')"),
    )


def _create_cards() -> None:
    op.create_table(
        "cards",
        _identity(),
        _reference("user_id"),
        _reference("content_id"),
        _text("title"),
        _text("body"),
        _moment("published_at", now=False, nullable=True),
        _moment(),
        _key("cards"),
        _belongs("cards", "user_id", "users"),
        _belongs("cards", "content_id", "contents", "RESTRICT"),
    )


def _create_attributions() -> None:
    op.create_table(
        "attributions",
        _identity(),
        _reference("card_id"),
        _reference("content_id"),
        sa.Column("weight", sa.Numeric(5, 4), nullable=False),
        _key("attributions"),
        _belongs("attributions", "card_id", "cards"),
        _belongs("attributions", "content_id", "contents", "RESTRICT"),
        _check("attributions_weight_check", "weight > 0 AND weight <= 1"),
    )


def _create_token_ledger() -> None:
    op.create_table(
        "token_ledger",
        _identity(),
        _reference("from_user_id", nullable=True),
        _reference("to_user_id", nullable=True),
        _text("type"),
        _count("amount"),
        _moment(),
        _key("token_ledger"),
        _belongs("token_ledger", "from_user_id", "users", "RESTRICT"),
        _belongs("token_ledger", "to_user_id", "users", "RESTRICT"),
        _check("token_ledger_type_check", "type IN ('grant', 'reward', 'transfer', 'fee')"),
        _check("token_ledger_amount_check", "amount > 0"),
        _check("token_ledger_parties_check", "from_user_id IS DISTINCT FROM to_user_id"),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        _reference("user_id"),
        _text("key"),
        _text("fingerprint"),
        sa.Column("status", sa.SmallInteger),
        sa.Column("body", sa.LargeBinary),
        _moment(),
        _key("idempotency_keys", "user_id", "key"),
        _belongs("idempotency_keys", "user_id", "users"),
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.SmallInteger, nullable=False, server_default=sa.text("1"), autoincrement=False),
        _text("scale"),
        _count("seed"),
        _moment("anchor", now=False),
        _count("users", sa.Integer),
        _count("authors", sa.Integer),
        *[_count(name) for name in ("contents", "cards", "attributions", "patterns", "sessions", "movements")],
        _moment(),
        _key("dataset"),
        _check("dataset_single_check", "id = 1"),
    )


def _create_post_imports() -> None:
    op.create_table(
        "post_imports",
        _identity(),
        _text("digest"),
        _text("file_name"),
        _count("imported", sa.Integer),
        _count("rejected", sa.Integer),
        _moment(),
        _key("post_imports"),
        _unique("post_imports", "digest"),
    )
