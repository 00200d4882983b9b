"""Alembic's entry point; ``migrate`` gives it an open connection inside a transaction."""

from alembic import context

from strongroom.store.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
