"""Whether published inputs of a tensor cache were made of one another: by what their manifests name.

Features are fitted at different times; a week that was corrected between two of them would give a cache whose tables tell of
different rows. Nothing is read here but manifests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from platform_assets.core.revision import Revision


def outdated(made: Revision, current: Iterable[Revision]) -> list[str]:
    """Inputs that `made` names and that are not among those current: published anew since, or of other weeks."""
    digests = {(each.address.asset, each.address.partition): each.digest for each in current}
    return [
        f"{each.asset} of {each.partition}"
        for each in made.lineage.inputs
        if digests.get((each.asset, each.partition)) != each.digest
    ]


def unread(made: Revision, weekly: Sequence[Revision], weeks: Iterable[str]) -> list[str]:
    """Weeks that `made` should have been made of, and names no weekly input of."""
    assets = {each.address.asset for each in weekly}
    named = {each.partition for each in made.lineage.inputs if each.asset in assets}
    return [week for week in weeks if week not in named]
