"""query_predictor/policy_version: the verdict on a replay, kept for good, and what it makes of the model's version."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import weekly_assets
from platform_assets.orchestration.weekly_assets import Made, ReplayAsset
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.query_predictor.assets.replay_scores import CHECKS as REPLAY_CHECKS
from platform_assets.query_predictor.assets.replay_scores import evaluated_weekly

if TYPE_CHECKING:
    from platform_assets.core.lake import Address, Revision
    from platform_assets.core.step import Step

CHECKS = weekly_assets.VERDICT_CHECKS


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict of each evaluated week."""

    def judge(step: "Step", scores: "Revision", address: "Address") -> Made:
        from platform_assets.query_predictor import judgement
        from platform_assets.query_predictor.weekly_verdict import WeeklyVerdict

        cost_fn = scores.lineage.details["summary"]["cost_fn"]
        limits = judgement.thresholds(settings.trino_gate_rows, settings.trino_gate_templates, cost_fn)
        judged = WeeklyVerdict(step, scores, date.fromisoformat(step.partition), address, limits).produce()
        days = f"the 14 days up to the end of the week of {step.partition}"
        return weekly_assets.judged(judged, judgement.means(judged.scores), days)

    return weekly_assets.verdict_asset(
        POLICY_VERSION, ReplayAsset(REPLAY_SCORES, REPLAY_CHECKS), evaluated_weekly(settings), settings, judge,
        owners=common.OWNERS, description=_DESCRIPTION,
    )  # fmt: skip


_DESCRIPTION = """The gate: the product's requirements on the replayed days (end-to-end recall surely .98, routed share at most 25 % and no
more than the templates' history needs), and a cost of mistakes that is not worse than the active version's, by template-cluster
bootstrap. The worse of both is the verdict; with its inputs' digests and thresholds it is kept for good in the lake, in Postgres and
on the model's version in MLflow, which becomes `candidate` or is rejected; inconclusive leaves it registered. An older week moves
nothing."""
