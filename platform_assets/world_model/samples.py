"""The documented sample index of a split: {train,validation,test}_samples.parquet, one row per basket.

A customer's prior baskets are counted here and not with the weekly baskets: running counts beside each week would chain all
weeks to one another, and a week that is corrected late would have to repeat every later one. Here they are one pass over the
keys of the weeks that the split knows. A customer's first basket is the first in those weeks: what lies before the calendar's
start is unknown. Of an anonymous basket the first-time flags and days_since_previous are null and history_length is 0.
seg_1 and seg_2 are the basket's own; of the older release its price sensitivity and life stage of the customer stand for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome, unique
from platform_assets.world_model.extraction import SQL
from platform_assets.world_model.splits import TEST, TRAIN, VALIDATION, Split

CODE_VERSION = transform.code_version(SQL / "samples.sql")
PARTS = (TRAIN, VALIDATION, TEST)
# The last length bucket holds baskets longer than the longest sequence.
BUCKET_EDGES = (10, 20, 35, 50)


def file_name(part: str) -> str:
    """The documented name of a part's file."""
    return f"{part}_samples.parquet"


def build_samples(engine: Engine, baskets: Mapping[str, Path], split: Split, folder: Path) -> dict[str, Path]:
    """The index of each part, ordered by date, hour and basket. `baskets` has a file for every week of the split.

    Raises ValueError naming the weeks without one: a split with a hole would count histories wrongly.
    """
    if missing := [week for week in split.weeks if week not in baskets]:
        raise ValueError(f"no baskets of {', '.join(missing)}: a split needs every week; publish them first")
    paths = {part: folder / file_name(part) for part in PARTS}
    outputs = {f"{part}_samples": path for part, path in paths.items()}
    engine.run(
        transform.load(SQL / "samples.sql"),
        {"baskets": [baskets[week] for week in split.weeks]},
        {"samples": folder / "samples.parquet", **outputs},
        {
            "first_day": date.fromisoformat(split.weeks[0]),
            "validation_start": date.fromisoformat(split.validation[0]),
            "test_start": date.fromisoformat(split.test[0]),
        },
    )
    return paths


def one_split_per_basket(engine: Engine, samples: Mapping[str, Path]) -> Outcome:
    """No basket is in two parts of the split, nor twice in one."""
    return unique(engine, "one_split_per_basket", list(samples.values()), "basket_id")


def samples_reconcile(
    engine: Engine, samples: Mapping[str, Path], baskets: Mapping[str, Path], split: Split
) -> Outcome:
    """Each part has as many rows as its weeks have baskets."""
    counts = {}
    for part, weeks in ((TRAIN, split.train), (VALIDATION, split.validation), (TEST, split.test)):
        counts[part] = engine.rows(
            "SELECT (SELECT count(*) FROM samples) AS samples, (SELECT count(*) FROM baskets) AS baskets",
            {"samples": [samples[part]], "baskets": [baskets[week] for week in weeks]},
        )[0]
    reason = ", ".join(f"{part}: {found['samples']} of {found['baskets']} baskets" for part, found in counts.items())
    passed = all(found["samples"] == found["baskets"] for found in counts.values())
    return Outcome("samples_reconcile", passed, reason)
