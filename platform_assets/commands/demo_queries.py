"""The demo of the query predictor: label the recorded log, train on each week's sample, replay each model on the week after, judge.

Ordinary Dagster runs on the local instance, as the planner's demo, and the third part of `demo-all`. The log is the one that ships
with the package: real queries with measured costs, and few heavy ones. A second run finds all published, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform_assets.commands import changes, demo
from platform_assets.core import services
from platform_assets.core.lake import Address, Lake
from platform_assets.core.settings import SettingError, Settings


def refuse_other_source(settings: Settings) -> None:
    """Raises SettingError where a log of somebody's own would be read as a demo."""
    if settings.trino_thresholds is None:
        raise SettingError(
            "demo-all reads the recorded query log that ships with the package, and PLATFORM_TRINO_SOURCE names a log of yours; "
            "unset it, or materialise the jobs query_predictor_days, query_predictor_samples, query_predictor_training and "
            "query_predictor_judgement in the UI"
        )


def run(settings: Settings) -> None:
    """From the log to the verdicts on two models."""
    from platform_assets.orchestration import partitions
    from platform_assets.query_predictor.assets import common, jobs
    from platform_assets.query_predictor.definitions import build

    days = partitions.trino_daily(settings).get_partition_keys()
    weeks = common.known_weekly(settings).get_partition_keys()
    if len(weeks) < 2:
        raise SettingError(
            f"the query log's calendar has {len(weeks)} whole weeks with {common.WINDOW_DAYS} days up to their end, and a replay "
            "needs two: let PLATFORM_TRINO_END be later"
        )
    lake, definitions = services.open_lake(settings), build(settings)
    before = changes.published(lake, _addresses(days, weeks))
    demo.run_job(definitions, jobs.DAYS, days[0], days[-1])
    for week in weeks:
        demo.run_job(definitions, jobs.SAMPLES, week, week)
        demo.run_job(definitions, jobs.TRAINING, week, week)
    for week in weeks[1:]:
        demo.run_job(definitions, jobs.JUDGEMENT, week, week)
        _report(lake, week)
    print(f"\n{changes.told_of('query_predictor', before, changes.published(lake, _addresses(days, weeks)))}")


def _addresses(days: Sequence[str], weeks: Sequence[str]) -> Iterator[Address]:
    from platform_assets.query_predictor.assets import common

    daily = (common.QUERIES, common.QUARANTINED_QUERIES, common.LABELLED_QUERIES)
    weekly = (
        common.ZERO_COST_CATEGORIES, common.TRAINING_SAMPLE, common.FEATURES, common.MODEL, common.REPLAY_SCORES,
        common.POLICY_VERSION,
    )  # fmt: skip
    for assets, keys in ((daily, days), (weekly, weeks)):
        yield from (common.address(asset, key) for asset in assets for key in keys)


def _report(lake: Lake, week: str) -> None:
    from platform_assets.core.verdict_text import comparison_lines
    from platform_assets.query_predictor.assets import common

    verdict = lake.current(common.address(common.POLICY_VERSION, week))
    if verdict is None:
        print(f"\nweek of {week}: not judged")
        return
    document = json.loads(lake.read_side(verdict, "verdict.json"))
    print(f"\n{headline(week, verdict.lineage.details, document)}")
    for line in comparison_lines(document):
        print(line)


def headline(week: str, sides: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """What was judged, against what, and the outcome."""
    return (
        f"14 days up to the Sunday of {week}: version {sides['candidate']['version']} of query_router_policy (trained to the week "
        f"before) against version {sides['baseline']['version']}: {document['outcome']}; {document['label']}"
    )
