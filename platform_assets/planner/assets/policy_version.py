"""planner/policy_version: the verdict on a replay, kept for good, and what it makes of the model's version."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import partitions, weekly_assets
from platform_assets.orchestration.weekly_assets import Made, ReplayAsset
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.planner.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Address, Revision
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict of each evaluated week."""

    def judge(step: "Step", scores: "Revision", address: "Address") -> Made:
        from platform_assets.planner import judgement
        from platform_assets.planner.weekly_verdict import WeeklyVerdict

        evaluated_week = date.fromisoformat(partitions.dataset_date(step.partition))
        limits = judgement.thresholds(settings.planner_gate_rows, settings.planner_gate_households)
        judged = WeeklyVerdict(step, scores, evaluated_week, address, limits).produce()
        return weekly_assets.judged(judged, judgement.means(judged.scores), step.partition)

    return weekly_assets.verdict_asset(
        POLICY_VERSION, ReplayAsset(REPLAY_SCORES, REPLAY_CHECKS), partitions.planner_evaluated_weekly(settings), settings, judge,
        owners=common.OWNERS, description=_DESCRIPTION,
    )  # fmt: skip


_DESCRIPTION = """The gate: candidate against baseline on the evaluated week's rows, by household-cluster bootstrap
non-inferiority. The verdict with its inputs' digests and thresholds is kept for good in the lake, in Postgres and on the model's
version in MLflow, which becomes `candidate` or is rejected; inconclusive leaves it registered. An older week moves nothing."""
