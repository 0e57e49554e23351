"""Runs a migration on the connection that `scheduler.store.schema` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
