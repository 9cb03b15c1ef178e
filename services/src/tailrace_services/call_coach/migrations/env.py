"""Alembic's entry point: runs on the connection that the caller opened, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from tailrace_services.call_coach.model import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
