"""Which weeks are replayed and judged, what each reads, and how the two assets are declared."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.lake import Address, Lake, Lineage
from platform_assets.core.settings import Settings
from platform_assets.query_predictor.assets import common, jobs, policy_version, replay_scores
from platform_assets.query_predictor.assets.common import FEATURES, MODEL, POLICY_VERSION, REPLAY_SCORES
from platform_assets.query_predictor.definitions import build

SETTINGS = replace(
    Settings.from_environment({}), trino_start=date(2025, 6, 2), trino_end=date(2025, 8, 4), trino_source="unread"
)


@given(st.dates(date(2024, 1, 1), date(2026, 1, 1)), st.integers(44, 120))
def test_every_week_that_follows_one_with_a_model_is_evaluated(start: date, days: int) -> None:
    settings = replace(SETTINGS, trino_start=start, trino_end=start + timedelta(days=days))
    known = common.known_weekly(settings).get_partition_keys()
    assert replay_scores.evaluated_weekly(settings).get_partition_keys() == known[1:]


@pytest.fixture(scope="module")
def graph() -> dg.Definitions:
    return build(SETTINGS)


def test_a_replay_reads_the_model_of_the_week_before_and_the_features_of_its_own(graph: dg.Definitions) -> None:
    assets, week = graph.resolve_asset_graph(), "2025-07-21"
    own = replay_scores.evaluated_weekly(SETTINGS)
    parents, read = assets.get(REPLAY_SCORES).parent_keys, {}
    for parent in parents:
        found = assets.get_partition_mapping(
            REPLAY_SCORES, parent
        ).get_upstream_mapped_partitions_result_for_partitions(
            own.subset_with_partition_keys([week]), own, common.known_weekly(SETTINGS)
        )
        read[parent] = found.partitions_subset.get_partition_keys()
    assert {parent: list(keys) for parent, keys in read.items()} == {
        parent: ["2025-07-14"] if parent == MODEL else [week] for parent in parents
    }
    assert FEATURES in read
    assert set(assets.get(POLICY_VERSION).parent_keys) == {REPLAY_SCORES}


def test_both_are_requested_by_themselves_and_run_as_one_job(graph: dg.Definitions) -> None:
    assets = graph.resolve_asset_graph()
    for asset, declared in ((REPLAY_SCORES, replay_scores.CHECKS), (POLICY_VERSION, policy_version.CHECKS)):
        assert assets.get(asset).automation_condition is not None
        names = {key.name for key in assets.get_check_keys_for_assets({asset})}
        assert names == {check.name for check in declared}
    job = graph.resolve_job_def(jobs.JUDGEMENT)
    assert job.asset_layer.executable_asset_keys == {REPLAY_SCORES, POLICY_VERSION}
    assert job.tags["dagster/max_runtime"] == jobs.LONG["dagster/max_runtime"]


def test_a_model_is_replayed_with_the_features_that_it_names_whatever_was_published_since(tmp_path: Path) -> None:
    lake, file = Lake(str(tmp_path / "lake")), tmp_path / "features.json"
    features, model = (Address(key.to_user_string(), "2025-07-14") for key in (FEATURES, MODEL))
    published = []
    for text in ("first", "of a late day"):
        file.write_text(text)
        made = Lineage(inputs=(), code_version="1", run_id="run", details={})
        published.append(lake.publish_files(features, {file.name: file}, made).revision)
    for inputs in ((published[0].as_input(),), ()):
        trained = Lineage(inputs=inputs, code_version="1", run_id="run", details={})
        revision = lake.publish_files(model, {file.name: file}, trained).revision
        if inputs:
            assert replay_scores.trained_on(lake, revision, "replay").digest == published[0].digest
            assert lake.current(features) == published[1] != published[0]
        else:
            with pytest.raises(
                dg.Failure, match=r"was trained on: materialise query_predictor/model of 2025-07-14 again"
            ):
                replay_scores.trained_on(lake, revision, "replay")


def test_what_finds_an_online_router_is_left_to_the_program_unless_it_is_given() -> None:
    assert replay_scores.ReplayConfig().options() == {"online_route": ""}
    assert replay_scores.ReplayConfig(online_route="via=(heavy|light)").options() == {
        "online_route": "via=(heavy|light)"
    }
