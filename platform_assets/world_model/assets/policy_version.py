"""world_model/policy_version: the verdict on an evaluation, kept for good, and what it makes of the model's version."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.orchestration.weekly_assets import Made, Services
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.world_model.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict on the model of each last week known."""
    known = common.known_weekly(settings)

    @weekly_assets.weekly_asset(
        POLICY_VERSION,
        CHECKS,
        known,
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
            from platform_assets.world_model import judgement
            from platform_assets.world_model.weekly_verdict import WeeklyVerdict

            scores, address = _scores(step.lake, step.partition), common.address(POLICY_VERSION, step.partition)
            evaluated_week = date.fromisoformat(step.partition)
            limits = judgement.thresholds(settings.retail_gate_rows, settings.retail_gate_customers)
            judged = WeeklyVerdict(step, scores, evaluated_week, address, limits).produce()
            return weekly_assets.judged(
                judged, judgement.means(judged.scores), f"the test weeks up to {step.partition}"
            )

        services = Services(lake, engine, mlflow, warehouse)
        yield from weekly_assets.run_weeks(context, services, POLICY_VERSION, CHECKS, make)

    return policy_version


def _scores(lake: "Lake", week: str) -> "Revision":
    scores = common.require(lake, REPLAY_SCORES, week, f"policy version {week}")
    # Whoever materialises this by hand passes the same gate as automation.
    checks.require_passed(REPLAY_SCORES, week, scores, REPLAY_CHECKS)
    return scores


_DESCRIPTION = """The gate: the model against the tuned own-frequency and item-neighbour mixture on the split's test weeks, by
customer-cluster bootstrap; hit@10 of a hidden product must be better. The verdict with its inputs' digests and thresholds is kept
for good in the lake, in Postgres and on the model's version in MLflow, which becomes `candidate` or is rejected; inconclusive
leaves it registered. That of an older week moves nothing."""
