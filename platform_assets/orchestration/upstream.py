"""What assets read of other assets: the revisions of their partitions, found by address.

What does not belong here: where an asset's partitions lie and which of them a partition reads; each pipeline says that.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from platform_assets.core.lake import Address, Lake, Revision
from platform_assets.core.settings import Settings

# One training or replay at a time, of whatever pipeline (dagster.yaml): each takes all the cores or the accelerator that there
# are. With one slot it also keeps two of them from publishing the same week to a lake that needs `writer_pool`, without
# holding that for hours.
TRAINING_POOL = "training"


def writer_pool(settings: Settings) -> str | None:
    """The pool (one slot, see dagster.yaml) of what publishes to a lake that cannot compare-and-swap."""
    return "lake_single_writer" if settings.lake_single_writer else None


def published(lake: Lake, addresses: Iterable[Address]) -> dict[str, Revision]:
    """Partition -> its current revision, in order; those that are not published are absent."""
    found = {address.partition: lake.current(address) for address in addresses}
    return {partition: revision for partition, revision in found.items() if revision is not None}


def require(lake: Lake, addresses: Iterable[Address], purpose: str) -> dict[str, Revision]:
    """As `published`, but raises dg.Failure naming the partitions that are missing: nothing is built on an incomplete window."""
    addresses = list(addresses)
    found = published(lake, addresses)
    if missing := [each for each in addresses if each.partition not in found]:
        raise dg.Failure(
            f"{purpose} needs {missing[0].asset} of {', '.join(each.partition for each in missing)}, which was not "
            "published. Materialise it first.",
            allow_retries=False,
        )
    return found
