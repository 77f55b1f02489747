"""world_model/tensor_cache: a split's baskets and features as memory-mapped arrays, which training and evaluation read."""

from collections.abc import Iterator, Sequence
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
from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    PRICES,
    PRODUCT_EMBEDDINGS,
    STORE_FEATURES,
    TENSOR_CACHE,
    TRANSACTIONS,
)
from platform_assets.world_model.assets.customer_features import CHECKS as CUSTOMER_FEATURES_CHECKS
from platform_assets.world_model.assets.prices import CHECKS as PRICES_CHECKS
from platform_assets.world_model.assets.product_embeddings import CHECKS as PRODUCT_EMBEDDINGS_CHECKS
from platform_assets.world_model.assets.store_features import CHECKS as STORE_FEATURES_CHECKS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Publication, Revision
    from platform_assets.core.quality import Outcome
    from platform_assets.world_model.splits import Split
    from platform_assets.world_model.tensor_cache import TensorCache

CHECKS = (
    checks.Check("one_split_per_basket", "No basket is in two parts of the split, nor twice in one."),
    checks.Check("samples_reconcile", "Each sample index has as many rows as its weeks have baskets."),
    checks.Check("arrays_whole", "Opened anew and verified, every array is as the layout says."),
    checks.Check("counts_reconcile", "By week, the items of the arrays are the rows of the transactions."),
    checks.Check("no_leak", "Prior purchases, snapshots, products and stores know nothing of the basket or of later."),
)
FEATURES = {
    PRODUCT_EMBEDDINGS: PRODUCT_EMBEDDINGS_CHECKS,
    CUSTOMER_FEATURES: CUSTOMER_FEATURES_CHECKS,
    STORE_FEATURES: STORE_FEATURES_CHECKS,
    PRICES: PRICES_CHECKS,
}
# Fitted on train weeks; the others tell of every week, each by what was known before it.
FITTED_ON_TRAIN = (PRODUCT_EMBEDDINGS, STORE_FEATURES)


def build(settings: Settings) -> dg.AssetsDefinition:
    """The cache of each split."""
    known = common.known_weekly(settings)
    weeks = partitions.all_weeks_up_to()

    @dg.asset(
        key=TENSOR_CACHE,
        deps=[*(dg.AssetDep(key, partition_mapping=weeks) for key in (TRANSACTIONS, BASKETS)), *FEATURES],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"numpy", "parquet"},
        check_specs=checks.specs(TENSOR_CACHE, CHECKS, known),
        partitions_def=known,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=upstream.writer_pool(settings),
    )
    def tensor_cache(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("tensor_cache") as folder:
                split = common.split(settings, week)
                return [_produce(context, lake.open(), engine.open(), week, split, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return tensor_cache


@dataclass(frozen=True)
class _Read:
    """The revisions that a cache is made of."""

    transactions: "dict[str, Revision]"
    baskets: "dict[str, Revision]"
    features: "dict[dg.AssetKey, Revision]"

    @property
    def weekly(self) -> "tuple[Revision, ...]":
        return (*self.transactions.values(), *self.baskets.values())

    @property
    def all(self) -> "tuple[Revision, ...]":
        return (*self.weekly, *self.features.values())


def _produce(
    context: dg.AssetExecutionContext, lake: "Lake", engine: "Engine", week: str, split: "Split", folder: Path
) -> partitioned.Produced:
    from platform_assets.core.folders import files_of
    from platform_assets.core.lake import Lineage
    from platform_assets.world_model import cache_builder
    from platform_assets.world_model.tensor_cache import TensorCache

    before = lake.current(common.address(TENSOR_CACHE, week))
    read = _require(lake, week, split)
    outcomes = _build(lake, engine, read, split, folder)
    cache = TensorCache(folder / "cache")
    lineage = Lineage(
        inputs=tuple(revision.as_input() for revision in read.all),
        code_version=cache_builder.CODE_VERSION,
        run_id=context.run.run_id,
        details={
            "checks": to_details(outcomes),
            "fingerprint": cache.fingerprint,
            "splits": cache.document["splits"],
        },
    )
    address = common.address(TENSOR_CACHE, week)
    publication = lake.publish_files(address, files_of(cache.folder), lineage, expected=before)
    return partitioned.Produced(TENSOR_CACHE, publication, _metadata(publication, cache), outcomes)


def _require(lake: "Lake", week: str, split: "Split") -> _Read:
    """What is published, checked, and made of one another. Raises dg.Failure naming what is to be materialised (again)."""
    purpose = f"tensor_cache of {week}"
    transactions = common.require_weeks(lake, TRANSACTIONS, split.weeks, TRANSACTIONS_CHECKS, purpose)
    baskets = common.require_weeks(lake, BASKETS, split.weeks, BASKETS_CHECKS, purpose)
    features = {}
    for asset, declared in FEATURES.items():
        features[asset] = common.require(lake, asset, week, purpose)
        checks.require_passed(asset, week, features[asset], declared)
    read = _Read(transactions, baskets, features)
    _require_current(read, split, purpose)
    return read


def _require_current(read: _Read, split: "Split", purpose: str) -> None:
    from platform_assets.world_model import cache_lineage

    faults = {}
    for revision in (*read.baskets.values(), *read.features.values()):
        if old := cache_lineage.outdated(revision, read.all):
            faults[revision.address] = f"was made of other revisions of {', '.join(old[:5])} than are current"
    for asset, revision in read.features.items():
        weeks = split.train if asset in FITTED_ON_TRAIN else split.weeks
        if missing := cache_lineage.unread(revision, read.weekly, weeks):
            faults[revision.address] = f"was made without {', '.join(missing[:5])}"
    if faults:
        told = "; ".join(f"{address.asset} of {address.partition} {fault}" for address, fault in faults.items())
        raise dg.Failure(f"{purpose}: {told}. Materialise it again first.", allow_retries=False)


def _build(lake: "Lake", engine: "Engine", read: _Read, split: "Split", folder: Path) -> "list[Outcome]":
    from platform_assets.core.folders import fetch_folder
    from platform_assets.world_model import cache_builder, cache_quality
    from platform_assets.world_model.cache_inputs import CacheInputError, CacheInputs

    fetched = folder / "fetched"
    inputs = CacheInputs(
        common.fetch_all(lake, read.transactions, "transactions.parquet", fetched),
        common.fetch_all(lake, read.baskets, "baskets.parquet", fetched),
        **{
            asset.path[-1]: fetch_folder(lake, revision, folder / asset.path[-1])
            for asset, revision in read.features.items()
        },
    )
    try:
        cache = cache_builder.build_cache(engine, inputs, split, folder / "cache", folder)
    except CacheInputError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    return cache_quality.outcomes(engine, cache, inputs, split)


def _metadata(publication: "Publication", cache: "TensorCache") -> dict[str, Any]:
    from platform_assets.orchestration.metadata import files_metadata, image
    from platform_assets.world_model import cache_pictures

    counts = {f"{name} baskets": told["baskets"] for name, told in cache.document["splits"].items()}
    return {
        **files_metadata(publication),
        **counts,
        "splits": dg.MetadataValue.json(cache.document["splits"]),
        "baskets by week": image(cache_pictures.baskets_by_week(cache), "baskets by week"),
        "baskets by length": image(cache_pictures.baskets_by_length(cache), "baskets by length"),
    }


_DESCRIPTION = """The baskets of a split in flat, memory-mapped arrays, in a random order drawn once; what customers bought before
each of them; the tables of products, customers, stores and prices; the documented sample indices; ids to indices (vocab.json)
and every file with its SHA-256 (cache.json). `world_model.tensor_cache.TensorCache` opens it, in the lake or copied."""
