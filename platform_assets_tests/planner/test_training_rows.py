"""Rows of weekly datasets as examples: every row is one, or is counted with its reason."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from platform_assets.core.digest import digest_table
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.prompt import PromptFormat
from platform_assets.planner.training_rows import (
    TrainingRowsError,
    read_dataset,
    read_examples,
    write_rows,
)
from platform_assets_tests.planner.training_world import BEGINNING, row, write_dataset, write_recipes


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return Catalogue.read(write_recipes(tmp_path_factory.mktemp("catalogue") / "recipes.parquet"))


def test_every_row_is_an_example_or_counted_with_its_reason(tmp_path: Path, catalogue: Catalogue) -> None:
    rows = [
        row(1),
        row(2, accepted=["r001", "gone", "r002"]),
        row(3, accepted=["gone"]),
        row(4, budget=0.01),
        row(5),
    ]
    found = read_examples([read_dataset(write_dataset(tmp_path, rows))], catalogue, PromptFormat())
    assert found.rows == 5
    assert [example.plan_id for example in found.examples] == ["p00001", "p00002", "p00005"]
    assert found.examples[1].recipe_ids == ("r001", "r002")
    assert found.dropped == {"infeasible": 1, "target_outside_candidates": 1}
    assert found.recipes_outside_candidates == 2
    assert [example.plan_id for example in found.of("validation")] == ["p00005"]


def test_a_recipe_that_was_not_yet_known_or_not_admissible_then_is_no_target(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    slow = [recipe for recipe in catalogue.latest.values() if recipe.prep_time_min > 20]
    quick = [recipe for recipe in catalogue.latest.values() if recipe.prep_time_min <= 20]
    rows = [
        row(1, timestamp=BEGINNING - timedelta(days=1)),
        row(2, accepted=[slow[0].id, quick[0].id], max_prep_time=20),
    ]
    found = read_examples([read_dataset(write_dataset(tmp_path, rows))], catalogue, PromptFormat())
    assert [example.recipe_ids for example in found.examples] == [(quick[0].id,)]
    assert found.dropped["infeasible"] == 1


def test_a_recipe_eaten_twice_is_learnt_once_because_decoding_never_repeats(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    rows = [row(1, accepted=["r002", "r001", "r002"])]
    found = read_examples([read_dataset(write_dataset(tmp_path, rows))], catalogue, PromptFormat())
    assert found.examples[0].recipe_ids == ("r002", "r001")


def test_no_household_is_named_in_what_the_model_reads(tmp_path: Path, catalogue: Catalogue) -> None:
    found = read_examples([read_dataset(write_dataset(tmp_path, [row(4711)]))], catalogue, PromptFormat())
    assert found.examples[0].household_id == "h4711"
    assert "4711" not in found.examples[0].prompt


def test_nothing_left_to_train_on_says_where_the_rows_went(tmp_path: Path, catalogue: Catalogue) -> None:
    dataset = read_dataset(write_dataset(tmp_path, [row(1, accepted=["gone"]), row(2, budget=0.01), row(5)]))
    with pytest.raises(
        TrainingRowsError, match=r"of 3 .*infeasible 1, target_outside_candidates 1; the rest are valid"
    ):
        read_examples([dataset], catalogue, PromptFormat())


def test_a_dataset_named_twice_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "week", [row(1)]))
    with pytest.raises(TrainingRowsError, match="plan p00001 is in week and in week: name every dataset once"):
        read_examples([dataset, dataset], catalogue, PromptFormat())


def test_a_row_that_is_not_of_the_datasets_shape_names_its_plan(tmp_path: Path, catalogue: Catalogue) -> None:
    broken = row(1)
    del broken["input"]["household"]["size"]
    with pytest.raises(TrainingRowsError, match=r"plan p00001 cannot be read: .*'size'.*build its week again"):
        read_examples([read_dataset(write_dataset(tmp_path, [broken]))], catalogue, PromptFormat())


def test_a_dataset_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingRowsError, match=r"has schema version 99, this code reads \d: build that week again"):
        read_dataset(write_dataset(tmp_path, [row(1)], version=99))


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingRowsError, match=r"holds no training\.parquet; name a folder"):
        read_dataset(tmp_path)
    recipes = write_recipes(tmp_path / "recipes.parquet")
    with pytest.raises(TrainingRowsError, match="has no column input, metadata, target"):
        read_dataset(recipes)


def test_a_folder_its_file_and_its_manifest_name_the_same_rows(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "week", [row(1), row(2)])
    file = folder / "training.parquet"
    plain, direct = read_dataset(folder), read_dataset(file)
    assert plain.digest == direct.digest == digest_table([file]).digest
    publish(folder)
    assert read_dataset(folder).digest == plain.digest
    assert read_dataset(folder).path == folder / "revisions" / "training.parquet"


def test_a_file_that_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "week", [row(1), row(2)])
    publish(folder)
    write_dataset(folder / "revisions", [row(1)])
    with pytest.raises(TrainingRowsError, match="is not what its manifest says"):
        read_dataset(folder)


def test_used_rows_are_kept_by_plan_household_split_and_time(tmp_path: Path, catalogue: Catalogue) -> None:
    dataset = read_dataset(write_dataset(tmp_path, [row(5), row(1), row(2, accepted=["gone"])]))
    write_rows(read_examples([dataset], catalogue, PromptFormat()).examples, tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [
        {"plan_id": "p00001", "household_id": "h1", "split": "train", "accepted_at": row(1)["metadata"]["accepted_at"]},
        {
            "plan_id": "p00005",
            "household_id": "h5",
            "split": "validation",
            "accepted_at": row(5)["metadata"]["accepted_at"],
        },
    ]


def publish(folder: Path) -> None:
    """Move the files into a revision, as the lake has them, with copies of nothing at the top."""
    (folder / "revisions").mkdir()
    digest, files = digest_table([folder / "training.parquet"]), []
    for name in ("training.parquet", "schema.json"):
        (folder / name).rename(folder / "revisions" / name)
        files.append({"name": name, "path": f"revisions/{name}"})
    manifest = {"digest": digest.digest, "algorithm": digest.algorithm, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_household_whose_constraints_nobody_knew_is_counted_and_stops_nothing(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    unknown = row(2)
    unknown["input"]["constraints"] = None
    found = read_examples([read_dataset(write_dataset(tmp_path, [row(1), unknown]))], catalogue, PromptFormat())
    assert (len(found.examples), found.dropped["incomplete"]) == (1, 1)
