"""What Alembic runs around the revisions: where to connect, the lock, and where the version table lives.

The database comes from `config.attributes["connection"]`, else `config.attributes["url"]`, else the environment's
PLATFORM_WAREHOUSE_URL. What does not belong here: DDL, which is in `versions/`.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from platform_assets.core.migrations import LOCK_KEY, SCHEMA, VERSION_TABLE, sqlalchemy_url

# The version table lives in this schema, so the schema must exist before the first revision that could create it.
CREATE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"


def find_url() -> str:
    """The SQLAlchemy URL of the database to migrate. Raises RuntimeError when none was given."""
    url = context.config.attributes.get("url") or os.environ.get("PLATFORM_WAREHOUSE_URL")
    if not url:
        raise RuntimeError("no database to migrate: set PLATFORM_WAREHOUSE_URL to a postgresql:// URL")
    return sqlalchemy_url(url)


def write_sql() -> None:
    """Write the SQL instead of running it; connects to nothing."""
    context.configure(url=find_url(), literal_binds=True, version_table=VERSION_TABLE, version_table_schema=SCHEMA)
    with context.begin_transaction():
        context.execute(CREATE_SCHEMA)
        context.run_migrations()


def migrate(connection: Connection) -> None:
    """Run the missing revisions in one transaction, alone: the lock comes before the look at the version table."""
    context.configure(connection=connection, version_table=VERSION_TABLE, version_table_schema=SCHEMA)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text(CREATE_SCHEMA))
        context.run_migrations()


def main() -> None:
    """Offline: write SQL. Online: use the caller's connection, or open one."""
    given = context.config.attributes.get("connection")
    if context.is_offline_mode():
        write_sql()
    elif given is not None:
        migrate(given)
    else:
        with create_engine(find_url(), poolclass=pool.NullPool).connect() as connection:
            migrate(connection)


main()
