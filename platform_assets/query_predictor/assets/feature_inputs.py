"""What a week's features are made of: which revisions, that they are of one another, and their files on this machine.

What does not belong here: making features (`query_predictor.feature_sets`), the asset itself (`features`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core.settings import Settings
from platform_assets.query_predictor.assets import common
from platform_assets.query_predictor.assets.common import TRAINING_SAMPLE, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.assets.labelled_queries import CHECKS as LABELLED_CHECKS
from platform_assets.query_predictor.assets.training_sample import CHECKS as SAMPLE_CHECKS
from platform_assets.query_predictor.assets.weekly import Week
from platform_assets.query_predictor.assets.zero_cost_categories import CHECKS as CATEGORIES_CHECKS
from platform_assets.query_predictor.documented_keys import Configuration

if TYPE_CHECKING:
    from platform_assets.core.lake import Revision
    from platform_assets.query_predictor.history import HistoryOptions


@dataclass(frozen=True)
class FeatureInputs:
    """The revisions that features are made of, fetched."""

    sample: "Revision"
    labelled: "Mapping[date, Revision]"
    sample_folder: Path
    labelled_files: Sequence[Path]

    @property
    def revisions(self) -> "tuple[Revision, ...]":
        return (self.sample, *self.labelled.values())


def read_inputs(settings: Settings, week: Week) -> FeatureInputs:
    """What is published, checked, and made of the same days. Raises dg.Failure naming what is to be materialised (again)."""
    from platform_assets.core.folders import fetch_folder
    from platform_assets.query_predictor import labels, sampling

    lake, window = week.lake, sampling.split_days(week.monday).days
    first = window[0] - timedelta(days=week.configured.features.history_window_days)
    known = [first + timedelta(days=number) for number in range((window[-1] - first).days + 1)]
    days = [day for day in known if day >= settings.trino_start]
    labelled = common.require_labelled(lake, days, LABELLED_CHECKS, week.configured, week.purpose)
    sample = common.require(lake, TRAINING_SAMPLE, week.key, SAMPLE_CHECKS, week.purpose)
    categories = common.require(lake, ZERO_COST_CATEGORIES, week.key, CATEGORIES_CHECKS, week.purpose)
    inputs = [revision.as_input() for revision in labelled.values()]
    for made in (sample, categories):
        common.require_made_of(made, inputs, week.purpose)
    scratch = week.folder / "fetched"
    files = [common.fetch_days(lake, labelled, str(name), scratch) for name in (labels.LIGHT, labels.HEAVY)]
    folder = fetch_folder(lake, sample, week.folder / "sample")
    return FeatureInputs(sample, labelled, folder, [path for found in files for path in found.values()])


def history_options(configured: Configuration) -> "HistoryOptions":
    """What counts as history under the documented keys."""
    from platform_assets.query_predictor.history import HistoryOptions

    return HistoryOptions(
        window_days=configured.features.history_window_days, resource_errors=configured.data_loading.heavy_errors
    )
