"""Feature sets: files as training reads them, rows equal to served rows bit for bit, and a parity check that can fail."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import feature_sets, feature_texts, history_values, parity
from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.features import BASE_NAMES, HISTORICAL_NAMES
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.served_features import ServedFeatures
from platform_assets.query_predictor.split_features import FeaturesError, read_week
from platform_assets.query_predictor.text_cache import TextCache
from platform_assets.query_predictor.text_terms import TermWeights
from platform_assets_tests.imported_sources import deciding_sources
from platform_assets_tests.query_predictor.counted_reading import counted
from platform_assets_tests.query_predictor.labelled_rows import Row, labelled_row, write_days, write_split

WEEK = date(2026, 3, 2)
LAST = WEEK + timedelta(days=6)
TEXTS = (
    "select a, count(*) from t where b = {n} group by a", "select * from u join v on u.x = v.x where d like '%{n}'",
    "show tables", "select broken (", "select 'never ends {n}", "with q as (select 1 from s.t) select {n} from q",
    "-- {n}", "select f(a) over (order by b) from w",
)  # fmt: skip


@dataclass(frozen=True)
class Week:
    rows: list[Row]
    splits: dict[str, list[Row]]
    sample: Path
    labelled: list[Path]


def make_week(folder: Path, rows: int = 160, seed: int = 0) -> Week:
    chance = random.Random(seed)
    first = datetime.combine(LAST - timedelta(days=50), time(), UTC)
    found = []
    for number in range(rows):
        created = first + timedelta(seconds=chance.randrange(51 * 86_400))
        lasts = timedelta(seconds=chance.choice([2, 600, 86_400, 3 * 86_400]))
        # What only test days ask is a word that no vocabulary may know.
        late = " -- late\n union select onlylate from t" if created.date() >= WEEK else ""
        text = chance.choice(TEXTS).format(n=chance.randrange(3)) + late
        names = {"catalog": chance.choice([None, "hive"]), "schema": chance.choice([None, "sales", "x"])}
        cost = {"cpuTime": chance.choice([0.5, 20.0, 400.0]), "peakUserMemoryBytes": chance.randrange(2**34)}
        found.append(
            labelled_row(number, created, lasts, query=text, user=chance.choice(["ann", "bob"]), **names, **cost)
        )
    starts = {"train": LAST - timedelta(days=43), "validation": LAST - timedelta(days=13), "test": WEEK}
    ends = {"train": starts["validation"], "validation": WEEK, "test": LAST + timedelta(days=1)}
    splits = {
        name: [row for row in found if start <= row["createTime"].date() < ends[name]] for name, start in starts.items()
    }
    for name, part in splits.items():
        write_split(folder / "sample" / f"{name}.parquet", part)
    return Week(found, splits, folder / "sample", write_days(folder / "labelled", found))


def engine(folder: Path) -> Engine:
    return Engine(folder / "scratch", threads=1)


def build(week: Week, folder: Path, **changes) -> feature_sets.BuiltFeatures:
    return feature_sets.build(engine(folder), WEEK, week.sample, week.labelled, folder / "features", **changes)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Week, feature_sets.BuiltFeatures]:
    folder = tmp_path_factory.mktemp("week")
    week = make_week(folder)
    return week, build(week, folder, vocabulary=12, options=HistoryOptions(timedelta(hours=1)))


def test_training_reads_what_is_built(built) -> None:
    week, made = built
    found = read_week(made.folder)
    assert len(found.term_names) == 12
    assert found.week == WEEK
    for name, rows in week.splits.items():
        split = found.splits[name]
        assert len(split) == len(rows) > 10
        expected = sorted(rows, key=lambda row: (row["createTime"], row["queryId"]))
        table = pq.read_table(made.folder / f"{name}_rows.parquet")
        for column in ("queryId", "is_heavy", "weight", "template", "category", "createTime"):
            assert table[column].to_pylist() == [row[column] for row in expected]
    assert not list(made.folder.glob("*.bin"))


def test_the_folder_says_its_week_and_its_columns(built, tmp_path: Path) -> None:
    _, made = built
    document = json.loads((made.folder / "features.json").read_text())
    assert document == {"version": 1, "week": WEEK.isoformat(), "numbers": [*BASE_NAMES, *HISTORICAL_NAMES], "definitions_version": 1}  # fmt: skip
    quiet = make_week(tmp_path, rows=40)
    write_split(quiet.sample / "test.parquet", [])
    found = read_week(build(quiet, tmp_path, vocabulary=0).folder)
    assert (len(found.splits["test"]), found.week) == (0, WEEK)


def test_base_features_and_terms_are_those_of_the_text(built) -> None:
    week, made = built
    cache, found = TextCache(), read_week(made.folder)
    for name, rows in week.splits.items():
        dense = found.splits[name].dense(found.splits[name].all_rows)
        for row, values in zip(sorted(rows, key=lambda row: (row["createTime"], row["queryId"])), dense, strict=True):
            context = Context(row["createTime"], row["catalog"], row["schema"], row["clientInfo"])
            assert values[: len(BASE_NAMES)].tobytes() == cache.base_features(row["query"], context).tobytes()
            length = np.linalg.norm(values[len(BASE_NAMES) + len(HISTORICAL_NAMES) :])
            assert length == pytest.approx(1, abs=1e-6) or length == 0


# Templates and categories come with the rows; the errors that the configuration names are stored with the history they decide.
DECIDES_NOTHING = {"query_predictor": {"templates", "categories", "configuration", "documented_keys"}}


def test_the_code_version_covers_every_module_that_decides_a_feature() -> None:
    covered = {Path(inspect.getfile(module)) for module in (feature_sets, history_values, *feature_sets._MODULES)}
    assert deciding_sources(Path(feature_sets.__file__), DECIDES_NOTHING) == covered


def test_each_different_text_is_tokenised_and_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week = make_week(tmp_path, rows=60)
    read = counted(monkeypatch)
    build(week, tmp_path, vocabulary=12)
    texts = {row["query"] for rows in week.splits.values() for row in rows}
    assert read.tokenised == dict.fromkeys(texts, 1)
    assert set(read.parsed.values()) == {1}


def test_the_vocabulary_is_of_train_texts_alone(built) -> None:
    week, made = built
    assert any("onlylate" in row["query"] for row in week.splits["test"])
    terms = TermWeights.from_json((made.folder / "tfidf.json").read_text())
    assert "select" in terms.terms
    assert "onlylate" not in terms.terms


def test_every_fallback_is_counted_and_templates_of_train_are_seen(built) -> None:
    week, made = built
    texts = {row["query"] for rows in week.splits.values() for row in rows}
    assert sum(made.report["texts"].values()) == len(texts)
    assert all(made.report["texts"][name] for name in ("parsed", "command", "refused", "unterminated", "blank"))
    known = {row["template"] for row in week.splits["train"]}
    for name, rows in week.splits.items():
        assert sum(made.report["rows"][name].values()) == len(rows)
        table = pq.read_table(made.folder / f"{name}_rows.parquet").to_pylist()
        assert all(row["seen_template"] is (row["template"] in known) for row in table)
        assert {row["parse_status"] for row in table} <= set(made.report["texts"])


def test_the_stored_snapshot_is_what_serving_holds_after_the_week(built) -> None:
    _, made = built
    snapshot = HistorySnapshot.open(made.folder / "history")
    assert snapshot.day == WEEK + timedelta(days=7)
    assert snapshot.as_of == datetime.combine(snapshot.day, time(), UTC) - timedelta(hours=1)


def test_the_files_are_the_same_whatever_the_chunks_and_whatever_ended_later(
    built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week, made = built
    monkeypatch.setattr(feature_texts, "CHUNK_TEXTS", 3)
    monkeypatch.setattr(feature_sets, "_BATCH", 7)
    after = labelled_row(9_999, datetime.combine(LAST, time(23), UTC), timedelta(days=9), cpuTime=1e5, user="ann")
    later = Week(week.rows, week.splits, week.sample, [*week.labelled, *write_days(tmp_path / "later", [after])])
    again = build(later, tmp_path, vocabulary=12, options=HistoryOptions(timedelta(hours=1)))
    names = sorted(path.name for path in made.folder.glob("*.npy"))
    assert len(names) == 12
    for name in (*names, "tfidf.json", "features.json"):
        assert (again.folder / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_all_sampled_rows_equal_the_served_ones(built, tmp_path: Path) -> None:
    week, made = built
    outcome = parity.check(engine(tmp_path), made.folder, week.labelled, rows=36)
    assert outcome.passed, outcome.reason
    assert outcome.metadata["rows"] == 36
    assert outcome.metadata["days"] > 10


@pytest.mark.parametrize("column", ["user_heavy_rate", "hour_sine"])
def test_a_changed_last_bit_fails_and_is_named(built, tmp_path: Path, column: str) -> None:
    week, made = built
    folder = copied(made.folder, tmp_path / "features")
    values = np.load(folder / "test.npy")
    values.view(np.uint32)[:, [*BASE_NAMES, *HISTORICAL_NAMES].index(column)] ^= 1
    np.save(folder / "test.npy", values)
    outcome = parity.check(engine(tmp_path), folder, week.labelled, rows=9)
    assert (outcome.passed, outcome.metadata["differing"]) == (False, 3)
    assert f": {column} is stored as" in outcome.reason


def test_changed_terms_lost_rows_and_a_stale_snapshot_fail(built, tmp_path: Path) -> None:
    week, made = built
    folder = copied(made.folder, tmp_path / "term")
    np.save(folder / "train_tfidf_data.npy", np.load(folder / "train_tfidf_data.npy")[::-1])
    assert ": term" in parity.check(engine(tmp_path), folder, week.labelled, rows=15).reason
    lost = parity.check(engine(tmp_path), made.folder, week.labelled[:20], rows=9)
    assert "is in no labelled day" in lost.reason
    folder = copied(made.folder, tmp_path / "stale")
    users = pq.read_table(folder / "history" / "users.parquet")
    changed = users.set_column(users.column_names.index("heavy"), "heavy", pa.array([1] * len(users), pa.int64()))
    pq.write_table(changed, folder / "history" / "users.parquet")
    assert "the stored snapshot of user" in parity.check(engine(tmp_path), folder, week.labelled, rows=3).reason


def copied(folder: Path, target: Path) -> Path:
    for path in folder.rglob("*"):
        if path.is_file():
            (target / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(folder)).write_bytes(path.read_bytes())
    return target


def test_a_split_without_rows_and_no_vocabulary_are_still_files(tmp_path: Path) -> None:
    week = make_week(tmp_path, rows=40)
    write_split(week.sample / "validation.parquet", [])
    made = build(week, tmp_path, vocabulary=0)
    found = read_week(made.folder)
    assert len(found.splits["validation"]) == 0
    assert found.term_names == ()
    outcome = parity.check(engine(tmp_path), made.folder, week.labelled, rows=9)
    assert outcome.passed, outcome.reason


def test_nothing_to_compare_does_not_pass(tmp_path: Path) -> None:
    week = make_week(tmp_path, rows=40)
    for name in week.splits:
        write_split(week.sample / f"{name}.parquet", [])
    made = build(week, tmp_path)
    assert not parity.check(engine(tmp_path), made.folder, week.labelled).passed
    with pytest.raises(FeaturesError):
        parity.check(engine(tmp_path), tmp_path, week.labelled)


def served(folder: Path, capacity: int = 2) -> ServedFeatures:
    terms = TermWeights.from_json((folder / "tfidf.json").read_text())
    return ServedFeatures(HistorySnapshot.open(folder / "history"), terms, capacity)


def test_a_served_row_is_the_same_from_the_cache(built) -> None:
    _, made = built
    serve = served(made.folder)
    context = Context(datetime(2026, 3, 9, 8, tzinfo=UTC), "hive", "sales")
    texts: Sequence[str] = ("select a from t", "show tables", "select a from t", "select 'x", "show tables")
    rows = [serve(text, "ann", context) for text in texts]
    assert (serve.texts.hits, serve.texts.misses) == (1, 4)
    assert rows[0].values.tobytes() == rows[2].values.tobytes()
    assert rows[1].values.tobytes() == rows[4].values.tobytes()
    assert rows[0].values.shape == (95 + 12,)
    new = dict(zip((*BASE_NAMES, *HISTORICAL_NAMES), serve("select 1", "eve", context).values.tolist(), strict=False))
    assert (new["is_new_user"], new["user_queries"]) == (1.0, 0.0)
    with pytest.raises(ValueError, match="capacity of 1"):
        served(made.folder, 0)
