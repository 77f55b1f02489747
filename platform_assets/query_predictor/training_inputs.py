"""What a training's options point to: a week's features and its zero-cost categories, pinned by their digests.

What does not belong here: what the files of features are (`split_features`), training.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.digest import sha256_of
from platform_assets.core.folders import folder_digest, local_file, local_folder
from platform_assets.query_predictor import classifier, zero_cost
from platform_assets.query_predictor.split_features import SplitFeatures, WeekFeatures, read_week
from platform_assets.query_predictor.training_options import NOT_OF_THE_RESULT, TrainingOptions, fingerprint
from platform_assets.query_predictor.zero_cost import ZeroCostCategories
from platform_assets.training.errors import TrainingError
from platform_assets.training.work_folder import WorkFolder

# By the names that every training's parameters have; the others are called as they are.
_DOCUMENTED = {"n_estimators": "epochs"}


@dataclass(frozen=True)
class Inputs:
    """What the options point to."""

    options: TrainingOptions
    week: WeekFeatures
    zero_cost: ZeroCostCategories
    features_digest: str
    zero_cost_digest: str

    @property
    def fingerprint(self) -> str:
        """Of this training."""
        return fingerprint(self.options, self.features_digest, self.zero_cost_digest)

    @cached_property
    def train(self) -> SplitFeatures:
        """The sampled train days: what of them reaches the model."""
        return self.week.splits["train"].part(self.reaches("train"))

    @cached_property
    def validation(self) -> SplitFeatures:
        """The days that early stopping and the threshold look at: what of them reaches the model.

        What the zero-cost stage lets by is missed at any threshold, and must not move it.
        """
        return self.week.splits["validation"].part(self.reaches("validation"))

    @property
    def test(self) -> SplitFeatures:
        """The days that nothing is chosen on: all of them, as the zero-cost stage is judged too."""
        return self.week.splits["test"]

    @property
    def dropped_test_heavy(self) -> int:
        """Heavy queries of the test days, which are the week's own, that safe categories let by and that are no row of the features."""
        days = (self.week.week + timedelta(days=number) for number in range(7))
        return self.zero_cost.dropped_heavy_on(days, self.zero_cost.safe)

    def reaches(self, name: str) -> NDArray[np.bool_]:
        """[R] which rows of a split reach the model: those of no safe category."""
        return ~self.week.splits[name].is_of(self.zero_cost.safe)

    def sizes(self) -> Mapping[str, int]:
        """Split -> its rows."""
        return {name: len(split) for name, split in self.week.splits.items()}

    def parameters(self) -> dict[str, Any]:
        """What the tracking server is told: every option that decides something, and what the features are."""
        given = {name: value for name, value in vars(self.options).items() if name not in NOT_OF_THE_RESULT}
        return {
            **{_DOCUMENTED.get(name, name): value for name, value in given.items()},
            "model_base": "none", "fine_tuning_method": "full", "algorithm": "xgboost",
            # Every tree looks at all of them.
            "batch_size": len(self.train),
            "dataset_version": self.week.week.isoformat(), "dataset_digest": self.features_digest,
            "features": self.train.columns, "zero_cost_categories": ",".join(sorted(self.zero_cost.safe)),
            **{f"rows_{name}": size for name, size in self.sizes().items()},
        }  # fmt: skip


def read_inputs(options: TrainingOptions, work: WorkFolder) -> Inputs:
    """Open what options point to.

    Raises FeaturesError, or TrainingError for categories that cannot be read, splits without what training needs, and features
    that do not fit into the memory that was allowed.
    """
    # Links that an earlier training left may name another revision.
    shutil.rmtree(work.path / "features", ignore_errors=True)
    folder = local_folder(options.features, work.path / "features")
    file = local_file(options.zero_cost, zero_cost.NAME)
    try:
        free = ZeroCostCategories.from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read ({error}): name the categories of the same week") from None
    week = read_week(folder)
    found = Inputs(options, week, free, folder_digest(folder), sha256_of(file))
    for split in (found.train, found.validation):
        _require_both(split)
    if (templates := len(np.unique(found.train.template))) < options.cv_folds:
        raise TrainingError(
            f"{templates} templates cannot make --cv_folds {options.cv_folds}: lower it, or give 0 for none"
        )
    rows = len(found.train) + len(found.validation)
    classifier.require_memory(rows, found.train.columns, options.memory_gb)
    return found


def _require_both(split: SplitFeatures) -> None:
    heavy = int(split.is_heavy.sum())
    if not 0 < heavy < len(split):
        raise TrainingError(
            f"of the {len(split):,} {split.name} rows {heavy:,} are heavy, and training needs some of both kinds: name the "
            "features of another week, or change cpu_threshold_seconds and memory_threshold_gb"
        )
