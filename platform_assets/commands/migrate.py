"""Show the SQL that brings your Postgres to the newest schema, and apply it when asked to."""

from __future__ import annotations

import argparse

from platform_assets.core import embedded_postgres, migrations
from platform_assets.core.redaction import hide_in, without_password
from platform_assets.core.settings import Settings
from platform_assets.core.warehouse import WarehouseError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--apply` runs what is otherwise only shown."""
    parser.add_argument("--apply", action="store_true", help="run the SQL instead of only showing it")


def run(arguments: argparse.Namespace) -> int:
    """Show, then apply or say how."""
    settings = Settings.from_environment()
    url = settings.warehouse_url or embedded_postgres.url(settings.postgres_folder)
    sql = migrations.pending_sql(url)
    if not sql:
        print(f"{without_password(url)} is up to date")
        return 0
    print(sql)
    if not arguments.apply:
        print("-- nothing was changed; run `make migrate APPLY=1` to apply")
        return 0
    _apply(url)
    print(f"-- applied to {without_password(url)}")
    return 0


def _apply(url: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        migrations.upgrade(url)
    except SQLAlchemyError as error:
        reason, _, _ = hide_in(str(getattr(error, "orig", None) or error).strip(), url).partition("\n")
        raise WarehouseError(
            f"{without_password(url)} refused the migration and is as it was: {reason}; does the user own the database, and "
            "do tables of these names stand there already?"
        ) from error
