"""Stop the embedded Postgres and forget processes that died without letting go of it."""

from __future__ import annotations

import argparse

from platform_assets.commands.setup import ui_lock
from platform_assets.core import embedded_postgres
from platform_assets.core.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:
    """Stop and say whether anything ran."""
    settings = Settings.from_environment()
    with ui_lock(settings):
        stopped = embedded_postgres.stop(settings.postgres_folder)
    print("embedded Postgres stopped" if stopped else "no embedded Postgres was running")
    return 0
