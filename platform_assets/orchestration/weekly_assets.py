"""What weekly assets share: those of a trained model (model, replay_scores, policy_version), whatever is trained, and others.

How a weekly asset is declared, how the partitions of its run become steps of the pipeline's work, and what people see of what
was made; of a verdict the whole asset, as it reads the same everywhere. What does not belong here: which inputs a week reads and
what is done with them; each pipeline's own assets say that.
"""

# Annotations are no texts here: Dagster reads those of the verdict's function.

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.lake import Address
from platform_assets.core.quality import Outcome
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, steps, upstream
from platform_assets.orchestration.metadata import files_metadata, image, table_metadata
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource

if TYPE_CHECKING:
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.core.replay_record import Means
    from platform_assets.core.step import Step
    from platform_assets.core.tracking import Run
    from platform_assets.core.weekly_replay import Replayed
    from platform_assets.core.weekly_training import Trained
    from platform_assets.core.weekly_verdict import Judged

REGISTERED = checks.Check(
    "registered", "MLflow and exp.policy_versions both know the model, by the same version.", blocking=False
)
VERDICT_CHECKS = (
    checks.Check("registries_agree", "MLflow's versions and exp.policy_versions name each other, in both directions."),
    checks.Check("better_than_baseline", "The verdict; a rejection is a result, not a failure.", blocking=False),
)


@dataclass(frozen=True)
class Services:
    """The resources that a step's work needs."""

    lake: LakeResource
    engine: EngineResource
    mlflow: MlflowResource
    warehouse: WarehouseResource


@dataclass(frozen=True)
class Made:
    """What a week of an asset became; `run` is the one in MLflow that tells of it, if any does."""

    publication: "Publication"
    outcomes: Sequence[Outcome]
    metadata: Mapping[str, Any]
    run: "Run | None" = None


@dataclass(frozen=True)
class ReplayAsset:
    """What a verdict judges: an asset of published scores, and its checks."""

    key: dg.AssetKey
    checks: Sequence[checks.Check]

    def require(self, lake: "Lake", week: str) -> "Revision":
        """A week's scores. Raises dg.Failure unless they are published and passed their blocking checks."""
        scores = upstream.require(lake, [address(self.key, week)], f"policy version {week}")[week]
        # Whoever materialises a verdict by hand passes the same gate as automation.
        checks.require_passed(self.key, week, scores, self.checks)
        return scores


Judge = Callable[["Step", "Revision", Address], Made]
"""(step, the replay's scores, where the verdict is published) -> the verdict."""


def address(asset: dg.AssetKey, week: str) -> Address:
    """Where a week of an asset lies in the lake."""
    return Address(asset.to_user_string(), week)


def weekly_asset(
    key: dg.AssetKey, required: Sequence[checks.Check], partitions: dg.PartitionsDefinition, *, owners: Sequence[str],
    deps: Sequence[dg.AssetKey | dg.AssetDep], description: str, kinds: set[str], pool: str | None,
    automation_condition: dg.AutomationCondition | None = None, config_schema: Any = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:  # fmt: skip
    """`dg.asset` as all of them use it: a week is a run of its own, and its checks have its partition."""
    return dg.asset(
        key=key, group_name=key.path[0], owners=owners, deps=deps, description=description, kinds=kinds, pool=pool,
        partitions_def=partitions, check_specs=checks.specs(key, required, partitions),
        backfill_policy=dg.BackfillPolicy.multi_run(1), automation_condition=automation_condition, config_schema=config_schema,
    )  # fmt: skip


def run_weeks(
    context: dg.AssetExecutionContext, services: Services, key: dg.AssetKey, required: Sequence[checks.Check],
    make: Callable[["Step"], Made],
) -> Iterator[partitioned.Event]:  # fmt: skip
    """Make every partition of the run, each in a working folder of its own, and tell Dagster."""

    def produce(week: str) -> Sequence[partitioned.Produced]:
        with services.engine.workspace(key.path[-1]) as folder:
            made = make(steps.step(context, week, folder, services.lake, services.mlflow, services.warehouse))
            link = {"mlflow_run": dg.MetadataValue.url(services.mlflow.run_url(made.run))} if made.run else {}
            return [partitioned.Produced(key, made.publication, {**made.metadata, **link}, made.outcomes)]

    yield from partitioned.run_partitions(context, produce, required)


def verdict_asset(
    key: dg.AssetKey, replay: ReplayAsset, partitions: dg.PartitionsDefinition, settings: Settings, judge: Judge, *,
    owners: Sequence[str], description: str,
) -> dg.AssetsDefinition:  # fmt: skip
    """The verdict on each week's replay, requested by itself."""

    @weekly_asset(
        key,
        VERDICT_CHECKS,
        partitions,
        owners=owners,
        deps=[replay.key],
        description=description,
        kinds={"postgres", "mlflow"},
        pool=upstream.writer_pool(settings),
        automation_condition=automation.judged_from_trained(),
    )
    def verdict(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, mlflow: MlflowResource,
        warehouse: WarehouseResource,
    ) -> Iterator[partitioned.Event]:  # fmt: skip
        def make(step: "Step") -> Made:
            return judge(step, replay.require(step.lake, step.partition), address(key, step.partition))

        yield from run_weeks(context, Services(lake, engine, mlflow, warehouse), key, VERDICT_CHECKS, make)

    return verdict


def trained(what: "Trained") -> Made:
    """A model: what people see first of it, its pictures, its versions, and everything that was measured as one entry."""
    # The page of an asset shows them in this order.
    shown = what.shown
    metadata = {
        **{name: dg.MetadataValue.md(table) for name, table in shown.tables.items()},
        **{path.stem: image(path.read_bytes(), path.stem) for path in sorted(what.folder.glob("*.png"))},
        **shown.numbers,
        "mlflow_version": what.model_version, "policy_version": what.policy_version,
        **({"metrics": dg.MetadataValue.json(dict(shown.document))} if shown.document else {}),
        **files_metadata(what.publication),
    }  # fmt: skip
    return Made(what.publication, what.outcomes, metadata, what.run)


def replayed(what: "Replayed") -> Made:
    """A replay: the means of all that were compared, pictures, the summary, a sample of the rows."""
    scored = what.scored
    metadata = {
        "comparison": _comparison(what.means),
        **{name.removesuffix(".png"): image(picture, name) for name, picture in what.pictures.items()},
        "summary": dg.MetadataValue.json(dict(scored.summary)),
        **table_metadata(what.publication, scored.scores),
    }
    return Made(what.publication, scored.outcomes, metadata, what.run)


def judged(what: "Judged", means: "Means", of: str) -> Made:
    """A verdict: the outcome with its reasons, as a picture and as a document; `of` names what was judged, for people."""
    from platform_assets.core.verdict_plots import verdict_plot

    verdict, version = what.verdict, what.version
    metadata = {
        "outcome": verdict.outcome,
        "policy_version": version.version,
        "status": version.status,
        "thresholds": verdict.label,
        **_requirements(what.document),
        "reasons": dg.MetadataValue.md(
            "\n".join(f"- {reason}" for reason in filter(None, (what.note, *verdict.reasons)))
        ),
        "verdict_plot": image(verdict_plot(verdict, f"Version {version.version} on {of}"), "verdict"),
        "comparison": _comparison(means),
        "verdict": dg.MetadataValue.json(dict(what.document)),
        **files_metadata(what.publication),
    }
    return Made(what.publication, what.outcomes, metadata)


def _requirements(document: Mapping[str, Any]) -> dict[str, dg.MarkdownMetadataValue]:
    """As a table, where anything is required of the candidate alone."""
    from platform_assets.core.verdict_text import requirements_table

    required = document.get("requirements", ())
    return {"requirements": dg.MetadataValue.md(requirements_table(required))} if required else {}


def _comparison(means: "Means") -> dg.MarkdownMetadataValue:
    from platform_assets.core.replay_record import table

    return dg.MetadataValue.md(table(means))
