"""The week's sample: the split by time, probabilities that sum up to the target, and a draw that depends on the id alone."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import configuration, inclusion, sampling
from platform_assets.query_predictor.documented_keys import BoundarySampling
from platform_assets.query_predictor.inclusion import UNIT
from platform_assets.query_predictor.query_rows import QUERIES
from platform_assets.query_predictor.sampling import DayFiles
from platform_assets_tests.query_predictor.query_samples import typed_query

WEEK = date(2026, 3, 2)
LABELLED = pa.schema(
    [*QUERIES, ("is_heavy", pa.bool_()), ("heavy_reason", pa.string()), ("boundary_distance", pa.float64()),
     ("template", pa.string()), ("category", pa.string())]
)  # fmt: skip


def test_a_weeks_window_ends_on_its_sunday_and_splits_by_time() -> None:
    found = sampling.split_days(WEEK)
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 7, 7)
    assert found.test[-1] == WEEK + timedelta(days=6)
    assert found.test[0] == WEEK
    assert list(found.days) == [found.days[0] + timedelta(days=number) for number in range(44)]
    with pytest.raises(ValueError, match="no Monday"):
        sampling.split_days(WEEK + timedelta(days=1))


def hashed_share(text: str) -> float:
    """The draw of an id, read as a number."""
    return int(md5(text.encode()).hexdigest()[:13], 16) / 16**13


def labelled(number: int, day: date, chance: random.Random) -> dict[str, Any]:
    heavy = chance.random() < 0.05
    row = typed_query(number)
    distance = chance.choice([0.1, 0.3, 0.5, 0.6, 0.8, 0.97, 1.0, chance.random(), 12.0])
    created = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=number * 7919 % 86400)
    return {**row, "queryId": f"{day:%Y%m%d}_{number:06d}", "createTime": created, "is_heavy": heavy, "heavy_reason": "cpu" if heavy else None,
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
        name: round(UNIT * inclusion.boundary_weight(rows[name]["boundary_distance"], BoundarySampling()))
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


def test_days_drawn_one_after_the_other_are_as_if_drawn_together(
    tmp_path: Path, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    days, _ = log
    train = [days[day] for day in sampling.split_days(WEEK).train]
    _, together = draw(tmp_path / "together", days)
    for most, count in ((1, 30), (500, 8)):
        monkeypatch.setattr(sampling, "ROWS_AT_ONCE", most)
        assert len(list(sampling._groups(train))) == count
    _, apart = draw(tmp_path / "apart", days)
    assert apart == together
    swapped = dict(zip(days, [days[day] for day in reversed(days)], strict=True))
    with pytest.raises(ValueError, match="a labelled day holds queries of another one"):
        draw(tmp_path / "swapped", swapped)
    assert {path.name for path in (tmp_path / "apart" / "out").iterdir()} == {
        "train.parquet", "validation.parquet", "test.parquet", "sampling.json",
    }  # fmt: skip
