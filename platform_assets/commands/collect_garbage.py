"""List what in the lake nothing names, and delete it when asked to, in two runs at least a minimum age apart.

What counts as garbage is core/garbage.py's business. MLflow and the policy registry are asked what they name; when one of
them cannot be, nothing is deleted.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from datetime import timedelta

from platform_assets.core import services
from platform_assets.core.garbage import digests_in
from platform_assets.core.garbage_collection import Collector, Plan
from platform_assets.core.lake import Lake
from platform_assets.core.registry import Registry
from platform_assets.core.settings import Settings
from platform_assets.core.stores import Entry

MINIMUM_AGE_DAYS = 7.0
_SAID = {
    "condemn": "unnamed; to be marked now and deleted later",
    "wait": "unnamed; marked, not yet for long enough",
    "delete": "to be deleted",
    "sweep": "files left over by other publications; to be deleted",
    "pardon": "marked, but named again; to be kept",
}


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of days, 0 or more")
    return days


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--apply` does what is otherwise only listed."""
    parser.add_argument("--apply", action="store_true", help="mark and delete instead of only listing")
    parser.add_argument(
        "--minimum-age-days",
        type=_days,
        default=MINIMUM_AGE_DAYS,
        help="longer than any run computes from a revision that is no longer current (default %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """List, then apply or say how."""
    settings = Settings.from_environment()
    lake = Lake(settings.lake_url, single_writer=settings.lake_single_writer)
    collector = Collector(lake.root, lake.store, timedelta(days=arguments.minimum_age_days))
    plan = collector.plan(_named_in_mlflow(settings) | _named_in_registry(settings))
    for line in _lines(plan):
        print(line)
    if not arguments.apply:
        print("nothing was changed; run `make collect-garbage APPLY=1` to mark and delete")
        return 0
    marked = sum(item.verdict == "condemn" for item in plan.garbage)
    print(f"marked {marked:,} revision(s), deleted {_total(collector.apply(plan))}")
    return 0


def _named_in_mlflow(settings: Settings) -> set[str]:
    # A run's patience (core/tracking.py) is wrong for a question.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking = services.open_tracking(settings)
    return {digest for text in tracking.texts() for digest in digests_in(text)}


def _named_in_registry(settings: Settings) -> set[str]:
    return Registry(services.open_warehouse(settings)).named_digests()


def _lines(plan: Plan) -> Iterable[str]:
    for item in plan.garbage:
        yield f"{item.size:>15,} bytes  {item.address.path} {item.digest}: {_SAID[item.verdict]}"
    for entry in plan.strays:
        yield f"{entry.size:>15,} bytes  {entry.key}: left by a writer that died; to be deleted"
    doomed = [entry for item in plan.garbage if item.verdict in ("delete", "sweep") for entry in item.entries]
    yield f"to be deleted: {_total([*doomed, *plan.strays])}"


def _total(entries: list[Entry]) -> str:
    return f"{len(entries):,} file(s), {sum(entry.size for entry in entries):,} bytes"
