"""The database schema and how it is brought up to date: Alembic, called as functions.

`upgrade` is safe to run from several processes at once, `pending_sql` shows what it would do, `current_and_head` says
where a database stands. What does not belong here: creating databases (`core.warehouse`) and rows of any kind. URLs are
plain `postgresql://...`; only this module knows that SQLAlchemy wants the driver named in them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

SCHEMA = "exp"
VERSION_TABLE = "alembic_version"
# Any constant serves, as long as every version of this code uses the same one: it names the lock, not a row.
LOCK_KEY = 7_210_654_003


def upgrade(url: str) -> None:
    """Bring the database to the newest revision; does nothing when it is there already.

    One transaction under an advisory lock: a second process waits, then finds nothing left to do, and a failure leaves
    the database as it was. Raises sqlalchemy.exc.SQLAlchemyError when the database refuses.
    """
    from alembic import command

    with _connected(url) as connection:
        command.upgrade(_config(connection=connection), "head")


def pending_sql(url: str) -> str:
    """The SQL that `upgrade` would run on this database now; empty when it is up to date."""
    from alembic import command

    current, head = current_and_head(url)
    if current == head:
        return ""
    output = io.StringIO()
    command.upgrade(_config(url=url, output=output), f"{current}:{head}" if current else head, sql=True)
    return output.getvalue()


def current_and_head(url: str) -> tuple[str | None, str]:
    """The revision the database has (None: never migrated) and the newest one this code knows."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config(url=url)).get_current_head()
    if head is None:
        raise RuntimeError("no migration is packaged with platform_assets.core.migrations")
    options = {"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}
    with _connected(url) as connection:
        return MigrationContext.configure(connection, opts=options).get_current_revision(), head


def sqlalchemy_url(url: str) -> str:
    """The same URL with the driver named; query parameters (an embedded server's socket folder) stay as they are."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"expected a postgresql:// URL, got one that starts with {scheme[:20]!r}")
    return f"postgresql+psycopg://{rest}"


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    from sqlalchemy import create_engine, pool
    from sqlalchemy.exc import OperationalError

    from platform_assets.core.warehouse import failure

    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    try:
        try:
            connection = engine.connect()
        except OperationalError as error:
            raise failure(url, error.orig or error) from None
        with connection:
            yield connection
    finally:
        engine.dispose()


def _config(url: str | None = None, connection: Connection | None = None, output: io.StringIO | None = None) -> Config:
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    # The option is read through a ConfigParser, to which a percent sign in a folder's name would be an instruction.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(url=url, connection=connection)
    return config
