"""The demo, and on to the models: the planner's on two weeks' data, a retailer's world model, a query router, each to its verdict.

Ordinary Dagster runs like the demo's. The thresholds are the demo's (.env), lower than the standard ones, and every verdict
says so: with 350 rows a week nobody should replace a policy. The retailer's part is `commands.demo_retail`'s, the query log's
`commands.demo_queries`'s.
"""

from __future__ import annotations

import argparse
import json
import time

from platform_assets.commands import demo, demo_queries, demo_retail
from platform_assets.core import embedded_postgres, services
from platform_assets.core.lake import Lake
from platform_assets.core.settings import Settings
from platform_assets.orchestration import partitions

MODEL_WEEKS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As the demo's."""
    demo.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """The demo, then models and verdicts."""
    started = time.monotonic()
    settings = Settings.from_environment()
    demo_retail.refuse_other_source(settings)
    demo_queries.refuse_other_source(settings)
    demo.run(arguments)
    evaluated = demo.demo_calendar(settings)[1][-MODEL_WEEKS:]
    with embedded_postgres.held(settings.postgres_folder):
        train_and_judge(settings, evaluated)
        _report(settings, evaluated)
        print(f"\nplanner: done in {time.monotonic() - started:.0f} s\n", flush=True)
        demo_retail.run(settings)
        print(f"\nretailer: done in {time.monotonic() - started:.0f} s from the start\n", flush=True)
        demo_queries.run(settings)
    print(f"\ndemo-all: done in {time.monotonic() - started:.0f} s")
    return 0


def train_and_judge(settings: Settings, evaluated: list[str]) -> None:
    """For each evaluated week: the model of the week before, its replay, its verdict."""
    from platform_assets.planner.assets import jobs
    from platform_assets.planner.definitions import build

    definitions = build(settings)
    for week in evaluated:
        trained = partitions.previous_week(week)
        demo.run_job(definitions, jobs.TRAINING, trained, trained)
        demo.run_job(definitions, jobs.JUDGEMENT, week, week)


def _report(settings: Settings, evaluated: list[str]) -> None:
    lake = services.open_lake(settings)
    for week in evaluated:
        _report_week(lake, week)


def _report_week(lake: Lake, week: str) -> None:
    from platform_assets.core.verdict_text import comparison_lines
    from platform_assets.planner.assets import common

    verdict, scores = (lake.current(common.address(key, week)) for key in (common.POLICY_VERSION, common.REPLAY_SCORES))
    if verdict is None or scores is None:
        print(f"\nweek up to {partitions.dataset_date(week)}: not judged")
        return
    document = json.loads(lake.read_side(verdict, "verdict.json"))
    sides = verdict.lineage.details
    print(
        f"\nversion {sides['candidate']['version']} of planner_policy, the model of the week up to "
        f"{partitions.dataset_date(partitions.previous_week(week))}, on the week up to {partitions.dataset_date(week)}, against "
        f"version {sides['baseline']['version']}: {document['outcome']}; {document['label']}"
    )
    for line in comparison_lines(document):
        print(line)
