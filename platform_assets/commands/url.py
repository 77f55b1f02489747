"""Print the address of the source database, for psql and the simulator."""

from __future__ import annotations

import argparse

from platform_assets.core import embedded_postgres
from platform_assets.core.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    settings = Settings.from_environment()
    print(settings.source_url or embedded_postgres.url(settings.postgres_folder))
    return 0
