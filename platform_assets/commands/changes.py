"""What of a demo's published partitions a run made, changed, or left as it was: by their digests, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from platform_assets.core.lake import Address, Lake


def published(lake: Lake, addresses: Iterable[Address]) -> dict[str, str]:
    """Partition -> digest of those that are there."""
    found = ((address, lake.current(address)) for address in addresses)
    return {f"{address.asset} of {address.partition}": revision.digest for address, revision in found if revision}


def told_of(pipeline: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """One line: what of the published partitions is new, and what has become other than it was."""
    changed = [name for name in after if name in before and after[name] != before[name]]
    new = len(after) - sum(name in before for name in after)
    if not (changed or new):
        return f"nothing changed: all {len(after)} partitions of {pipeline} have the digests that they had"
    others = f"; {len(changed)} have another digest: {', '.join(changed[:3])}" if changed else ""
    return f"{new} partitions of {pipeline} are new, {len(after) - new - len(changed)} as they were{others}"
