"""Alembic's entry point; ``migrate`` gives it an open connection inside a transaction."""

from alembic import context

from strongroom.store.postgresql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
