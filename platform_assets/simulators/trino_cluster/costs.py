"""The law of costs: what CPU and memory follow from, fitted to a recording and planted in generated logs.

log cost = family + sum of coefficient x trait + noise, for CPU seconds and for peak memory. The fit is a ridge regression;
the noise is the spread between runs of one text in one schema. What does not belong here: drawing from it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.simulators.trino_cluster.layout import LOG_FILE
from platform_assets.simulators.trino_cluster.scenario import Recording, SimulatorError
from platform_assets.simulators.trino_cluster.writing import WHOLE_DAYS, Statement

COSTS_FILE = "costs.json"
TERMS = (
    "log_days", "log_size", "forgot", "joins", "thousands", "tenth", "every_row", "distinct", "likes", "log_days_x_tenth"
)  # fmt: skip
"""Coefficients of the law: the period against everything, the schema's size, a missing filter, cardinality of the grouping."""
_PENALTY = 1.0
_LEAST_SECONDS, _LEAST_BYTES = 0.0005, 65_536.0
_LEAST_NOISE = 0.05


@dataclass(frozen=True)
class Cost:
    """The law of one cost, in natural logarithms of seconds or bytes."""

    families: dict[str, float]
    terms: dict[str, float]
    noise: float
    """Standard deviation between runs of the same text."""
    unexplained: float
    """Standard deviation of what family and traits leave open in the recording, noise included."""

    def means(self, families: Sequence[str], terms: np.ndarray) -> np.ndarray:
        """(N,) expected log cost of N statements with (N, TERMS) traits; an unknown family costs what the middle one does."""
        middle = float(np.median(list(self.families.values())))
        base = np.array([self.families.get(name, middle) for name in families])
        return base + terms @ np.array([self.terms[name] for name in TERMS])


@dataclass(frozen=True)
class Law:
    """Both costs, and the recording's thresholds, at which a generated cost reaches 300 s and 10 GiB."""

    cpu: Cost
    memory: Cost
    cpu_threshold_seconds: float
    memory_threshold_gb: float


def term_rows(statements: Sequence[Statement], sizes: Sequence[float]) -> np.ndarray:
    """(N, TERMS) traits of statements, each run on `size` times the data of the large schema."""
    raw = [(t.days, t.forgot, t.joins, t.groups, t.distinct, t.likes) for t in (each.traits for each in statements)]
    days, forgot, joins, groups, distinct, likes = np.array(raw, float).reshape(-1, 6).T
    log_days = np.log(np.clip(days, 1, WHOLE_DAYS) / WHOLE_DAYS)
    log_size = np.log(np.asarray(sizes, float))
    works = np.array([is_work(each) for each in statements], bool)
    tenth = groups >= 2
    columns = (
        log_days,
        log_size,
        forgot,
        joins,
        groups == 1,
        tenth,
        groups == 3,
        distinct > 0,
        likes > 0,
        log_days * tenth,
    )
    return np.stack(columns, axis=1) * works[:, None]


def is_work(statement: Statement) -> bool:
    """Whether it reads data at all: what does not costs the same everywhere."""
    return (statement.query_type in ("SELECT", "INSERT") and statement.family not in _IDLE) or (
        statement.family.startswith("analysed")
    )  # fmt: skip


_IDLE = ("constant", "information_schema", "metadata", "mistaken", "explain", "peek")


def fit_recording(folder: Path) -> Law:
    """Fit the law to the recording in `folder` and write it there; the plan is drawn again to know each text's traits."""
    from platform_assets.simulators.trino_cluster.recorder import plan

    told = json.loads((folder / "recording.json").read_text(encoding="utf-8"))["scenario"]
    recording = Recording(**told | {"start": date.fromisoformat(told["start"])})
    log, planned = pq.read_table(folder / LOG_FILE), list(plan(recording))
    if [each.identifier for each in planned] != log["query_id"].to_pylist():
        raise SimulatorError(f"{folder} was recorded by another version of the plan; record it again")
    limits = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
    sizes = [each.arrival.estate.size for each in planned]
    law = fit([each.arrival.statement for each in planned], sizes, log, limits)
    (folder / COSTS_FILE).write_text(json.dumps(asdict(law), indent=1) + "\n", encoding="utf-8")
    return law


def fit(statements: Sequence[Statement], sizes: Sequence[float], log: pa.Table, limits: dict[str, Any]) -> Law:
    """The law of a log; queries that their sender cancelled say nothing and are left out."""
    kept = np.array([code != "USER_CANCELED" for code in log["error_code"].to_pylist()])
    chosen = [statement for statement, keep in zip(statements, kept, strict=True) if keep]
    terms = term_rows(statements, sizes)[kept]
    cpu = np.log(np.maximum(np.asarray(log["cpu_time_millis"])[kept] / 1_000, _LEAST_SECONDS))
    memory = np.log(np.maximum(np.asarray(log["peak_memory_bytes"])[kept], _LEAST_BYTES))
    repeats = _repeats(statements, sizes, kept)
    return Law(
        _fit_one(chosen, terms, cpu, repeats), _fit_one(chosen, terms, memory, repeats),
        limits["cpu_threshold_seconds"], limits["memory_threshold_gb"],
    )  # fmt: skip


def _repeats(statements: Sequence[Statement], sizes: Sequence[float], kept: np.ndarray) -> list[list[int]]:
    """Positions, among the kept rows, of runs of one text of real work on the same data."""
    runs: dict[tuple[str, float], list[int]] = defaultdict(list)
    places = np.cumsum(kept) - 1
    for position in np.flatnonzero(kept).tolist():
        if is_work(statements[position]):
            runs[statements[position].text, sizes[position]].append(int(places[position]))
    return [run for run in runs.values() if len(run) > 1]


def _fit_one(statements: Sequence[Statement], terms: np.ndarray, cost: np.ndarray, repeats: list[list[int]]) -> Cost:
    names = sorted({each.family for each in statements})
    place = {name: number for number, name in enumerate(names)}
    member = np.zeros((len(statements), len(names)))
    member[np.arange(len(statements)), [place[each.family] for each in statements]] = 1
    design = np.concatenate([member, terms], axis=1)
    centre = float(cost.mean())
    grams = design.T @ design + _PENALTY * np.eye(design.shape[1])
    found = np.linalg.solve(grams, design.T @ (cost - centre))
    left = cost - centre - design @ found
    works = terms.any(axis=1)
    within = [cost[run] - cost[run].mean() for run in repeats]
    freedom = sum(len(run) - 1 for run in repeats)
    spread = math.sqrt(sum(float(each @ each) for each in within) / freedom) if freedom else _LEAST_NOISE
    return Cost(
        {name: round(centre + float(found[number]), 4) for name, number in place.items()},
        {name: round(float(value), 4) for name, value in zip(TERMS, found[len(names) :], strict=True)},
        round(max(spread, _LEAST_NOISE), 4),
        round(float(left[works].std()), 4),
    )


def read_law(folder: Path) -> Law:
    """The law of a recording; raises SimulatorError where there is none."""
    path = folder / COSTS_FILE
    if not path.exists():
        raise SimulatorError(f"{folder} holds no {COSTS_FILE}; name a folder that `record` wrote")
    told = json.loads(path.read_text(encoding="utf-8"))
    return Law(**told | {"cpu": Cost(**told["cpu"]), "memory": Cost(**told["memory"])})
