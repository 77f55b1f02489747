"""world_model/policy_version: the verdict on an evaluation, kept for good, and what it makes of the model's version."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, steps, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.world_model.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.weekly_verdict import Judged

CHECKS = (
    checks.Check("registries_agree", "MLflow's versions and exp.policy_versions name each other, in both directions."),
    checks.Check("better_than_baseline", "The verdict; a rejection is a result, not a failure.", blocking=False),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict on the model of each last week known."""
    known = common.known_weekly(settings)

    @dg.asset(
        key=POLICY_VERSION,
        deps=[REPLAY_SCORES],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"postgres", "mlflow"},
        check_specs=checks.specs(POLICY_VERSION, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.judged_from_trained(),
    )
    def policy_version(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource,
        warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def produce(week: str) -> Sequence[partitioned.Produced]:
            from platform_assets.world_model import judgement
            from platform_assets.world_model.weekly_verdict import WeeklyVerdict

            with engine.workspace("verdict") as folder:
                step = steps.step(context, week, folder, lake, mlflow, warehouse)
                scores, address = _scores(step.lake, week), common.address(POLICY_VERSION, week)
                limits = judgement.thresholds(settings.retail_gate_rows, settings.retail_gate_customers)
                judged = WeeklyVerdict(step, scores, date.fromisoformat(week), address, limits).produce()
                return [
                    partitioned.Produced(POLICY_VERSION, judged.publication, _metadata(judged, week), judged.outcomes)
                ]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return policy_version


def _scores(lake: "Lake", week: str) -> "Revision":
    scores = common.require(lake, REPLAY_SCORES, week, f"policy version {week}")
    # Whoever materialises this by hand passes the same gate as automation.
    checks.require_passed(REPLAY_SCORES, week, scores, REPLAY_CHECKS)
    return scores


def _metadata(judged: "Judged", week: str) -> dict[str, Any]:
    from platform_assets.core import replay_record
    from platform_assets.core.verdict_plots import verdict_plot
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.world_model import judgement

    verdict, version = judged.verdict, judged.version
    picture = verdict_plot(verdict, f"Version {version.version} on the test weeks up to {week}")
    return {
        "outcome": verdict.outcome,
        "policy_version": version.version,
        "status": version.status,
        "thresholds": verdict.label,
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in verdict.reasons)),
        "verdict_plot": image(picture, "verdict"),
        "comparison": dg.MetadataValue.md(replay_record.table(judgement.means(judged.scores))),
        "verdict": dg.MetadataValue.json(dict(judged.document)),
        **files_metadata(judged.publication),
    }


_DESCRIPTION = """The gate: the model against the tuned own-frequency and item-neighbour mixture on the split's test weeks, by
customer-cluster bootstrap; hit@10 of a hidden product must be better. The verdict with its inputs' digests and thresholds is kept
for good in the lake, in Postgres and on the model's version in MLflow, which becomes `candidate` or is rejected; inconclusive
leaves it registered. That of an older week moves nothing."""
