"""What Alembic runs for each call: the connection comes from the caller, never from a file."""

from __future__ import annotations

from alembic import context

from sightline_backend.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite too: its driver is told to leave transactions to us
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
