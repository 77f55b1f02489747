"""world_model/policy_version: the verdict on an evaluation, kept for good, and what it makes of the model's version."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import weekly_assets
from platform_assets.orchestration.weekly_assets import Made, ReplayAsset
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.world_model.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Address, Revision
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict on the model of each last week known."""

    def judge(step: "Step", scores: "Revision", address: "Address") -> Made:
        from platform_assets.world_model import judgement
        from platform_assets.world_model.weekly_verdict import WeeklyVerdict

        limits = judgement.thresholds(settings.retail_gate_rows, settings.retail_gate_customers)
        judged = WeeklyVerdict(step, scores, date.fromisoformat(step.partition), address, limits).produce()
        return weekly_assets.judged(judged, judgement.means(judged.scores), f"the test weeks up to {step.partition}")

    return weekly_assets.verdict_asset(
        POLICY_VERSION, ReplayAsset(REPLAY_SCORES, REPLAY_CHECKS), common.known_weekly(settings), settings, judge,
        owners=common.OWNERS, description=_DESCRIPTION,
    )  # fmt: skip


_DESCRIPTION = """The gate: the model against the tuned own-frequency and item-neighbour mixture on the split's test weeks, by
customer-cluster bootstrap; hit@10 of a hidden product must be better. The verdict with its inputs' digests and thresholds is kept
for good in the lake, in Postgres and on the model's version in MLflow, which becomes `candidate` or is rejected; inconclusive
leaves it registered. That of an older week moves nothing."""
