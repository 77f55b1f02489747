"""The week's sample: train, validation and test days by time, and of the train days' light queries those rather near a threshold.

A light query at distance d has the weight 1 below .5, and max_boost - (max_boost - min_multiplier) * min(d, 1) from there on,
min_multiplier at least. It is kept with probability p = min(1, k * weight), k such that the probabilities sum up to balance_ratio
times the heavy queries, all of which are kept. Multiplying by a base rate and filling up at random would make nine tenths of the
sample uniform. 1 / p is stored as the weight, capped and scaled so that its expected mean is 1: metrics weighed by it speak of the
queries as they come. Memory holds counts by weight, never rows. What does not belong here: labels (`labels`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine, Parameter
from platform_assets.query_predictor.configuration import BoundarySampling, Configuration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SQL = Path(__file__).parent / "sql"
CODE_VERSION = transform.code_version(
    Path(__file__), *(SQL / f"{name}.sql" for name in ("boundary_weights", "training_sample", "natural_sample"))
)
TRAIN_DAYS, VALIDATION_DAYS, TEST_DAYS = 30, 7, 7
WINDOW_DAYS = TRAIN_DAYS + VALIDATION_DAYS + TEST_DAYS
# Weights are counted in millionths.
UNIT = 1_000_000
# A probability as 13 hexadecimal digits: 52 bits, which a double holds exactly.
_DIGITS = 13
# Greater than every digit: p = 1 takes every hash.
_ALWAYS = "g"


class NothingToSample(ValueError):
    """The train days hold no heavy query, or none at all; the message names the remedy."""


@dataclass(frozen=True)
class Splits:
    """The days of a week's splits, in order."""

    train: tuple[date, ...]
    validation: tuple[date, ...]
    test: tuple[date, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """All of them."""
        return (*self.train, *self.validation, *self.test)


@dataclass(frozen=True)
class DayFiles:
    """The kept rows of one day, as `labels` wrote them."""

    light: Path
    heavy: Path


@dataclass(frozen=True)
class Inclusion:
    """For each weight that occurs, in units: how likely a query of it is kept, and what it then weighs."""

    k: float
    target: float
    units: NDArray[np.int64]
    queries: NDArray[np.int64]
    probability: NDArray[np.float64]
    weight: NDArray[np.float64]
    heavy_weight: float

    @property
    def expected(self) -> float:
        """Expected number of light queries kept."""
        return float((self.queries * self.probability).sum())

    @property
    def deviation(self) -> float:
        """Standard deviation of that number."""
        return float((self.queries * self.probability * (1 - self.probability)).sum() ** 0.5)


@dataclass(frozen=True)
class SampledWeek:
    """Files of a week's sample and what was counted: the content of sampling.json."""

    train: Path
    validation: Path
    test: Path
    report: dict[str, object]


def split_days(week: date) -> Splits:
    """30 train, 7 validation and 7 test days, up to the Sunday of the week that begins on the Monday `week`."""
    if week.weekday() != 0:
        raise ValueError(f"{week} is no Monday: a week is named by its first day")
    days = [week + timedelta(days=7 - WINDOW_DAYS + number) for number in range(WINDOW_DAYS)]
    middle = TRAIN_DAYS + VALIDATION_DAYS
    return Splits(tuple(days[:TRAIN_DAYS]), tuple(days[TRAIN_DAYS:middle]), tuple(days[middle:]))


def draw_sample(
    engine: Engine, days: Mapping[date, DayFiles], week: date, configuration: Configuration, folder: Path
) -> SampledWeek:
    """Write train.parquet, validation.parquet, test.parquet and sampling.json of a week into `folder`.

    `days` must hold every day of the week's window that the configuration's dates allow. Raises NothingToSample, and KeyError
    for a day that is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = split_days(week)
    held = {
        name: [days[day] for day in getattr(splits, name) if configuration.data_loading.holds(day)]
        for name in ("train", "validation", "test")
    }
    if empty := [name for name, files in held.items() if not files]:
        raise NothingToSample(f"start_date and end_date leave no day for {', '.join(empty)} of week {week}: widen them")
    report = _draw_train(engine, held["train"], configuration, folder)
    fraction = _fraction(configuration)
    for name in ("validation", "test"):
        engine.run(
            transform.load(SQL / "natural_sample.sql"),
            {"labelled_queries": [path for files in held[name] for path in (files.light, files.heavy)]},
            {"sample": folder / f"{name}.parquet"},
            fraction,
        )
    report |= {"week": week.isoformat(), "rows": _counts(engine, folder)}
    report["days"] = {name: [str(min(found)), str(max(found))] for name, found in asdict(splits).items()}
    (folder / "sampling.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    train, validation, test = (folder / f"{name}.parquet" for name in ("train", "validation", "test"))
    return SampledWeek(train, validation, test, report)


def boundary_weight(distance: float, options: BoundarySampling) -> float:
    """The weight of a light query at a distance: the formula that the .sql files hold, for people and tests."""
    if distance < 0.5:
        return 1.0
    fall = options.max_boost - options.min_multiplier
    return max(options.min_multiplier, options.max_boost - fall * min(distance, 1.0))


def solve_k(units: NDArray[np.int64], queries: NDArray[np.int64], target: float) -> float:
    """k with sum(queries * min(1, k * units / UNIT)) = target; where the target is out of reach, the least that keeps all.

    The sum grows with k in straight pieces that end where a weight reaches 1: with the heaviest m weights at 1, k is
    (target - their queries) / the other queries' weights. Sums are of whole numbers, and therefore exact.
    """
    import numpy as np

    order = np.argsort(-units, kind="stable")
    units, queries = units[order], queries[order]
    total = int(queries.sum())
    if total == 0 or target >= total:
        return UNIT / int(units[-1]) if total else 0.0
    capped = np.concatenate([[0], np.cumsum(queries)])[:-1]
    rest = np.cumsum((queries * units)[::-1])[::-1]
    k = (target - capped) / rest * UNIT
    # The first m for which the next weight is not yet at 1.
    return float(k[int(np.argmax(k * units <= UNIT))])


def inclusion(units: NDArray[np.int64], queries: NDArray[np.int64], heavy: int, options: BoundarySampling) -> Inclusion:
    """Probabilities and weights of the light queries, counted by weight, beside `heavy` heavy ones."""
    import numpy as np

    target = options.balance_ratio * heavy
    k = solve_k(units, queries, target)
    probability = np.minimum(1.0, k * (units / UNIT))
    if target >= queries.sum():
        probability = np.ones(len(units))
    inverse = np.minimum(1 / probability, options.weight_cap)
    # The mean over what is expected to be kept; heavy queries are kept for certain, and weigh 1 before scaling.
    scale = float((heavy + (queries * probability).sum()) / (heavy + (queries * probability * inverse).sum()))
    return Inclusion(k, target, units, queries, probability, inverse * scale, scale)


def hash_threshold(probability: float) -> str:
    """What a hash's digits must be below: a share `probability` of all hashes is."""
    number = ceil(probability * 16**_DIGITS)
    return _ALWAYS if number >= 16**_DIGITS else f"{number:0{_DIGITS}x}"


def _draw_train(
    engine: Engine, days: Sequence[DayFiles], configuration: Configuration, folder: Path
) -> dict[str, object]:
    options, fraction = configuration.boundary_sampling, _fraction(configuration)
    inputs = {"light_queries": [files.light for files in days], "heavy_queries": [files.heavy for files in days]}
    shape: dict[str, Parameter] = {"max_boost": options.max_boost, "min_multiplier": options.min_multiplier, **fraction}
    heavy = _count_heavy(engine, inputs["heavy_queries"], fraction)
    if not heavy:
        raise NothingToSample(
            f"the {len(days)} train days hold no heavy query: wait for more days, or lower cpu_threshold_seconds and "
            "memory_threshold_gb to what this cluster calls heavy"
        )
    counts, table = folder / "weight_counts.parquet", folder / "inclusion.parquet"
    engine.run(
        transform.load(SQL / "boundary_weights.sql"),
        {"light_queries": inputs["light_queries"]},
        {"weight_counts": counts},
        shape,
    )
    counted = pq.read_table(counts)
    found = inclusion(counted["units"].to_numpy(), counted["queries"].to_numpy(), heavy, options)
    _write_inclusion(found, table)
    engine.run(
        transform.load(SQL / "training_sample.sql"),
        {**inputs, "inclusion": [table]},
        {"train": folder / "train.parquet"},
        {**shape, "heavy_weight": found.heavy_weight},
    )
    for path in (counts, table):
        path.unlink()
    return {
        "k": found.k, "target": found.target, "balance_ratio": options.balance_ratio, "heavy": heavy,
        "light": int(found.queries.sum()), "expected_light": found.expected, "expected_light_deviation": found.deviation,
        "weight_scale": found.heavy_weight, "weight_cap": options.weight_cap, "seed": options.seed,
        "sample_fraction": configuration.sample_fraction,
    }  # fmt: skip


def _write_inclusion(found: Inclusion, target: Path) -> None:
    columns = {
        "units": pa.array(found.units, pa.int64()),
        "threshold": pa.array([hash_threshold(value) for value in found.probability.tolist()], pa.string()),
        "inclusion_probability": pa.array(found.probability, pa.float64()),
        "weight": pa.array(found.weight, pa.float64()),
    }
    pq.write_table(pa.table(columns), target)


def _fraction(configuration: Configuration) -> dict[str, Parameter]:
    return {
        "salt": f"{configuration.boundary_sampling.seed}:",
        "sample_all": configuration.sample_fraction >= 1,
        "fraction_threshold": hash_threshold(configuration.sample_fraction),
    }


def _count_heavy(engine: Engine, files: Sequence[Path], fraction: Mapping[str, Parameter]) -> int:
    sql = (
        "SELECT count(*) AS rows FROM heavy CROSS JOIN parameters AS p "
        "WHERE p.sample_all OR substring(md5(concat(p.salt, queryId)), 17, 13) < p.fraction_threshold"
    )
    return engine.rows(sql, {"heavy": files}, fraction)[0]["rows"]


def _counts(engine: Engine, folder: Path) -> dict[str, dict[str, int]]:
    sql = "SELECT count(*) FILTER (WHERE NOT is_heavy) AS light, count(*) FILTER (WHERE is_heavy) AS heavy FROM sample"
    names = ("train", "validation", "test")
    return {name: engine.rows(sql, {"sample": [folder / f"{name}.parquet"]})[0] for name in names}
