"""The week's sample: train, validation and test days by time, and of the train days' light queries those rather near a threshold.

Validation and test days stay as they were. Of the train days every heavy query is kept, and each light one with the probability that
its distance gives it (`inclusion`). Memory holds counts by weight, and as many rows as are sorted at once: a day, or some small ones.
What does not belong here: labels (`labels`), probabilities and weights (`inclusion`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import COMPRESSION_LEVEL, ROW_GROUP_ROWS, Engine, Parameter
from platform_assets.query_predictor import inclusion
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.inclusion import Inclusion, hash_threshold

SQL = Path(__file__).parent / "sql"
CODE_VERSION = transform.code_version(
    Path(__file__),
    Path(inclusion.__file__),
    *(SQL / f"{name}.sql" for name in ("boundary_weights", "training_sample", "natural_sample")),
)
TRAIN_DAYS, VALIDATION_DAYS, TEST_DAYS = 30, 7, 7
WINDOW_DAYS = TRAIN_DAYS + VALIDATION_DAYS + TEST_DAYS
# Drawn and sorted together, about 600 bytes each: the engine holds what it sorts.
ROWS_AT_ONCE = 1_000_000


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
    for name in ("validation", "test"):
        draw = _Draw(engine, "natural_sample", "sample", _fraction(configuration))
        draw.write(
            held[name], lambda files: {"labelled_queries": [*_light(files), *_heavy(files)]}, folder / f"{name}.parquet"
        )
    report |= {"week": week.isoformat(), "rows": _counts(engine, folder)}
    report["days"] = {name: [str(min(found)), str(max(found))] for name, found in asdict(splits).items()}
    (folder / "sampling.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    train, validation, test = (folder / f"{name}.parquet" for name in ("train", "validation", "test"))
    return SampledWeek(train, validation, test, report)


def _draw_train(
    engine: Engine, days: Sequence[DayFiles], configuration: Configuration, folder: Path
) -> dict[str, object]:
    options, fraction = configuration.boundary_sampling, _fraction(configuration)
    shape: dict[str, Parameter] = {"max_boost": options.max_boost, "min_multiplier": options.min_multiplier, **fraction}
    heavy = _count_heavy(engine, _heavy(days), fraction)
    if not heavy:
        raise NothingToSample(
            f"the {len(days)} train days hold no heavy query: wait for more days, or lower cpu_threshold_seconds and "
            "memory_threshold_gb to what this cluster calls heavy"
        )
    counts, table = folder / "weight_counts.parquet", folder / "inclusion.parquet"
    engine.run(
        transform.load(SQL / "boundary_weights.sql"),
        {"light_queries": _light(days)},
        {"weight_counts": counts},
        shape,
    )
    counted = pq.read_table(counts)
    found = inclusion.of(counted["units"].to_numpy(), counted["queries"].to_numpy(), heavy, options)
    _write_inclusion(found, table)
    draw = _Draw(engine, "training_sample", "train", {**shape, "heavy_weight": found.heavy_weight})
    draw.write(
        days,
        lambda files: {"light_queries": _light(files), "heavy_queries": _heavy(files), "inclusion": [table]},
        folder / "train.parquet",
    )
    for path in (counts, table):
        path.unlink()
    return {
        "k": found.k, "target": found.target, "balance_ratio": options.balance_ratio, "heavy": heavy,
        "light": int(found.queries.sum()), "expected_light": found.expected, "expected_light_deviation": found.deviation,
        "weight_scale": found.heavy_weight, "weight_cap": options.weight_cap, "seed": options.seed,
        "sample_fraction": configuration.sample_fraction,
    }  # fmt: skip


def _light(days: Sequence[DayFiles]) -> list[Path]:
    return [files.light for files in days]


def _heavy(days: Sequence[DayFiles]) -> list[Path]:
    return [files.heavy for files in days]


@dataclass(frozen=True)
class _Draw:
    """A transform whose rows are in the order of their times, run on some days after the others."""

    engine: Engine
    name: str
    table: str
    parameters: Mapping[str, Parameter]

    def write(
        self,
        days: Sequence[DayFiles],
        inputs: Callable[[Sequence[DayFiles]], Mapping[str, Sequence[Path]]],
        target: Path,
    ) -> None:
        """One file, as if all days had been sorted together: a query belongs to the day of its creation."""
        parts = []
        for group in _groups(days):
            parts.append(target.with_name(f"{target.stem}_{len(parts)}.parquet"))
            self.engine.run(
                transform.load(SQL / f"{self.name}.sql"), inputs(group), {self.table: parts[-1]}, self.parameters
            )
        _join(parts, target)


def _groups(days: Sequence[DayFiles]) -> Iterator[list[DayFiles]]:
    """Days that together hold ROWS_AT_ONCE rows at most, or one."""
    group, rows = list[DayFiles](), 0
    for files in days:
        found = sum(pq.read_metadata(path).num_rows for path in (files.light, files.heavy))
        if group and rows + found > ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(files)
        rows += found
    yield group


def _join(parts: Sequence[Path], target: Path) -> None:
    if len(parts) == 1:
        parts[0].replace(target)
        return
    _require_in_order(parts)
    with pq.ParquetWriter(
        target, pq.read_schema(parts[0]), compression="zstd", compression_level=COMPRESSION_LEVEL
    ) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(ROW_GROUP_ROWS):
                    writer.write_batch(batch)
            part.unlink()


def _require_in_order(parts: Sequence[Path]) -> None:
    """Raises ValueError where a part begins before the one before it ends: a day's file held queries of another day."""
    latest = None
    for part in parts:
        times = pc.call_function("min_max", [pq.read_table(part, columns=["createTime"])["createTime"]]).as_py()
        if latest and times["min"] and times["min"] < latest:
            raise ValueError(
                f"queries of {times['min']} come after those of {latest}: a labelled day holds queries of another one"
            )
        latest = times["max"] or latest


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
