"""`python -m platform_assets.commands <name>`: what the Makefile's targets run."""

from __future__ import annotations

import argparse
import importlib
import sys

from dotenv import load_dotenv

from platform_assets.core.lake import LakeError
from platform_assets.core.settings import SettingError
from platform_assets.core.tracking import TrackingError
from platform_assets.core.warehouse import WarehouseError
from platform_assets.orchestration.local_runs import RunFailed
from platform_assets.simulators.meal_app.scenario import SimulatorError

COMMANDS = ("setup", "demo", "demo_all", "ui", "late_event", "stop", "migrate", "preflight", "collect_garbage", "url")


def main() -> int:
    """Run one command; an expected failure is one line that names the remedy."""
    # .env gives defaults; what the shell sets wins. Read here rather than by make, which would mangle `$` and `#`.
    load_dotenv(".env", override=False)
    parser = argparse.ArgumentParser(prog="python -m platform_assets.commands")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"platform_assets.commands.{name}")
        subparser = subparsers.add_parser(name.replace("_", "-"), help=(module.__doc__ or name).splitlines()[0])
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments)
    except (SettingError, WarehouseError, LakeError, TrackingError, SimulatorError, RunFailed) as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
