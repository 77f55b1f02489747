"""world_model/transactions and world_model/quarantined_transactions: one fiscal week of raw rows, typed, and what was refused."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.quality import to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned, partitions, upstream
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import common
from platform_assets.world_model.assets.common import QUARANTINED_TRANSACTIONS, TRANSACTIONS, RetailSourceResource
from platform_assets.world_model.limits import Limits

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake
    from platform_assets.core.quality import Outcome
    from platform_assets.world_model.extraction import ExtractedWeek
    from platform_assets.world_model.raw_weeks import RawWeeks

CHECKS = (
    checks.Check("rows_reconcile", "Rows in the raw files = rows kept + rows quarantined."),
    checks.Check("ranges", "Dates lie in the week, hours in the day; quantities are positive, spend is a number."),
    checks.Check("unique_products", "No basket has two rows of one product."),
    checks.Check("quarantine_share", "Rows refused by a rule stay under the limit."),
    checks.Check("row_count_band", "About as many rows as the weeks before.", blocking=False),
    checks.Check("week_present", "The raw files hold rows of this week.", blocking=False),
    checks.Check("rows_placed", "Every row of the raw files is in a week of the calendar.", blocking=False),
)


def build(settings: Settings, limits: Limits) -> dg.AssetsDefinition:
    """The weekly extraction as one step with two assets."""
    weekly = partitions.retail_weekly(settings)
    common_spec = {
        "group_name": common.GROUP,
        "owners": common.OWNERS,
        "kinds": {"file", "parquet"},
        "partitions_def": weekly,
    }

    @dg.multi_asset(
        name="world_model_transactions",
        specs=[
            dg.AssetSpec(TRANSACTIONS, description=_TRANSACTIONS_DESCRIPTION, **common_spec),
            dg.AssetSpec(QUARANTINED_TRANSACTIONS, description=_QUARANTINE_DESCRIPTION, **common_spec),
        ],
        check_specs=checks.specs(TRANSACTIONS, CHECKS, weekly),
        partitions_def=weekly,
        # One run: a file of many weeks is looked through once a run, and a week is compared with those before it.
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=upstream.writer_pool(settings),
    )
    def world_model_transactions(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource, retail: RetailSourceResource
    ) -> Iterator[partitioned.Event]:
        with engine.workspace("raw_files") as scratch:
            weeks = retail.open(engine.open(), context.partition_keys, scratch)

            def produce(week: str) -> Sequence[partitioned.Produced]:
                with engine.workspace("transactions") as folder, common.raw_data_errors():
                    return _produce(context, settings, limits, lake.open(), engine.open(), weeks, week, folder)

            yield from partitioned.run_partitions(context, produce, CHECKS)

    return world_model_transactions


def _produce(
    context: dg.AssetExecutionContext, settings: Settings, limits: Limits, lake: "Lake", engine: "Engine",
    weeks: "RawWeeks", week: str, folder: Path,
) -> Sequence[partitioned.Produced]:  # fmt: skip
    from platform_assets.core.lake import Lineage
    from platform_assets.orchestration.metadata import counts_markdown, table_metadata
    from platform_assets.world_model import extraction
    from platform_assets.world_model.lineage import transactions_lineage

    before = {key: lake.current(common.address(key, week)) for key in (TRANSACTIONS, QUARANTINED_TRANSACTIONS)}
    extracted = extraction.extract_week(weeks.read(week, folder), engine, folder)
    raw, by_rule = extracted.raw, extraction.count_by_rule(engine, extracted.quarantined)
    outcomes = _outcomes(engine, extracted, by_rule, _trailing_rows(lake, settings, limits, week), limits)
    returns = next(outcome.metadata["returns"] for outcome in outcomes if outcome.name == "ranges")
    details = {
        "shop_week": raw.week.number, "source_files": dict(raw.files), "quarantined": by_rule, "returns": returns,
    }  # fmt: skip
    published = {}
    for key, path, told in (
        (QUARANTINED_TRANSACTIONS, extracted.quarantined, details),
        (TRANSACTIONS, extracted.transactions, {**details, "checks": to_details(outcomes)}),
    ):
        lineage = Lineage(
            source_rows=raw.source_rows, code_version=extraction.CODE_VERSION, run_id=context.run.run_id, details=told
        )
        published[key] = lake.publish_table(common.address(key, week), {path.name: path}, lineage, expected=before[key])
    told = {"shop_week": raw.week.number, "quarantined": counts_markdown("rule", by_rule)}
    kept, refused = published[TRANSACTIONS], published[QUARANTINED_TRANSACTIONS]
    return [
        partitioned.Produced(
            TRANSACTIONS,
            kept,
            {
                **table_metadata(kept, extracted.transactions, transactions_lineage()),
                **told,
                "source_rows": raw.source_rows,
                "source_files": dg.MetadataValue.json(dict(raw.files)),
                "returns": returns,
            },
            outcomes,
        ),
        partitioned.Produced(
            QUARANTINED_TRANSACTIONS, refused, {**table_metadata(refused, extracted.quarantined), **told}
        ),
    ]


def _trailing_rows(lake: "Lake", settings: Settings, limits: Limits, week: str) -> list[int]:
    """Rows of the published weeks before this one, oldest first; twice as far back as needed, for missing ones."""
    earlier = partitions.retail_weeks_up_to(week, partitions.retail_first_week(settings))[:-1]
    found = common.published(lake, TRANSACTIONS, earlier[-2 * limits.trailing_weeks :])
    return [revision.rows or 0 for revision in found.values()]


def _outcomes(
    engine: "Engine", extracted: "ExtractedWeek", by_rule: Mapping[str, int], trailing: Sequence[int], limits: Limits
) -> "list[Outcome]":
    from platform_assets.core import quality as common_checks
    from platform_assets.world_model import quality

    kept = engine.rows("SELECT count(*) AS rows FROM kept", {"kept": [extracted.transactions]})[0]["rows"]
    raw, refused = extracted.raw, sum(by_rule.values())
    return [
        quality.rows_reconcile(raw.source_rows, kept, refused),
        quality.ranges(engine, extracted.transactions, raw.week),
        quality.unique_products(engine, extracted.transactions),
        common_checks.share_below(
            "quarantine_share", refused, raw.source_rows, limits.quarantine_share, "rows refused by a rule"
        ),
        quality.row_count_band(kept, trailing, limits),
        quality.week_present(raw),
        quality.rows_placed(raw.strays),
    ]


_TRANSACTIONS_DESCRIPTION = """One fiscal week (Monday to Sunday, by the retailer's time.csv) of raw transactions, one row per
basket and product, typed and ordered by date, hour, basket and product. Both releases' columns; the other release's are null.
Spend of 0 or less is a return and kept. A week that is missing in the source is published with 0 rows, and says so."""
_QUARANTINE_DESCRIPTION = """The rows of the week that broke a rule, as the texts they were, each with the rule's id and the
reason. Rows in the raw files = rows of `world_model/transactions` + rows here."""
