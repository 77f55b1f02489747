"""planner/policy_version: the verdict on a replay, kept for good, and what it makes of the model's version."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.planner.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict of each evaluated week."""
    evaluated = partitions.planner_evaluated_weekly(settings)

    @weekly_assets.weekly_asset(
        POLICY_VERSION,
        CHECKS,
        evaluated,
        owners=common.OWNERS,
        deps=[REPLAY_SCORES],
        description=_DESCRIPTION,
        kinds={"postgres", "mlflow"},
        pool=upstream.writer_pool(settings),
        automation_condition=automation.judged_from_trained(),
    )
    def policy_version(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource,
        warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            from platform_assets.planner import judgement
            from platform_assets.planner.weekly_verdict import WeeklyVerdict

            scores, address = _scores(step.lake, step.partition), common.address(POLICY_VERSION, step.partition)
            evaluated_week = date.fromisoformat(partitions.dataset_date(step.partition))
            limits = judgement.thresholds(settings.planner_gate_rows, settings.planner_gate_households)
            judged = WeeklyVerdict(step, scores, evaluated_week, address, limits).produce()
            return weekly_assets.judged(judged, judgement.means(judged.scores), step.partition)

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, POLICY_VERSION, CHECKS, make)

    return policy_version


def _scores(lake: "Lake", week: str) -> "Revision":
    scores = common.require(lake, REPLAY_SCORES, [week], f"policy version {week}")[week]
    # Whoever materialises this by hand passes the same gate as automation.
    checks.require_passed(REPLAY_SCORES, week, scores, REPLAY_CHECKS)
    return scores


_DESCRIPTION = """The gate: candidate against baseline on the evaluated week's rows, by household-cluster bootstrap
non-inferiority. The verdict with its inputs' digests and thresholds is kept for good in the lake, in Postgres and on the model's
version in MLflow, which becomes `candidate` or is rejected; inconclusive leaves it registered. An older week moves nothing."""
