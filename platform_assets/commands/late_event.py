"""Record, now, a simulated plan that was accepted on a past day of the demo; while `make ui` runs, its sensors follow it."""

from __future__ import annotations

import argparse
from datetime import date

from platform_assets.commands.setup import refuse_external_source
from platform_assets.core import embedded_postgres
from platform_assets.core.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The day it happened on, and what happened."""
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    parser.add_argument("--kind", choices=["plan", "acceptance", "edit"], default="plan")


def run(arguments: argparse.Namespace) -> int:
    """Insert it and say what was inserted."""
    from platform_assets.simulators.meal_app import late_event

    settings = Settings.from_environment()
    refuse_external_source(settings, "a late event")
    late = late_event(embedded_postgres.url(settings.postgres_folder), arguments.day, arguments.kind)
    print(f"late {late.kind}: plan {late.plan_id} of household {late.household_id}")
    print(f"happened {late.happened_at:%Y-%m-%d %H:%M} UTC, recorded {late.recorded_at:%Y-%m-%d %H:%M} UTC")
    return 0
