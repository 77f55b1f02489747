"""world_model/product_embeddings: a vector of every product, learned from which products share the train weeks' baskets."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import PRODUCT_EMBEDDINGS, TRANSACTIONS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication
    from platform_assets.core.quality import Outcome
    from platform_assets.world_model.splits import Split

CHECKS = (
    checks.Check("products_covered", "Every product of the train weeks has one row, with its number of baskets."),
    checks.Check("vectors_in_place", "Every number is finite and in its place; vectors are 1 long on average."),
    checks.Check("neighbours_bought_together", "Nearest products share baskets more often than chance."),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The products of each split."""
    known = common.known_weekly(settings)

    @dg.asset(
        key=PRODUCT_EMBEDDINGS,
        deps=[dg.AssetDep(TRANSACTIONS, partition_mapping=partitions.all_weeks_up_to())],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"scipy", "numpy", "duckdb"},
        check_specs=checks.specs(PRODUCT_EMBEDDINGS, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def product_embeddings(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("product_embeddings") as folder:
                split = common.split(settings, week)
                return [_produce(context, lake.open(), engine.open(), week, split, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return product_embeddings


def _produce(
    context: dg.AssetExecutionContext, lake: "Lake", engine: "Engine", week: str, split: "Split", folder: Path
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.world_model import product_embeddings as domain
    from platform_assets.world_model.co_purchase import TooManyProducts

    before = lake.current(common.address(PRODUCT_EMBEDDINGS, week))
    read = common.require_weeks(lake, TRANSACTIONS, split.train, TRANSACTIONS_CHECKS, f"product_embeddings of {week}")
    transactions = common.fetch_all(lake, read, "transactions.parquet", folder / "fetched")
    try:
        files = domain.build_embeddings(engine, transactions, folder)
    except TooManyProducts as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    outcomes = _outcomes(engine, files, transactions)
    counts = {"products": outcomes[0].metadata["rows"], "train_weeks": len(split.train)}
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in read.values()),
        code_version=domain.CODE_VERSION,
        run_id=context.run.run_id,
        details={"checks": to_details(outcomes), **counts},
    )
    publication = lake.publish_files(common.address(PRODUCT_EMBEDDINGS, week), files, lineage, expected=before)
    return partitioned.Produced(PRODUCT_EMBEDDINGS, publication, _metadata(publication, files, counts), outcomes)


def _outcomes(engine: "Engine", files: Mapping[str, Path], transactions: Mapping[str, Path]) -> "list[Outcome]":
    from platform_assets.world_model import feature_quality as quality

    return [
        quality.products_covered(engine, files, list(transactions.values())),
        quality.vectors_in_place(files),
        quality.neighbours_bought_together(files),
    ]


def _metadata(publication: "Publication", files: Mapping[str, Path], counts: Mapping[str, int]) -> dict[str, Any]:
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.world_model import feature_plots
    from platform_assets.world_model.product_embeddings import EMBEDDINGS, PRODUCTS

    picture = feature_plots.product_map(files[PRODUCTS], files[EMBEDDINGS])
    return {**files_metadata(publication), **counts, "product_map": image(picture, "products")}


_DESCRIPTION = """A vector (256) of every product of the train weeks, from shifted positive pointwise mutual information of the
products that share baskets and a truncated singular value decomposition; the products with their tokens and categories; and
the cosine of every two products over baskets. Validation and test weeks are not read."""
