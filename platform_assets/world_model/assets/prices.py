"""world_model/prices: what every product costs in every week up to the last one known, each week from itself and those before."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import PRICES, TRANSACTIONS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication
    from platform_assets.core.quality import Outcome
    from platform_assets.world_model.prices import PriceFiles
    from platform_assets.world_model.splits import Split

CHECKS = (
    checks.Check("one_row_per_product_and_week", "Each product has one row in every week from its first on."),
    checks.Check("prices_positive", "Every price is a positive number."),
    checks.Check("prices_within_range", "No price is one that nobody paid."),
    checks.Check("sales_priced", "Sold are the products with a price in that week, all of them and no other."),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The prices that each split knows."""
    known = common.known_weekly(settings)

    @dg.asset(
        key=PRICES,
        deps=[dg.AssetDep(TRANSACTIONS, partition_mapping=partitions.all_weeks_up_to())],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "parquet"},
        check_specs=checks.specs(PRICES, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def prices(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("prices") as folder:
                split = common.split(settings, week)
                return [_produce(context, lake.open(), engine.open(), week, split, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return prices


def _produce(
    context: dg.AssetExecutionContext, lake: "Lake", engine: "Engine", week: str, split: "Split", folder: Path
) -> partitioned.Produced:
    import pyarrow.parquet as pq

    from platform_assets.core.lake import Lineage
    from platform_assets.world_model import prices as domain

    before = lake.current(common.address(PRICES, week))
    read = common.require_weeks(lake, TRANSACTIONS, split.weeks, TRANSACTIONS_CHECKS, f"prices of {week}")
    transactions = common.fetch_all(lake, read, "transactions.parquet", folder / "fetched")
    files = domain.build_prices(engine, transactions, folder)
    outcomes = _outcomes(engine, files, len(split.weeks))
    counts = {"rows": pq.read_metadata(files.prices).num_rows, "sales": pq.read_metadata(files.observed).num_rows}
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in read.values()),
        code_version=domain.CODE_VERSION,
        run_id=context.run.run_id,
        details={"checks": to_details(outcomes), **counts},
    )
    content = {files.prices.name: files.prices}
    publication = lake.publish_files(common.address(PRICES, week), content, lineage, expected=before)
    return partitioned.Produced(PRICES, publication, _metadata(publication, files.prices, counts), outcomes)


def _outcomes(engine: "Engine", files: "PriceFiles", weeks: int) -> "list[Outcome]":
    from platform_assets.world_model import price_quality as quality

    return [
        quality.one_row_per_product_and_week(engine, files, weeks),
        quality.prices_positive(engine, files),
        quality.prices_within_range(engine, files),
        quality.sales_priced(engine, files),
    ]


def _metadata(publication: "Publication", prices: Path, counts: Mapping[str, int]) -> dict[str, Any]:
    from platform_assets.orchestration.metadata import files_metadata, image, table_metadata
    from platform_assets.world_model import feature_plots

    return {
        **table_metadata(publication, prices),
        **files_metadata(publication),
        "dagster/row_count": counts["rows"],
        "sales": counts["sales"],
        "examples": image(feature_plots.price_examples(prices), "prices"),
    }


_DESCRIPTION = """One row per product and week from the product's first priced week on: the price of most rows of the week (carried
forward where the product is not sold), the one of the week before, the median of the 13 weeks before, and the average of its
finest category. A week's rows are made of that week and earlier ones."""
