"""Prepare everything embedded: Postgres, its databases, migrations, MLflow's tables and experiments.

Safe to run at any time and by several processes: one file lock, every step finds what is there. An external database is
never migrated here (`migrate` shows the SQL first); an external MLflow only gets its experiments.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_assets.core import embedded_postgres, migrations
from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.settings import SettingError, Settings
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import WarehouseError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:
    """Set up and say what is ready."""
    settings = Settings.from_environment()
    set_up(settings)
    print(f"ready: {settings.home}")
    return 0


def set_up(settings: Settings) -> None:
    """Prepare what is embedded. A second process waits for the first."""
    if storage := os.environ.get("PLATFORM_DAGSTER_STORAGE"):
        Path(storage).mkdir(parents=True, exist_ok=True)
    with _locked(settings.home / ".setup.lock"):
        if settings.warehouse_url is None or settings.mlflow_tracking_uri is None:
            embedded_postgres.create_databases(settings.postgres_folder)
        if settings.warehouse_url is None:
            migrations.upgrade(embedded_postgres.url(settings.postgres_folder))
        if settings.mlflow_tracking_uri is None:
            _prepare_mlflow(settings)
        else:
            Tracking(settings.mlflow_tracking_uri).create_experiments(artefacts=None)


def _prepare_mlflow(settings: Settings) -> None:
    uri = embedded_tracking_uri(settings)
    # The command creates the tables of an empty database and brings those of an older release to the newest form.
    done = subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", uri], capture_output=True, text=True)
    if done.returncode:
        raise WarehouseError(f"MLflow's database cannot be prepared: {done.stderr.strip().splitlines()[-1:]}")
    settings.mlflow_folder.mkdir(parents=True, exist_ok=True)
    Tracking(uri).create_experiments(settings.mlflow_folder)


@contextmanager
def embedded_server_held(settings: Settings) -> Iterator[None]:
    """Keep the embedded Postgres running for the block, unless everything that would use it is external."""
    if settings.warehouse_url is None or settings.mlflow_tracking_uri is None:
        with embedded_postgres.held(settings.postgres_folder):
            yield
    else:
        yield


@contextmanager
def ui_lock(settings: Settings) -> Iterator[None]:
    """Held while the UI runs. Raises SettingError where it runs already: two daemons on one instance would race."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / ".ui.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError("`make ui` runs on this folder: end it with Ctrl-C first") from None
        yield


def refuse_external_source(settings: Settings, what: str) -> None:
    """Raises SettingError where simulated rows would be written into somebody's application."""
    if settings.source_url is not None:
        raise SettingError(
            f"{what} writes simulated rows, and PLATFORM_SOURCE_URL or PLATFORM_WAREHOUSE_URL names a database of yours; "
            "unset them, or fill a scratch database with `python -m platform_assets.simulators.meal_app --url ...`"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
