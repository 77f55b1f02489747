"""When a replay is requested again: once for what changed, after the features were made of it, whichever sensor ticks first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from platform_assets.query_predictor.assets.common import FEATURES, REPLAY_SCORES, TRAINING_SAMPLE, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.replay_scores import once_features_are_up_to_date
from platform_assets.query_predictor.assets.weekly import from_days_and_weeks

WEEKLY = dg.WeeklyPartitionsDefinition("2025-07-14", end_date="2025-07-21", day_offset=1, timezone="UTC")
WEEK = "2025-07-14"
NOW = datetime(2025, 8, 1, tzinfo=UTC)


class Chain:
    """A week's replay and what it reads, with the two sensors that request them, each with its own tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.versions = instance, dict[dg.AssetKey, str]()
        self.cursors: dict[dg.AssetKey, dg.AssetDaemonCursor | None] = {FEATURES: None, REPLAY_SCORES: None}
        sources = [TRAINING_SAMPLE, ZERO_COST_CATEGORIES]
        self.definitions = dg.Definitions(
            [
                *(self._asset(key) for key in sources),
                self._asset(FEATURES, sources, from_days_and_weeks()),
                self._asset(REPLAY_SCORES, [*sources, FEATURES], once_features_are_up_to_date()),
            ]
        )

    def _asset(
        self, asset: dg.AssetKey, deps: list[dg.AssetKey] | None = None, condition: dg.AutomationCondition | None = None
    ) -> dg.AssetsDefinition:
        @dg.asset(key=asset, deps=deps, partitions_def=WEEKLY, automation_condition=condition)
        def made() -> dg.MaterializeResult:
            return dg.MaterializeResult(data_version=dg.DataVersion(self.versions[asset]))

        return made

    def run(self, asset: dg.AssetKey, version: str) -> None:
        self.versions[asset] = version
        job = self.definitions.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=self.instance, partition_key=WEEK, asset_selection=[asset]).success

    def requests(self, asset: dg.AssetKey) -> bool:
        """Whether a tick of the asset's sensor requests the week."""
        result = dg.evaluate_automation_conditions(
            self.definitions, self.instance, dg.AssetSelection.assets(asset), cursor=self.cursors[asset], evaluation_time=NOW
        )  # fmt: skip
        self.cursors[asset] = result.cursor
        return bool(result.get_requested_partitions(asset))


@pytest.fixture
def chain() -> Iterator[Chain]:
    """All is made of the first version, and nothing is due."""
    with dg.DagsterInstance.ephemeral() as instance:
        found = Chain(instance)
        for asset in (TRAINING_SAMPLE, ZERO_COST_CATEGORIES):
            found.run(asset, "first")
        assert not found.requests(REPLAY_SCORES)
        for asset in (FEATURES, REPLAY_SCORES):
            assert found.requests(asset)
            found.run(asset, "first")
        assert not any(found.requests(asset) for asset in (FEATURES, REPLAY_SCORES))
        yield found


def test_categories_that_changed_alone_are_replayed_though_the_features_stay_the_same(chain: Chain) -> None:
    chain.run(ZERO_COST_CATEGORIES, "second")
    assert not chain.requests(REPLAY_SCORES), "features are not made of them yet"
    assert chain.requests(FEATURES)
    chain.run(FEATURES, "first")
    assert [chain.requests(REPLAY_SCORES) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("first", [TRAINING_SAMPLE, ZERO_COST_CATEGORIES])
def test_a_changed_day_is_replayed_once_and_only_with_the_features_that_follow_it(
    chain: Chain, first: dg.AssetKey
) -> None:
    (other,) = {TRAINING_SAMPLE, ZERO_COST_CATEGORIES} - {first}
    chain.run(first, "second")
    assert not chain.requests(REPLAY_SCORES)
    chain.run(other, "second")
    assert [chain.requests(REPLAY_SCORES) for _ in range(2)] == [False, False]
    assert chain.requests(FEATURES)
    chain.run(FEATURES, "second")
    assert [chain.requests(REPLAY_SCORES) for _ in range(2)] == [True, False]


def test_what_is_made_again_to_the_same_content_is_not_replayed_again(chain: Chain) -> None:
    for asset in (TRAINING_SAMPLE, ZERO_COST_CATEGORIES, FEATURES):
        chain.run(asset, "first")
        assert not chain.requests(REPLAY_SCORES)
