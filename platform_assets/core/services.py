"""The services that the settings name, opened: a URL that is set is yours, an unset one is the embedded default.

The one place that says so, for assets (through `orchestration.resources`), commands and programs alike. Opening connects to
nothing but the embedded Postgres, which is started when no process holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.core.settings import Settings

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake
    from platform_assets.core.tracking import Tracking
    from platform_assets.core.warehouse import Warehouse


def open_lake(settings: Settings) -> Lake:
    """Where artefacts are published."""
    from platform_assets.core.lake import Lake

    return Lake(settings.lake_url, single_writer=settings.lake_single_writer)


def open_source(settings: Settings) -> Warehouse:
    """The application's Postgres, read only."""
    from platform_assets.core.warehouse import Warehouse

    return Warehouse(settings.source_url or _embedded_url(settings))


def open_warehouse(settings: Settings) -> Warehouse:
    """The platform's own Postgres: policies, versions, replay results, verdicts."""
    from platform_assets.core.warehouse import Warehouse

    return Warehouse(settings.warehouse_url or _embedded_url(settings))


def open_tracking(settings: Settings) -> Tracking:
    """MLflow."""
    from platform_assets.core.tracking import Tracking

    return Tracking(tracking_uri(settings))


def tracking_uri(settings: Settings) -> str:
    """The tracking URI."""
    return settings.mlflow_tracking_uri or embedded_tracking_uri(settings)


def embedded_tracking_uri(settings: Settings) -> str:
    """MLflow's database on the embedded Postgres, in SQLAlchemy's spelling."""
    from platform_assets.core import embedded_postgres

    address = embedded_postgres.url(settings.postgres_folder, embedded_postgres.MLFLOW_DATABASE)
    return address.replace("postgresql://", "postgresql+psycopg://", 1)


def _embedded_url(settings: Settings) -> str:
    from platform_assets.core import embedded_postgres

    return embedded_postgres.url(settings.postgres_folder)
