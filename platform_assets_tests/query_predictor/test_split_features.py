"""A week's features as training reads them: dense rows as they were written, and every way in which files contradict each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_matrix

from platform_assets.query_predictor import features_document
from platform_assets.query_predictor.split_features import NUMBERS, FeaturesError, read_split, read_week
from platform_assets_tests.query_predictor.small_features import TERMS, WEEK, MadeUpWeek, write_week


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> MadeUpWeek:
    return write_week(tmp_path_factory.mktemp("week"), {"train": 300, "validation": 80, "test": 0})


def test_dense_rows_are_numbers_and_terms_with_zeros_written_out(week: MadeUpWeek) -> None:
    split = read_week(week.features).splits["train"]
    parts = [np.load(week.features / f"train_tfidf_{part}.npy") for part in ("data", "indices", "indptr")]
    terms = csr_matrix(tuple(parts), (len(split), len(TERMS))).toarray()
    expected = np.concatenate([np.load(week.features / "train.npy"), terms], axis=1)
    chosen = np.random.default_rng(0).permutation(len(split))[:70]
    assert split.dense(chosen).dtype == np.float32
    np.testing.assert_array_equal(split.dense(chosen), expected[chosen])
    np.testing.assert_array_equal(np.concatenate([dense for _, dense in split.chunks(size=23)]), expected)
    assert np.isnan(expected[:, : len(NUMBERS)]).any()
    assert split.dense(chosen[:0]).shape == (0, len(NUMBERS) + len(TERMS))


def test_a_week_whose_newest_days_had_no_query_is_that_week_still(week: MadeUpWeek) -> None:
    found = read_week(week.features)
    assert len(found.splits["test"]) == 0
    assert max(split.created.max() for split in found.splits.values() if len(split)) < np.datetime64(WEEK)
    assert found.week == WEEK
    assert found.column_names == (*NUMBERS, *(f"term {term}" for term in TERMS))


def test_a_part_holds_its_rows_and_no_others(week: MadeUpWeek) -> None:
    split = read_week(week.features).splits["train"]
    chosen = np.random.default_rng(1).random(len(split)) < 0.4
    part = split.part(chosen)
    np.testing.assert_array_equal(part.dense(part.all_rows), split.dense(np.flatnonzero(chosen)))
    assert part.template.tolist() == split.template[chosen].tolist()
    assert len(split.part(np.zeros(len(split), bool)).dense(np.empty(0, np.int64))) == 0
    assert split.part(np.ones(len(split), bool)) is split


def damaged(week: MadeUpWeek, folder: Path) -> Path:
    shutil.copytree(week.features, folder / "damaged")
    return folder / "damaged"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train.npy", lambda a: a[:-1], "train.npy is float32"),
        ("train.npy", lambda a: a.astype(np.float64), "train.npy is float64"),
        ("validation_tfidf_indptr.npy", lambda a: a[:-1], "does not say where 80 rows begin and end"),
        ("validation_tfidf_indices.npy", lambda a: a + 5, "does not name"),
        ("validation_tfidf_data.npy", lambda a: a * np.nan, "holds what is no number"),
    ],
)  # fmt: skip
def test_arrays_that_contradict_the_rows_are_named_with_a_remedy(
    week: MadeUpWeek, tmp_path: Path, name: str, change, reason: str
) -> None:
    folder = damaged(week, tmp_path)
    np.save(folder / name, change(np.load(folder / name)))
    with pytest.raises(FeaturesError, match=rf"{reason}.* copy it again, or fetch it again"):
        read_week(folder)


@pytest.mark.parametrize("column", ["weight", "template", "seen_template", "createTime"])
def test_rows_without_a_column_or_with_nulls_are_refused(week: MadeUpWeek, tmp_path: Path, column: str) -> None:
    folder = damaged(week, tmp_path)
    path = folder / "train_rows.parquet"
    table = pq.read_table(path)
    nulls = pa.nulls(len(table), table.schema.field(column).type)
    for changed in (table.set_column(table.column_names.index(column), column, nulls), table.drop_columns([column])):
        pq.write_table(changed, path)
        with pytest.raises(FeaturesError, match=r"train_rows\.parquet"):
            read_week(folder)


def test_a_folder_that_is_none_is_refused_and_a_pickle_is_never_loaded(week: MadeUpWeek, tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"holds no tfidf\.json: name a folder of query_predictor/features"):
        read_week(tmp_path)
    folder = damaged(week, tmp_path)
    np.save(folder / "train.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FeaturesError, match=r"train\.npy cannot be read"):
        read_week(folder)
    shutil.rmtree(folder / "history")
    with pytest.raises(FeaturesError, match="holds no folder history"):
        read_week(folder)


def test_one_split_is_read_without_the_files_of_the_others(week: MadeUpWeek, tmp_path: Path) -> None:
    folder = damaged(week, tmp_path)
    for path in [*folder.glob("test*"), *folder.glob("validation*")]:
        path.unlink()
    split = read_split(folder, "train")
    assert (len(split), split.terms) == (len(read_week(week.features).splits["train"]), len(TERMS))
    with pytest.raises(FeaturesError, match="cannot be read"):
        read_week(folder)


OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "renamed": ({"numbers": [*NUMBERS[:7], "where_colours", *NUMBERS[8:]]}, rf"without {NUMBERS[7]}, with where_colours"),
    "swapped": ({"numbers": [NUMBERS[1], NUMBERS[0], *NUMBERS[2:]]}, "in another order, or twice"),
    "fewer": ({"numbers": NUMBERS[6:]}, rf"without {', '.join(NUMBERS[:5])} and 1 more"),
    "more": ({"numbers": [*NUMBERS, "moon"]}, "with moon"),
    "redefined": ({"definitions_version": 0}, "of the same names, by version 0 of their definitions; this is 1"),
    "older": ({"definitions_version": None}, "of the same names, before their definitions had a version; this is 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER)
def test_a_folder_of_a_release_with_other_features_is_refused_whatever_its_arrays_shape(
    week: MadeUpWeek, tmp_path: Path, case: str
) -> None:
    (change, difference), folder = OTHER[case], damaged(week, tmp_path)
    tell(folder, **change)
    said = rf"other features \({difference}\): materialise query_predictor/features of its week again"
    for read in (read_week, lambda each: read_split(each, "train")):
        with pytest.raises(FeaturesError, match=said):
            read(folder)


def test_a_folder_that_says_nothing_of_its_columns_is_refused(week: MadeUpWeek, tmp_path: Path) -> None:
    folder = damaged(week, tmp_path)
    (folder / features_document.NAME).unlink()
    with pytest.raises(
        FeaturesError, match=r"has no features\.json: .*: materialise query_predictor/features of its week"
    ):
        read_week(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"version": 2},
            "has version 2 of a week of features, this code reads 1: materialise query_predictor/features of",
        ),
        ({"week": "2026-02-17"}, "2026-02-17 is no Monday"),
        ({"week": "soon"}, "soon"),
        ({"week": None}, "TypeError"),
        ({"numbers": None}, "TypeError"),
    ],
)
def test_a_document_that_is_none_is_refused(
    week: MadeUpWeek, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    folder = damaged(week, tmp_path)
    tell(folder, **change)
    with pytest.raises(FeaturesError, match=reason):
        read_week(folder)
    (folder / features_document.NAME).write_text("{")
    with pytest.raises(FeaturesError, match=r"features\.json cannot be read .*: copy it again, or materialise"):
        read_week(folder)


def tell(folder: Path, **change: Any) -> None:
    path = folder / features_document.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
