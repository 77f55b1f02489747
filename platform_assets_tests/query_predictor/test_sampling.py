"""The week's sample: the split by time, probabilities that sum up to the target, and a draw that depends on the id alone."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import configuration, sampling
from platform_assets.query_predictor.configuration import BoundarySampling
from platform_assets.query_predictor.query_rows import QUERIES
from platform_assets.query_predictor.sampling import UNIT, DayFiles
from platform_assets_tests.query_predictor.query_samples import typed_query

WEEK = date(2026, 3, 2)
LABELLED = pa.schema(
    [*QUERIES, ("is_heavy", pa.bool_()), ("heavy_reason", pa.string()), ("boundary_distance", pa.float64()),
     ("template", pa.string()), ("category", pa.string())]
)  # fmt: skip
DISTANCES = st.floats(0, 1e6) | st.sampled_from([0.0, 0.4999999, 0.5, 0.75, 0.999, 1.0])
COUNTED = st.dictionaries(st.integers(1, 2 * UNIT), st.integers(1, 10**7), min_size=1, max_size=50)


def test_a_weeks_window_ends_on_its_sunday_and_splits_by_time() -> None:
    found = sampling.split_days(WEEK)
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 7, 7)
    assert found.test[-1] == WEEK + timedelta(days=6)
    assert found.test[0] == WEEK
    assert list(found.days) == [found.days[0] + timedelta(days=number) for number in range(44)]
    with pytest.raises(ValueError, match="no Monday"):
        sampling.split_days(WEEK + timedelta(days=1))


def kept_by(k: float, counted: dict[int, int]) -> float:
    return sum(queries * min(1.0, k * units / UNIT) for units, queries in counted.items())


@settings(deadline=None)
@given(COUNTED, st.floats(0.0001, 1.2))
def test_k_makes_the_probabilities_sum_up_to_the_target(counted: dict[int, int], share: float) -> None:
    units, queries = (np.array(values, np.int64) for values in (list(counted), list(counted.values())))
    total = int(queries.sum())
    k = sampling.solve_k(units, queries, share * total)
    assert kept_by(k, counted) == pytest.approx(min(share, 1) * total, rel=1e-9)
    low, high = 0.0, 2.0 * UNIT  # the slow way: halve until nothing is left between
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if kept_by(middle, counted) < min(share, 1) * total else (low, middle)
    assert kept_by(high, counted) == pytest.approx(kept_by(k, counted), rel=1e-9)
    order = np.random.default_rng(0).permutation(len(units))
    assert sampling.solve_k(units[order], queries[order], share * total) == k


@settings(deadline=None)
@given(COUNTED, st.integers(1, 10**6), st.floats(1, 1000), st.floats(0.1, 20))
def test_weights_speak_of_the_queries_as_they_come(
    counted: dict[int, int], heavy: int, cap: float, ratio: float
) -> None:
    units, queries = (np.array(values, np.int64) for values in (list(counted), list(counted.values())))
    found = sampling.inclusion(units, queries, heavy, BoundarySampling(balance_ratio=ratio, weight_cap=cap))
    assert ((found.probability > 0) & (found.probability <= 1)).all()
    assert found.expected == pytest.approx(min(ratio * heavy, queries.sum()), rel=1e-9)
    expected_weight = heavy * found.heavy_weight + (queries * found.probability * found.weight).sum()
    assert expected_weight == pytest.approx(heavy + found.expected, rel=1e-9)
    ratios = found.weight / found.heavy_weight
    assert ratios == pytest.approx(np.minimum(1 / found.probability, cap))
    if cap >= (1 / found.probability).max():
        assert (queries * found.probability * ratios).sum() == pytest.approx(queries.sum(), rel=1e-9)


def test_the_documented_weights() -> None:
    options = BoundarySampling()
    found = {distance: sampling.boundary_weight(distance, options) for distance in (0, 0.49, 0.5, 0.75, 0.9, 1, 50)}
    assert found == pytest.approx({0: 1, 0.49: 1, 0.5: 1.025, 0.75: 0.5375, 0.9: 0.245, 1: 0.05, 50: 0.05})


@given(st.floats(0, 1))
def test_a_threshold_takes_its_share_of_all_hashes(probability: float) -> None:
    threshold = sampling.hash_threshold(probability)
    share = 1.0 if threshold == "g" else int(threshold, 16) / 16**13
    assert share == pytest.approx(probability, abs=16**-13)
    assert (threshold > "f" * 13) == (probability == 1 or share == 1)


def hashed_share(text: str) -> float:
    """The draw of an id, read as a number."""
    return int(md5(text.encode()).hexdigest()[:13], 16) / 16**13


def labelled(number: int, day: date, chance: random.Random) -> dict[str, Any]:
    heavy = chance.random() < 0.05
    row = typed_query(number)
    distance = chance.choice([0.1, 0.3, 0.5, 0.6, 0.8, 0.97, 1.0, chance.random(), 12.0])
    return {**row, "queryId": f"{day:%Y%m%d}_{number:06d}", "is_heavy": heavy, "heavy_reason": "cpu" if heavy else None,
            "boundary_distance": distance, "template": "0" * 32, "category": "select"}  # fmt: skip


def write_days(folder: Path, rows_a_day: int, row_group: int) -> tuple[dict[date, DayFiles], dict[str, dict[str, Any]]]:
    chance, days, rows = random.Random(3), {}, {}
    for day in sampling.split_days(WEEK).days:
        found = [labelled(number, day, chance) for number in range(rows_a_day)]
        rows |= {row["queryId"]: row for row in found}
        paths = [folder / f"{day}" / f"is_heavy={name}" / "rows.parquet" for name in ("false", "true")]
        for path, heavy in zip(paths, (False, True), strict=True):
            path.parent.mkdir(parents=True)
            table = pa.Table.from_pylist([row for row in found if row["is_heavy"] is heavy], schema=LABELLED)
            pq.write_table(table, path, row_group_size=row_group)
        days[day] = DayFiles(*paths)
    return days, rows


def draw(
    folder: Path, days: dict[date, DayFiles], threads: int = 1, **keys: Any
) -> tuple[sampling.SampledWeek, dict[str, pa.Table]]:
    configured = configuration.from_mapping(keys)
    found = sampling.draw_sample(Engine(folder, threads=threads), days, WEEK, configured, folder / "out")
    return found, {name: pq.read_table(folder / "out" / f"{name}.parquet") for name in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[date, DayFiles], dict[str, dict[str, Any]]]:
    return write_days(tmp_path_factory.mktemp("log"), 120, 50)


def test_the_draw_is_each_ids_own_and_sums_up_to_the_target(tmp_path: Path, log: Any) -> None:
    days, rows = log
    week, tables = draw(tmp_path, days, boundary_sampling={"balance_ratio": 4.0})
    train = {
        name for name, row in rows.items() if row["queryId"][:8] <= f"{sampling.split_days(WEEK).train[-1]:%Y%m%d}"
    }
    weights = {
        name: round(UNIT * sampling.boundary_weight(rows[name]["boundary_distance"], BoundarySampling()))
        for name in train
    }
    report = json.loads((tmp_path / "out" / "sampling.json").read_text())
    probabilities = {
        name: 1.0 if rows[name]["is_heavy"] else min(1.0, report["k"] * weights[name] / UNIT) for name in train
    }
    heavy = sum(rows[name]["is_heavy"] for name in train)
    assert sum(p for name, p in probabilities.items() if not rows[name]["is_heavy"]) == pytest.approx(4.0 * heavy)
    expected = {name for name in train if hashed_share(f"0:{name}") < probabilities[name]}
    found = tables["train"].to_pylist()
    assert {row["queryId"] for row in found} == expected
    assert {row["queryId"]: row["inclusion_probability"] for row in found} == pytest.approx(
        {n: probabilities[n] for n in expected}
    )
    for row in found:
        assert row["weight"] == pytest.approx(report["weight_scale"] * min(1 / probabilities[row["queryId"]], 100))
    assert abs(report["rows"]["train"]["light"] - 4 * heavy) < 4 * report["expected_light_deviation"]
    assert report["rows"]["train"]["heavy"] == heavy == report["heavy"]
    assert week.report == report


def test_validation_and_test_days_stay_as_they_were(tmp_path: Path, log: Any) -> None:
    days, rows = log
    _, tables = draw(tmp_path, days)
    splits = sampling.split_days(WEEK)
    for name, held in (("validation", splits.validation), ("test", splits.test)):
        expected = {key for key in rows if key[:8] in {f"{day:%Y%m%d}" for day in held}}
        assert set(tables[name]["queryId"].to_pylist()) == expected
        assert set(tables[name]["weight"].to_pylist()) == {1.0}
        assert {row["queryId"]: row["is_heavy"] for row in tables[name].to_pylist()} == {
            k: rows[k]["is_heavy"] for k in expected
        }
    assert tables["train"].schema == tables["test"].schema


def test_the_draw_is_the_same_for_any_threads_files_and_order(tmp_path: Path, log: Any) -> None:
    days, _ = log
    (tmp_path / "one").mkdir()
    _, first = draw(tmp_path / "one", days)
    merged = {}
    for kind in ("light", "heavy"):
        tables = [pq.ParquetFile(getattr(days[day], kind)).read() for day in reversed(sampling.split_days(WEEK).train)]
        path = tmp_path / f"{kind}.parquet"
        pq.write_table(pa.concat_tables(tables), path, row_group_size=7)
        merged[kind] = path
        pq.write_table(LABELLED.empty_table(), tmp_path / f"no_{kind}.parquet")
    empty = DayFiles(tmp_path / "no_light.parquet", tmp_path / "no_heavy.parquet")
    others = {day: empty for day in sampling.split_days(WEEK).train}
    others[sampling.split_days(WEEK).train[11]] = DayFiles(merged["light"], merged["heavy"])
    _, second = draw(tmp_path / "two", {**days, **others}, threads=4)
    assert first == second


def test_another_seed_draws_other_queries_of_the_same_number(tmp_path: Path, log: Any) -> None:
    days, _ = log
    first, one = draw(tmp_path / "one", days)
    second, two = draw(tmp_path / "two", days, boundary_sampling={"seed": 1})
    ids = [set(tables["train"]["queryId"].to_pylist()) for tables in (one, two)]
    assert ids[0] != ids[1]
    assert first.report["k"] == second.report["k"]


def test_a_fraction_takes_its_share_of_every_split_and_no_other_rows(tmp_path: Path, log: Any) -> None:
    days, rows = log
    week, tables = draw(tmp_path, days, sample_fraction=0.3, boundary_sampling={"balance_ratio": 1000.0})
    used = {key for key in rows if int(md5(f"0:{key}".encode()).hexdigest()[16:29], 16) / 16**13 < 0.3}
    found = {key for table in tables.values() for key in table["queryId"].to_pylist()}
    assert found == used
    assert week.report["sample_fraction"] == 0.3
    assert len(used) == pytest.approx(0.3 * len(rows), rel=0.1)


def test_a_window_without_heavy_queries_is_refused_with_the_remedy(tmp_path: Path, log: Any) -> None:
    days, _ = log
    pq.write_table(LABELLED.empty_table(), tmp_path / "none.parquet")
    without = {day: DayFiles(files.light, tmp_path / "none.parquet") for day, files in days.items()}
    with pytest.raises(sampling.NothingToSample, match="lower cpu_threshold_seconds"):
        draw(tmp_path, without)
    with pytest.raises(sampling.NothingToSample, match="no day for train"):
        draw(tmp_path, days, data_loading={"start_date": WEEK.isoformat()})


def test_the_configured_days_bound_the_window(tmp_path: Path, log: Any) -> None:
    days, _ = log
    first = sampling.split_days(WEEK).train[20]
    _, tables = draw(tmp_path, days, data_loading={"start_date": first.isoformat()})
    assert min(tables["train"]["queryId"].to_pylist())[:8] >= f"{first:%Y%m%d}"


@settings(max_examples=10, deadline=None)
@given(st.lists(DISTANCES, min_size=1, max_size=50, unique=True))
def test_the_sql_and_the_formula_agree(distances: list[float]) -> None:
    import duckdb

    from platform_assets.core import transform

    step = transform.load(sampling.SQL / "boundary_weights.sql").steps[0]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE light_queries AS SELECT 'x' AS queryId, unnest(?::DOUBLE[]) AS boundary_distance", [distances]
        )
        connection.execute(
            "CREATE TABLE parameters AS SELECT 2.0::DOUBLE AS max_boost, 0.05::DOUBLE AS min_multiplier, TRUE AS sample_all, "
            "'' AS salt, '' AS fraction_threshold"
        )
        counted = dict(connection.execute(transform.to_duckdb(step.query)).fetchall())
    found = sorted(units for units, queries in counted.items() for _ in range(queries))
    expected = sorted(UNIT * sampling.boundary_weight(distance, BoundarySampling()) for distance in distances)
    assert found == pytest.approx(expected, abs=0.51)
