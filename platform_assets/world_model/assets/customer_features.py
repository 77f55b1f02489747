"""world_model/customer_features: what each customer was known for before every block of four weeks, up to the last week known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.baskets import CHECKS as BASKETS_CHECKS
from platform_assets.world_model.assets.common import BASKETS, CUSTOMER_FEATURES, PRODUCT_EMBEDDINGS, TRANSACTIONS
from platform_assets.world_model.assets.product_embeddings import CHECKS as PRODUCT_EMBEDDINGS_CHECKS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.core.quality import Outcome
    from platform_assets.world_model.customer_features import CustomerFeatures
    from platform_assets.world_model.splits import Split

CHECKS = (
    checks.Check("one_row_per_customer", "Customers are numbered by first week and code, none twice."),
    checks.Check("population_covered", "The customers are those of all weeks' baskets."),
    checks.Check("snapshots_finite", "Every number is finite."),
    checks.Check("nothing_before_first_visit", "A customer's row is zero up to the block of the first visit."),
    checks.Check("visits_counted", "Of each customer who has come, the shares of a habit sum up to 1."),
    checks.Check(
        "earlier_weeks_only", "Of some returning customers, counted again, snapshots tell the weeks before them."
    ),
    checks.Check("history_covered", "Most customers bought products that have a vector."),
)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The customers of each split."""
    known = common.known_weekly(settings)
    weeks = partitions.all_weeks_up_to()

    @dg.asset(
        key=CUSTOMER_FEATURES,
        deps=[
            dg.AssetDep(TRANSACTIONS, partition_mapping=weeks),
            dg.AssetDep(BASKETS, partition_mapping=weeks),
            PRODUCT_EMBEDDINGS,
        ],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"numpy", "duckdb"},
        check_specs=checks.specs(CUSTOMER_FEATURES, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def customer_features(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("customer_features") as folder:
                split = common.split(settings, week)
                return [_produce(context, lake.open(), engine.open(), week, split, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return customer_features


@dataclass(frozen=True)
class _Inputs:
    """The revisions that a split's customers are made of."""

    transactions: "dict[str, Revision]"
    baskets: "dict[str, Revision]"
    embeddings: "Revision"

    @property
    def all(self) -> "tuple[Revision, ...]":
        return (*self.transactions.values(), *self.baskets.values(), self.embeddings)


def _produce(
    context: dg.AssetExecutionContext, lake: "Lake", engine: "Engine", week: str, split: "Split", folder: Path
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.world_model import customer_quality
    from platform_assets.world_model.customer_features import CODE_VERSION

    before = lake.current(common.address(CUSTOMER_FEATURES, week))
    inputs = _require(lake, week, split)
    made, outcomes = _build(lake, engine, inputs, split, folder)
    customers = customer_quality.Written(made.files, split.weeks).snapshots.shape[1] - 1
    counts = {"customers": customers, "snapshots": len(made.known)}
    lineage = Lineage(
        inputs=tuple(each.as_input() for each in inputs.all),
        code_version=CODE_VERSION,
        run_id=context.run.run_id,
        details={"checks": to_details(outcomes), **counts},
    )
    publication = lake.publish_files(common.address(CUSTOMER_FEATURES, week), made.files, lineage, expected=before)
    return partitioned.Produced(CUSTOMER_FEATURES, publication, _metadata(publication, made, split, counts), outcomes)


def _require(lake: "Lake", week: str, split: "Split") -> _Inputs:
    purpose = f"customer_features of {week}"
    transactions = common.require_weeks(lake, TRANSACTIONS, split.weeks, TRANSACTIONS_CHECKS, purpose)
    baskets = common.require_weeks(lake, BASKETS, split.weeks, BASKETS_CHECKS, purpose)
    embeddings = common.require(lake, PRODUCT_EMBEDDINGS, week, purpose)
    checks.require_passed(PRODUCT_EMBEDDINGS, week, embeddings, PRODUCT_EMBEDDINGS_CHECKS)
    return _Inputs(transactions, baskets, embeddings)


def _build(
    lake: "Lake", engine: "Engine", inputs: _Inputs, split: "Split", folder: Path
) -> "tuple[CustomerFeatures, list[Outcome]]":
    from platform_assets.world_model import customer_features, customer_quality

    fetched = folder / "fetched"
    weeks = customer_features.Weeks(
        split,
        common.fetch_all(lake, inputs.transactions, "transactions.parquet", fetched),
        common.fetch_all(lake, inputs.baskets, "baskets.parquet", fetched),
    )
    products = lake.fetch(inputs.embeddings, "products.parquet", fetched)
    vectors = lake.fetch(inputs.embeddings, "product_embeddings.npy", fetched)
    made = customer_features.build_features(engine, weeks, products, vectors, folder)
    written = customer_quality.Written(made.files, split.weeks)
    return made, customer_quality.outcomes(engine, written, list(weeks.baskets.values()))


def _metadata(
    publication: "Publication", made: "CustomerFeatures", split: "Split", counts: Mapping[str, int]
) -> dict[str, Any]:
    from platform_assets.core.plots import count_plot
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.world_model.customer_features import ACTIVE_WEEKS, BLOCK

    active = f"came within {ACTIVE_WEEKS} weeks"
    series = {
        active: made.active,
        "came before": [known - recent for known, recent in zip(made.known, made.active, strict=True)],
        "not yet": [counts["customers"] - known for known in made.known],
    }
    picture = count_plot(split.weeks[::BLOCK], series, "Customers by snapshot, named by its first week", "customers")
    return {**files_metadata(publication), **counts, "customers by snapshot": image(picture, "customers by snapshot")}


_DESCRIPTION = """Every customer of the weeks up to the last one known, and a vector of 160 numbers for each of them before every
block of four weeks, made of nothing but the weeks before the block: 96 of what was bought (mean product vector, half-life 26
weeks), 32 of how the shares of categories differ from the population's, 32 of habits. Zero until the first visit. Product
vectors and population are those of the train weeks. Also the values that segments have in train weeks."""
