"""The features that the newest model of an earlier week was trained on, and how far a week's new rows have moved from them.

What does not belong here: the distances (`feature_drift`), who acts on them (the retraining sensor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core.lake import Address, Lake, Revision
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import feature_drift, features_document
from platform_assets.query_predictor.features_document import ASSET, FeaturesError
from platform_assets.query_predictor.split_features import TERMS, SplitFeatures, read_split

MODEL_ASSET = "query_predictor/model"
Sound = Callable[[Revision], bool]


@dataclass(frozen=True)
class Compared:
    """What came of it: the check, what the lineage keeps, and a picture where there was something to compare."""

    outcome: Outcome
    document: dict[str, Any]
    picture: bytes | None = None


def newest_trained(lake: Lake, weeks: Iterable[str], is_sound: Sound) -> tuple[str, Revision] | None:
    """Of the weeks, newest first, the first that has a sound model, and the features that this was trained on."""
    for week in weeks:
        model = lake.current(Address(MODEL_ASSET, week))
        if model is not None and is_sound(model):
            read = next(each for each in model.lineage.inputs if each.asset == ASSET)
            return week, lake.revision(Address(read.asset, read.partition), read.digest)
    return None


def compare(lake: Lake, weeks: Iterable[str], test: SplitFeatures, scratch: Path, is_sound: Sound) -> Compared:
    """A week's test split, its newest days, beside the train split of the newest model of `weeks`.

    `is_sound` tells of a model's revision whether its checks passed: one that failed neither serves nor is compared with.
    """
    found = newest_trained(lake, weeks, is_sound)
    if found is None:
        return _nothing("no earlier week has a model that passed its checks: nothing to compare with")
    week, revision = found
    try:
        reference = fetch_split(lake, revision, "train", scratch)
    except FeaturesError as error:
        # Of a release with other features, say. Its model is not served with these either: a new one is trained at once.
        return _nothing(f"the features that the model of {week} was trained on cannot be compared: {error}", week)
    drift = feature_drift.compare(reference, [test])
    outcome, document = feature_drift.judge(drift), {**drift.document(), "against": week}
    if not drift.distances:
        return Compared(outcome, document)
    title = f"features of the newest days beside those that the model of {week} was trained on"
    return Compared(outcome, document, feature_drift.plot(drift, title))


def fetch_split(lake: Lake, revision: Revision, name: str, scratch: Path) -> SplitFeatures:
    """One split of published features; no other is fetched. Raises FeaturesError."""
    scratch.mkdir(parents=True, exist_ok=True)
    for file in revision.data_files:
        if file.name in (TERMS, features_document.NAME) or file.name.startswith((f"{name}.", f"{name}_")):
            target = scratch / file.name
            target.unlink(missing_ok=True)
            target.symlink_to(lake.fetch(revision, file.name, scratch / "fetched").absolute())
    return read_split(scratch, name)


def _nothing(reason: str, week: str | None = None) -> Compared:
    """Urgent, for people, where there is a model and nothing is known of how far the week is from it."""
    urgent = reason if week else ""
    document = {"against": week, "beyond": [], "is_beyond_limit": False, "reason": reason, "urgent": urgent}
    return Compared(Outcome(feature_drift.NAME, week is None, reason, {}, True), document)
