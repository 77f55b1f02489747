"""The demo of the query predictor: label the recorded log, train on each week's sample, replay each model on the week after, judge.

Ordinary Dagster runs on the local instance, as the planner's demo, and the third part of `demo-all`. The log is the one that ships
with the package: real queries with measured costs, and few heavy ones. A second run finds all published, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from platform_assets.commands import changes, demo
from platform_assets.core import services
from platform_assets.core.lake import Address, Lake
from platform_assets.core.policy_version import PolicyVersion
from platform_assets.core.settings import SettingError, Settings

_OUTCOMES = {"pass": "passed", "fail": "rejected", "inconclusive": "inconclusive"}
_WHERE = (
    "look at query_predictor/model and query_predictor/policy_version (make ui); what the requirements mean: "
    "docs/runbooks/query-predictor.md, what a verdict does: docs/runbooks/model-rejected.md"
)


def refuse_other_source(settings: Settings) -> None:
    """Raises SettingError where a log of somebody's own would be read as a demo."""
    if settings.trino_thresholds is None:
        raise SettingError(
            "demo-all reads the recorded query log that ships with the package, and PLATFORM_TRINO_SOURCE names a log of yours; "
            "unset it, or materialise the jobs query_predictor_days, query_predictor_samples, query_predictor_training and "
            "query_predictor_judgement in the UI"
        )


def run(settings: Settings) -> None:
    """From the log to the verdict on every model that has a week after it, and what became of each."""
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
    print(f"\n{changes.told_of('query_predictor', before, changes.published(lake, _addresses(days, weeks)))}\n")
    for line in outcome_lines(*_versions(settings, lake, weeks)):
        print(line)


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
    monday = date.fromisoformat(week)
    first, last, trained = (monday + timedelta(days=days) for days in (-7, 6, -7))
    return (
        f"version {sides['candidate']['version']} of query_router_policy, the model of week {trained}, on the 14 days from {first} to "
        f"{last}, against version {sides['baseline']['version']}: {document['outcome']}; {document['label']}"
    )


def _versions(
    settings: Settings, lake: Lake, weeks: Sequence[str]
) -> tuple[dict[str, PolicyVersion | None], PolicyVersion | None]:
    """The version that each week's model became, and the active one."""
    from platform_assets.core.registered_model import FINGERPRINT
    from platform_assets.core.registry import Registry
    from platform_assets.query_predictor.assets import common
    from platform_assets.query_predictor.registration import MODEL

    tracking, registry = services.open_tracking(settings), Registry(services.open_warehouse(settings))
    found: dict[str, PolicyVersion | None] = {}
    for week in weeks:
        model = lake.current(common.address(common.MODEL, week))
        number = MODEL.registered(tracking, str(model.lineage.details.get(FINGERPRINT, ""))) if model else None
        found[week] = registry.version_of_model(MODEL.model_name, number) if number else None
    active = [each for each in registry.versions(MODEL.policy) if each.status == "active"]
    return found, active[-1] if active else None


def outcome_lines(versions: Mapping[str, PolicyVersion | None], active: PolicyVersion | None) -> Iterator[str]:
    """A line for the version of each week, the oldest first, then the active one, and where to read on."""
    last = max(versions)
    for week, version in versions.items():
        if version is None:
            yield f"week {week}: its model is no version"
            continue
        yield f"version {version.version} (week {week}), {_became(version, week == last)}"
    yield "active: " + (f"version {active.version}, the {active.config_defaults['policy']}" if active else "none")
    yield _WHERE


def _became(version: PolicyVersion, is_last: bool) -> str:
    if version.verdict is None:
        return "not judged yet: " + ("its week is the log's last" if is_last else "its next week has no verdict")
    outcome = _OUTCOMES[version.verdict["outcome"]]
    return f"judged on {version.evaluated_week}: {outcome}: {version.verdict['reasons'][0]}"
