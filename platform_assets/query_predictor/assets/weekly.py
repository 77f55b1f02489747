"""One shape for the weekly assets that are made of labelled days: how they are declared, run and reported.

What does not belong here: what a week becomes; each asset's own file says that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import automation, checks, partitioned, partitions, upstream, weekly_assets
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.orchestration.weekly_assets import Made
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake


@dataclass(frozen=True)
class Week:
    """One partition of a run, and what making it takes."""

    key: str
    purpose: str
    """What is made, for people."""
    configured: Configuration
    lake: "Lake"
    engine: "Engine"
    folder: Path
    """For working files; gone afterwards."""
    run_id: str

    @property
    def monday(self) -> date:
        """The week's first day."""
        return partitions.day_window(self.key)[0].date()


def asset_of_days(
    key: dg.AssetKey, required: Sequence[checks.Check], settings: Settings, defaults: Configuration,
    make: Callable[[Week], Made], *, deps: Sequence[dg.AssetKey | dg.AssetDep], description: str, kinds: set[str],
) -> dg.AssetsDefinition:  # fmt: skip
    """The asset of each week that has all days of a sample, requested by itself once all that it reads is there and checked."""

    @weekly_assets.weekly_asset(
        key,
        required,
        common.known_weekly(settings),
        owners=common.OWNERS,
        deps=deps,
        description=description,
        kinds=kinds,
        pool=upstream.writer_pool(settings),
        config_schema=common.config_schema(defaults),
        automation_condition=from_days_and_weeks(),
    )
    def weekly(
        context: dg.AssetExecutionContext, lake: LakeResource, engine: EngineResource
    ) -> Iterator[partitioned.Event]:
        configured, name = common.configured(context), key.path[-1]

        def produce(partition: str) -> Sequence[partitioned.Produced]:
            with engine.workspace(name) as folder:
                purpose = f"{name} of {partition}"
                made = make(
                    Week(partition, purpose, configured, lake.open(), engine.open(), folder, context.run.run_id)
                )
                return [partitioned.Produced(key, made.publication, made.metadata, made.outcomes)]

        yield from partitioned.run_partitions(context, produce, required)

    return weekly


def from_days_and_weeks() -> dg.AutomationCondition:
    """As `automation.weekly_from_days`, and not at the tick that requests an upstream week.

    Features read labelled days and what is made of the same days: a day that changes is news to all of them at one tick, and
    would have them made once of the old sample.
    """
    requested = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    return (automation.weekly_from_days() & ~requested).with_label("from_days_and_weeks")
