"""planner/policy_version: the verdict on a replay, kept for good, and what it makes of the model's version."""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.planner.assets import common
from platform_assets.planner.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.planner.assets.replay_scores import CHECKS as REPLAY_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.registry import PolicyVersion
    from platform_assets.core.verdict import Verdict

CHECKS = (
    checks.Check("registries_agree", "MLflow's versions and exp.policy_versions name each other, in both directions."),
    checks.Check("better_than_baseline", "The verdict; a rejection is a result, not a failure.", blocking=False),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The verdict of each evaluated week."""
    evaluated = partitions.planner_evaluated_weekly(settings)

    @dg.asset(
        key=POLICY_VERSION,
        deps=[REPLAY_SCORES],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"postgres", "mlflow"},
        check_specs=checks.specs(POLICY_VERSION, CHECKS, evaluated),
        partitions_def=evaluated,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=common.writer_pool(settings),
        automation_condition=automation.judged_from_trained(),
    )
    def policy_version(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource,
        warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("verdict") as folder:
                return [_produce(context, settings, lake.open(), mlflow, warehouse, week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return policy_version


def _produce(
    context: dg.AssetExecutionContext, settings: Settings, lake: "Lake", mlflow: MlflowResource,
    warehouse: WarehouseResource, week: str, folder: Path,
) -> partitioned.Produced:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.core.registry import Registry
    from platform_assets.planner import judgement, policy_record, registration, replay

    address = common.address(POLICY_VERSION, week)
    before = lake.current(address)
    scores = common.require(lake, REPLAY_SCORES, [week], f"policy version {week}")[week]
    # Whoever materialises this by hand passes the same gate as automation.
    checks.require_passed(REPLAY_SCORES, week, scores, REPLAY_CHECKS)
    policy_record.refuse_sample(scores)
    compared = scores.lineage.details
    limits = judgement.thresholds(settings.planner_gate_rows, settings.planner_gate_households)
    digests = {f"{item.asset}/{item.partition}": item.digest for item in (*scores.lineage.inputs, scores.as_input())}
    path = lake.fetch(scores, replay.SCORES, folder, verify=True)
    verdict = judgement.judge(path, compared["baseline"]["id"], limits, digests)
    document = folder / "verdict.json"
    document.write_text(verdict.to_json(), encoding="utf-8")
    registry, evaluated = Registry(warehouse.open()), date.fromisoformat(partitions.dataset_date(week))
    # Before anything is published: the lake must not show a verdict that Postgres will refuse.
    policy_record.refuse_another(registry.verdicts(compared["candidate"]["id"]), verdict, evaluated, scores.digest)
    lineage = Lineage(
        inputs=(scores.as_input(),), code_version=judgement.CODE_VERSION, run_id=context.run.run_id,
        details={"outcome": verdict.outcome, "candidate": compared["candidate"], "baseline": compared["baseline"]},
    )  # fmt: skip
    publication = lake.publish_files(address, {document.name: document}, lineage, expected=before)
    version = registry.record_verdict(compared["candidate"]["id"], verdict.document(), evaluated, scores.digest)
    policy_record.tag(mlflow.open(), version, verdict)
    outcomes = [
        registration.judge_agreement(mlflow.open(), warehouse.open(), "registries_agree"),
        policy_record.judge(verdict),
    ]
    return partitioned.Produced(
        POLICY_VERSION, publication, _metadata(publication, scores, path, verdict, version), outcomes
    )


def _metadata(
    publication: Any, scores: "Revision", path: Path, verdict: "Verdict", version: "PolicyVersion"
) -> dict[str, Any]:
    from platform_assets.core.verdict_plots import verdict_plot
    from platform_assets.orchestration.metadata import image
    from platform_assets.planner import judgement, replay_record

    picture = verdict_plot(verdict, f"Version {version.version} on {scores.address.partition}")
    return {
        "outcome": verdict.outcome,
        "policy_version": version.version,
        "status": version.status,
        "thresholds": verdict.label,
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in verdict.reasons)),
        "verdict_plot": image(picture, "verdict"),
        "comparison": dg.MetadataValue.md(replay_record.table(judgement.means(path))),
        "verdict": dg.MetadataValue.json(json.loads(verdict.to_json())),
        **common.files_metadata(publication),
    }


_DESCRIPTION = """The gate: candidate against baseline on the evaluated week's rows, by household-cluster bootstrap
non-inferiority. The verdict with its inputs' digests and thresholds is kept for good in the lake, in Postgres and on the model's
version in MLflow, which becomes `candidate` or is rejected; inconclusive leaves it registered. An older week moves nothing."""
