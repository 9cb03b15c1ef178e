"""Create the service's tables, with primary keys, unique constraints and foreign keys and no other index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_reps()
    _create_calls()
    _create_speakers()
    _create_transcripts()
    _create_opportunities()
    _create_call_opportunities()
    _create_emails()
    _create_coaching_sessions()
    _create_dataset()
    _create_transcript_imports()


def downgrade() -> None:
    for table in (
        *("transcript_imports", "dataset", "coaching_sessions", "emails", "call_opportunities", "opportunities"),
        *("transcripts", "speakers", "calls", "reps"),
    ):
        op.drop_table(table)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False)


def _text(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=None if default is None else sa.text(default))


def _moment(name: str = "created_at", *, now: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now() if now else None)


def _list(name: str) -> sa.Column[object]:
    return sa.Column(name, ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'::text[]"))


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _belongs(table: str, column: str, owner: str, on_delete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=f"{table}_{column}_fkey", ondelete=on_delete)


def _create_reps() -> None:
    op.create_table(
        "reps",
        _identity(),
        _text("email"),
        _text("name"),
        _text("team", "''"),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="reps_pkey"),
        sa.UniqueConstraint("email", name="reps_email_key"),
    )


def _create_calls() -> None:
    op.create_table(
        "calls",
        _identity(),
        _text("title"),
        _text("product", nullable=True),
        _text("call_type", "'other'"),
        _moment("scheduled_at", now=False),
        sa.Column("duration_seconds", sa.Numeric(10, 3), nullable=False),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="calls_pkey"),
        _check(
            "calls_call_type_check",
            "call_type IN ('discovery', 'demo', 'negotiation', 'follow_up', 'renewal', 'other')",
        ),
        _check("calls_duration_seconds_check", "duration_seconds >= 0"),
    )


def _create_speakers() -> None:
    op.create_table(
        "speakers",
        _identity(),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        _text("name"),
        _text("email", nullable=True),
        _text("role", "''"),
        _text("company_side"),
        sa.Column("talk_time_seconds", sa.Numeric(10, 3), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name="speakers_pkey"),
        sa.UniqueConstraint("id", "call_id", name="speakers_id_call_id_key"),
        _belongs("speakers", "call_id", "calls"),
        _check("speakers_company_side_check", "company_side IN ('rep', 'prospect', 'partner')"),
        _check("speakers_talk_time_seconds_check", "talk_time_seconds >= 0"),
    )


def _create_transcripts() -> None:
    search = sa.Computed("to_tsvector('english'::regconfig, text)", persisted=True)
    op.create_table(
        "transcripts",
        _identity(),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("speaker_id", sa.BigInteger, nullable=False),
        sa.Column("sequence_number", sa.Integer, nullable=False),
        sa.Column("start_ms", sa.Integer, nullable=False),
        sa.Column("end_ms", sa.Integer, nullable=False),
        _text("text"),
        sa.Column("search", TSVECTOR, search),
        sa.PrimaryKeyConstraint("id", name="transcripts_pkey"),
        sa.ForeignKeyConstraint(
            ["speaker_id", "call_id"],
            ["speakers.id", "speakers.call_id"],
            name="transcripts_speaker_id_call_id_fkey",
            ondelete="CASCADE",
        ),
        _check("transcripts_times_check", "start_ms >= 0 AND end_ms >= start_ms"),
        _check("transcripts_sequence_number_check", "sequence_number >= 1"),
    )


def _create_opportunities() -> None:
    op.create_table(
        "opportunities",
        _identity(),
        _text("name"),
        _text("account"),
        _text("owner_email"),
        _text("stage"),
        sa.Column("amount", sa.Numeric(14, 2), nullable=False),
        sa.Column("close_date", sa.Date, nullable=False),
        sa.Column("health_score", sa.SmallInteger),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="opportunities_pkey"),
        _check(
            "opportunities_stage_check",
            "stage IN ('prospecting', 'discovery', 'evaluation', 'proposal', 'negotiation', 'closed_won', "
            "'closed_lost')",
        ),
        _check("opportunities_amount_check", "amount >= 0"),
        _check("opportunities_health_score_check", "health_score BETWEEN 0 AND 100"),
    )


def _create_call_opportunities() -> None:
    op.create_table(
        "call_opportunities",
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("opportunity_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "opportunity_id", name="call_opportunities_pkey"),
        _belongs("call_opportunities", "call_id", "calls"),
        _belongs("call_opportunities", "opportunity_id", "opportunities"),
    )


def _create_emails() -> None:
    op.create_table(
        "emails",
        _identity(),
        sa.Column("opportunity_id", sa.BigInteger, nullable=False),
        _text("sender_email"),
        _list("recipients"),
        _text("subject"),
        _text("body"),
        _moment("sent_at", now=False),
        sa.PrimaryKeyConstraint("id", name="emails_pkey"),
        _belongs("emails", "opportunity_id", "opportunities"),
    )


def _create_coaching_sessions() -> None:
    op.create_table(
        "coaching_sessions",
        _identity(),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        sa.Column("rep_id", sa.BigInteger, nullable=False),
        _text("dimension"),
        sa.Column("score", sa.SmallInteger, nullable=False),
        _list("strengths"),
        _list("improvements"),
        sa.Column("evidence", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        _text("rubric_version"),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="coaching_sessions_pkey"),
        _belongs("coaching_sessions", "call_id", "calls"),
        _belongs("coaching_sessions", "rep_id", "reps", "RESTRICT"),
        _check(
            "coaching_sessions_dimension_check",
            "dimension IN ('product_knowledge', 'discovery', 'objection_handling', 'engagement')",
        ),
        _check("coaching_sessions_score_check", "score BETWEEN 0 AND 100"),
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.SmallInteger, nullable=False, server_default=sa.text("1"), autoincrement=False),
        _text("scale"),
        sa.Column("seed", sa.BigInteger, nullable=False),
        _moment("anchor", now=False),
        sa.Column("reps", sa.Integer, nullable=False),
        sa.Column("opportunities", sa.Integer, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.BigInteger, nullable=False),
        sa.Column("emails", sa.BigInteger, nullable=False),
        sa.Column("sessions", sa.BigInteger, nullable=False),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="dataset_pkey"),
        _check("dataset_single_check", "id = 1"),
    )


def _create_transcript_imports() -> None:
    op.create_table(
        "transcript_imports",
        _identity(),
        sa.Column("call_id", sa.BigInteger, nullable=False),
        _text("digest"),
        _text("file_name"),
        _text("format"),
        _moment(),
        sa.PrimaryKeyConstraint("id", name="transcript_imports_pkey"),
        sa.UniqueConstraint("digest", name="transcript_imports_digest_key"),
        _belongs("transcript_imports", "call_id", "calls"),
    )
