"""world_model/baskets: one fiscal week of baskets, one row each, in the order of their visits."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import BASKETS, TRANSACTIONS
from platform_assets.world_model.assets.transactions import CHECKS as TRANSACTIONS_CHECKS

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake, Revision
    from platform_assets.core.quality import Outcome

CHECKS = (
    checks.Check("one_row_per_basket", "No basket occurs twice in the week."),
    checks.Check("no_basket_in_two_weeks", "No basket of this week is one of an earlier week."),
    checks.Check("counts_reconcile", "Baskets, products, items and spend are those of the transactions."),
)
ID_RANGE = "basket_ids"


def build(settings: Settings) -> dg.AssetsDefinition:
    """The weekly baskets."""
    weekly = partitions.retail_weekly(settings)

    @dg.asset(
        key=BASKETS,
        deps=[TRANSACTIONS],
        description=_DESCRIPTION,
        group_name=common.GROUP,
        owners=common.OWNERS,
        kinds={"duckdb", "parquet"},
        check_specs=checks.specs(BASKETS, CHECKS, weekly),
        partitions_def=weekly,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
        automation_condition=automation.weekly_from_days(),
    )
    def baskets(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        earlier = _Earlier(lake.open(), partitions.retail_first_week(settings))

        def produce(week: str) -> Sequence[partitioned.Produced]:
            with engine.workspace("baskets") as folder:
                return [_produce(context, earlier, engine.open(), week, folder)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return baskets


class _Earlier:
    """The weeks before a week, their manifests read once a run."""

    def __init__(self, lake: "Lake", first: str) -> None:
        self.lake, self._first = lake, first
        self._known: dict[str, Revision] = {}

    def remember(self, week: str, revision: "Revision") -> None:
        """What this run published."""
        self._known[week] = revision

    def overlapping(self, week: str, ids: tuple[int, int] | None, folder: Path) -> dict[str, Path]:
        """The baskets of every earlier week whose ids lie between the same bounds; others cannot share one."""
        weeks = partitions.retail_weeks_up_to(week, self._first)[:-1] if ids else []
        self._known |= common.published(self.lake, BASKETS, [key for key in weeks if key not in self._known])
        found = {key: self._known[key] for key in weeks if key in self._known}
        return {
            key: self.lake.fetch(revision, "baskets.parquet", folder)
            for key, revision in found.items()
            if (theirs := revision.lineage.details[ID_RANGE]) and ids and theirs[0] <= ids[1] and ids[0] <= theirs[1]
        }


def _produce(
    context: dg.AssetExecutionContext, earlier: _Earlier, engine: "Engine", week: str, folder: Path
) -> partitioned.Produced:
    from platform_assets.core.lake import Lineage
    from platform_assets.orchestration.metadata import table_metadata
    from platform_assets.world_model import baskets
    from platform_assets.world_model.lineage import baskets_lineage

    lake = earlier.lake
    before = lake.current(common.address(BASKETS, week))
    transactions = common.require(lake, TRANSACTIONS, week, f"baskets of {week}")
    checks.require_passed(TRANSACTIONS, week, transactions, TRANSACTIONS_CHECKS)
    rows = lake.fetch(transactions, "transactions.parquet", folder)
    path = baskets.build_week(engine, rows, folder)
    ids = baskets.id_range(engine, path)
    outcomes = _outcomes(engine, path, rows, earlier.overlapping(week, ids, folder))
    lineage = Lineage(
        inputs=(transactions.as_input(),),
        code_version=baskets.CODE_VERSION,
        run_id=context.run.run_id,
        details={ID_RANGE: list(ids) if ids else None, "checks": to_details(outcomes)},
    )
    publication = lake.publish_table(common.address(BASKETS, week), {path.name: path}, lineage, expected=before)
    earlier.remember(week, publication.revision)
    return partitioned.Produced(BASKETS, publication, table_metadata(publication, path, baskets_lineage()), outcomes)


def _outcomes(engine: "Engine", path: Path, transactions: Path, earlier: Mapping[str, Path]) -> "list[Outcome]":
    from platform_assets.core import quality as common_checks
    from platform_assets.world_model import quality

    return [
        common_checks.unique(engine, "one_row_per_basket", [path], "basket_id"),
        quality.no_basket_in_two_weeks(engine, path, earlier),
        quality.counts_reconcile(engine, path, transactions),
    ]


_DESCRIPTION = """One row per basket of the week, ordered by date, hour and basket id: customer (null: anonymous), store, week,
weekday, hour, date, how many products, items and what was spent, type, focus, sensitivity and size. Holds nothing of other
weeks: prior baskets of a customer are counted when a split's samples are built, over the weeks that the split knows."""
