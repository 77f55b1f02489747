"""query_predictor/policy_version: the verdict on a replay, kept for good, and what it makes of the model's version."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, partitioned, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.query_predictor.assets.replay_scores import CHECKS as REPLAY_CHECKS
from platform_assets.query_predictor.assets.replay_scores import evaluated_weekly

if TYPE_CHECKING:
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict of each evaluated week."""

    @weekly_assets.weekly_asset(
        POLICY_VERSION,
        CHECKS,
        evaluated_weekly(settings),
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
            from platform_assets.query_predictor import judgement
            from platform_assets.query_predictor.weekly_verdict import WeeklyVerdict

            # Whoever materialises this by hand passes the same gate as automation.
            scores = common.require(
                step.lake, REPLAY_SCORES, step.partition, REPLAY_CHECKS, f"policy version {step.partition}"
            )
            cost_fn = scores.lineage.details["summary"]["cost_fn"]
            limits = judgement.thresholds(settings.trino_gate_rows, settings.trino_gate_templates, cost_fn)
            address, week = common.address(POLICY_VERSION, step.partition), date.fromisoformat(step.partition)
            judged = WeeklyVerdict(step, scores, week, address, limits).produce()
            return weekly_assets.judged(
                judged, judgement.means(judged.scores), f"the 14 days up to the end of the week of {step.partition}"
            )

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, POLICY_VERSION, CHECKS, make)

    return policy_version


_DESCRIPTION = """The gate: the product's requirements on the replayed days (end-to-end recall surely .98, routed share at most 25 % and no
more than the templates' history needs), and a cost of mistakes that is not worse than the active version's, by template-cluster
bootstrap. The worse of both is the verdict; with its inputs' digests and thresholds it is kept for good in the lake, in Postgres and
on the model's version in MLflow, which becomes `candidate` or is rejected; inconclusive leaves it registered. An older week moves
nothing."""
