"""world_model/store_features: format, region, habits and assortment of every store, from train weeks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.baskets import CHECKS as BASKETS_CHECKS
from platform_assets.world_model.assets.common import BASKETS, STORE_FEATURES, TRANSACTIONS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication
    from platform_assets.world_model.splits import Split

CHECKS = (
    checks.Check("stores_covered", "Every store of the train weeks has one row, with its number of baskets."),
    checks.Check(
        "store_features_in_place", "Every number is finite and in its place; operational ones are standardised."
    ),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The stores of each split."""
    known = common.known_weekly(settings)
    weeks = partitions.all_weeks_up_to()

    @dg.asset(
        key=STORE_FEATURES,
        deps=[
            dg.AssetDep(TRANSACTIONS, partition_mapping=weeks),
            dg.AssetDep(BASKETS, partition_mapping=weeks),
        ],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"numpy", "duckdb"},
        check_specs=checks.specs(STORE_FEATURES, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def store_features(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("store_features") as folder:
                split = common.split(settings, week)
                return [_produce(context, lake.open(), engine.open(), week, split, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return store_features


def _produce(
    context: dg.AssetExecutionContext, lake: "Lake", engine: "Engine", week: str, split: "Split", folder: Path
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.world_model import feature_quality
    from platform_assets.world_model import store_features as domain

    before, purpose = lake.current(common.address(STORE_FEATURES, week)), f"store_features of {week}"
    transactions = common.require_weeks(lake, TRANSACTIONS, split.train, TRANSACTIONS_CHECKS, purpose)
    baskets = common.require_weeks(lake, BASKETS, split.train, BASKETS_CHECKS, purpose)
    fetched = folder / "fetched"
    baskets_files = common.fetch_all(lake, baskets, "baskets.parquet", fetched)
    rows = common.fetch_all(lake, transactions, "transactions.parquet", fetched)
    files = domain.build_store_features(engine, baskets_files, rows, folder)
    outcomes = [
        feature_quality.stores_covered(engine, files, list(baskets_files.values())),
        feature_quality.store_features_in_place(files),
    ]
    counts = {"stores": outcomes[0].metadata["rows"], "train_weeks": len(split.train)}
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in (*transactions.values(), *baskets.values())),
        code_version=domain.CODE_VERSION,
        run_id=context.run.run_id,
        details={"checks": to_details(outcomes), **counts},
    )
    publication = lake.publish_files(common.address(STORE_FEATURES, week), files, lineage, expected=before)
    return partitioned.Produced(STORE_FEATURES, publication, _metadata(publication, files, counts), outcomes)


def _metadata(publication: "Publication", files: Mapping[str, Path], counts: Mapping[str, int]) -> dict[str, Any]:
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.world_model import feature_plots
    from platform_assets.world_model.store_features import FEATURES, STORES

    picture = feature_plots.store_map(files[STORES], files[FEATURES])
    return {**files_metadata(publication), **counts, "store_map": image(picture, "stores")}


_DESCRIPTION = """A vector (96) of every store of the train weeks: format and region, how much and when it is shopped in by which
kinds of baskets, and what it sells. Row 0 is zero, for stores that the train weeks do not have. Validation and test weeks are
not read."""
