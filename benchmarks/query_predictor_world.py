"""Weeks of features from a query log, by the query predictor's own domain functions, day by day and without Dagster.

The log is generated at the documented thresholds, with what was planted beside it, or the shipped recording at its own. What is
trained on the weeks and how it does is `benchmarks.query_predictor_quality`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import BenchmarkError
from platform_assets.core.engine import Engine
from platform_assets.query_predictor import extraction, feature_sets, labels, sampling, sources, zero_cost
from platform_assets.query_predictor.configuration import from_mapping
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.labels import LabelledDay
from platform_assets.simulators.trino_cluster import SAMPLE, Scenario
from platform_assets.simulators.trino_cluster.costs import read_law
from platform_assets.simulators.trino_cluster.generator import Generator
from platform_assets.simulators.trino_cluster.scenario import DEFAULT_START, Recording, days_of
from platform_assets.simulators.trino_cluster.writers import PLANTED_FILE, write_log

ENGINE_MEMORY = "1GB"


@dataclass(frozen=True)
class Log:
    """Labelled days of one log. `planted` is the file with every query's planted chance to be heavy, for a generated one."""

    name: str
    folder: Path
    engine: Engine
    configuration: Configuration
    days: Mapping[date, LabelledDay]
    planted: Path | None = None

    @property
    def weeks(self) -> list[date]:
        """Mondays of the weeks whose 44 days are all there."""
        first, last = min(self.days), max(self.days)
        mondays = [day for day in sorted(self.days) if day.weekday() == 0]
        return [week for week in mondays if first <= sampling.split_days(week).days[0] and week + timedelta(6) <= last]


@dataclass(frozen=True)
class Week:
    """What the training of one week reads, and the labelled files that its features were built from."""

    log: Log
    week: date
    folder: Path
    labelled: list[Path]

    @property
    def features(self) -> Path:
        """The folder of features."""
        return self.folder / "features"

    @property
    def zero_cost(self) -> Path:
        """The document of the safe categories."""
        return self.folder / zero_cost.NAME

    def planted_chances(self) -> NDArray[np.float64] | None:
        """[R] of the test rows: how likely each was to be heavy, told from all that was planted but the noise; None: recorded."""
        if self.log.planted is None:
            return None
        table = pq.read_table(self.log.planted, columns=["query_id", "heavy_probability"])
        chance = dict(zip(table["query_id"].to_pylist(), table["heavy_probability"].to_pylist(), strict=True))
        asked = pq.read_table(self.features / "test_rows.parquet", columns=["queryId"])["queryId"].to_pylist()
        return np.array([chance[name] for name in asked])


def generated(folder: Path, rows: int, seed: int) -> Log:
    """A generated log of 63 days, extracted and labelled by the documented thresholds."""
    scenario = Scenario(rows, seed=seed)
    write_log(Generator(scenario, read_law(SAMPLE)), folder / "log", truth=folder / "truth")
    name = f"{rows:,} generated rows, seed {seed}"
    return _labelled(name, folder, str(folder / "log"), scenario, Configuration(), folder / "truth" / PLANTED_FILE)


def measured(folder: Path) -> Log:
    """The shipped recording; its thresholds are those that its README names."""
    thresholds = json.loads((SAMPLE / "thresholds.json").read_text(encoding="utf-8"))
    keys = ("cpu_threshold_seconds", "memory_threshold_gb")
    configuration = from_mapping({"data_loading": {key: thresholds[key] for key in keys}})
    source = str(SAMPLE / "queries.parquet")
    return _labelled("the measured log", folder, source, Recording(start=DEFAULT_START), configuration, None)


def build_week(log: Log, week: date) -> Week:
    """Sample, features and zero-cost categories of a week, as the assets make them."""
    folder, window, asked = log.folder / f"week_{week}", sampling.split_days(week).days, log.configuration
    files = {day: sampling.DayFiles(each.light, each.heavy) for day, each in log.days.items()}
    sampling.draw_sample(log.engine, files, week, asked, folder / "sample")
    first = window[0] - timedelta(asked.features.history_window_days)
    labelled = [path for day, each in files.items() if first <= day <= window[-1] for path in (each.light, each.heavy)]
    history = HistoryOptions(
        window_days=asked.features.history_window_days, resource_errors=asked.data_loading.heavy_errors
    )
    terms = asked.features.tfidf_vocab_size
    feature_sets.build(log.engine, week, folder / "sample", labelled, folder / "features", terms, history)
    found = Week(log, week, folder, labelled)
    found.zero_cost.write_text(_free(log, week).to_json(), encoding="utf-8")
    return found


def _free(log: Log, week: date) -> zero_cost.ZeroCostCategories:
    splits = sampling.split_days(week)
    days = {day: log.days[day] for day in splits.days}
    files = {day: zero_cost.LabelledFiles((each.light, each.heavy), each.dropped) for day, each in days.items()}
    return zero_cost.judge_week(log.engine, files, splits).categories


def _labelled(
    name: str, folder: Path, source: str, calendar: Scenario | Recording, configuration: Configuration, planted: Path | None
) -> Log:  # fmt: skip
    """Every day of the calendar, extracted and labelled; raises BenchmarkError where rows do not reconcile."""
    engine = Engine(_made(folder / "scratch"), ENGINE_MEMORY, 1)
    log, days = sources.open_source(source), {}
    for day in days_of(calendar):
        extracted = extraction.extract_day(log, engine, day, folder / "queries" / f"{day}")
        days[day] = labels.label_day(
            engine, extracted.queries, configuration.data_loading, folder / "labelled" / f"{day}"
        )
        for outcome in (extraction.rows_reconcile(extracted), labels.rows_reconcile(days[day])):
            if not outcome.passed:
                raise BenchmarkError(f"{name}, {day}: {outcome.reason}")
    return Log(name, folder, engine, configuration, days, planted)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
