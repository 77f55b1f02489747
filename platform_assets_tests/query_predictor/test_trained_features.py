"""What a week's features are compared with: the features of the newest model of an earlier week, or nothing, which is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from platform_assets.core.folders import files_of
from platform_assets.core.lake import Address, Lake, Lineage, Revision
from platform_assets.core.revision import Input
from platform_assets.query_predictor import trained_features
from platform_assets.query_predictor.assets import model, sensors
from platform_assets.query_predictor.assets.features import _is_sound as is_sound
from platform_assets.query_predictor.split_features import ASSET, NUMBERS, read_week
from platform_assets_tests.query_predictor.small_features import write_week

WEEKS = ["2026-02-09", "2026-02-02", "2026-01-26"]
"""Newest first."""
ROWS = {"train": 2_000, "validation": 50, "test": 400}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_week(tmp_path_factory.mktemp("week"), ROWS).features


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def publish_features(lake: Lake, week: str, folder: Path) -> Revision:
    return lake.publish_files(Address(ASSET, week), files_of(folder), Lineage()).revision


def publish_model(lake: Lake, week: str, features: Revision, tmp_path: Path, failing: str = "") -> None:
    (tmp_path / "model.onnx").write_text(week)
    categories = Input("query_predictor/zero_cost_categories", week, "0" * 32)
    told = {each.name: {"passed": each.name != failing, "warning": False, "reason": "so"} for each in model.CHECKS}
    lineage = Lineage(inputs=(categories, features.as_input()), details={"checks": told})
    address = Address(trained_features.MODEL_ASSET, week)
    lake.publish_files(address, {"model.onnx": tmp_path / "model.onnx"}, lineage)


def compare(lake: Lake, folder: Path, scratch: Path) -> trained_features.Compared:
    return trained_features.compare(lake, WEEKS, read_week(folder).splits["test"], scratch, is_sound)


def test_the_newest_model_of_an_earlier_week_names_what_is_compared_with(
    lake: Lake, folder: Path, tmp_path: Path
) -> None:
    assert trained_features.newest_trained(lake, WEEKS, is_sound) is None
    other = write_week(tmp_path / "other", ROWS, seed=1).features
    first, second = publish_features(lake, WEEKS[2], other), publish_features(lake, WEEKS[1], folder)
    publish_model(lake, WEEKS[2], first, tmp_path)
    assert trained_features.newest_trained(lake, WEEKS, is_sound) == (
        WEEKS[2],
        lake.revision(first.address, first.digest),
    )
    publish_model(lake, WEEKS[1], second, tmp_path)
    # What the model was trained on, whatever is current there by now.
    publish_features(lake, WEEKS[1], other)
    found = trained_features.newest_trained(lake, WEEKS, is_sound)
    assert found
    assert (found[0], found[1].digest) == (WEEKS[1], second.digest)


def test_only_the_asked_split_is_fetched_and_is_what_was_published(lake: Lake, folder: Path, tmp_path: Path) -> None:
    revision = publish_features(lake, WEEKS[0], folder)
    found = trained_features.fetch_split(lake, revision, "train", tmp_path / "fetched")
    expected = read_week(folder).splits["train"]
    assert found.numbers.tobytes() == expected.numbers.tobytes()
    assert (len(found), found.terms) == (len(expected), expected.terms)
    names = {path.name for path in (tmp_path / "fetched").iterdir()}
    assert not [name for name in names if name.startswith(("test", "validation"))]


def test_without_an_earlier_model_there_is_nothing_to_compare_and_it_is_said(
    lake: Lake, folder: Path, tmp_path: Path
) -> None:
    compared = compare(lake, folder, tmp_path / "reference")
    assert compared.outcome.passed
    assert compared.document == {
        "against": None, "beyond": [], "is_beyond_limit": False, "urgent": "",
        "reason": "no earlier week has a model that passed its checks: nothing to compare with",
    }  # fmt: skip


def test_days_that_have_moved_warn_and_days_as_before_do_not(lake: Lake, folder: Path, tmp_path: Path) -> None:
    publish_model(lake, WEEKS[1], publish_features(lake, WEEKS[1], folder), tmp_path)
    test = read_week(folder).splits["test"]
    calm = trained_features.compare(lake, WEEKS, test, tmp_path / "calm", is_sound)
    assert (calm.outcome.name, calm.outcome.passed, calm.outcome.warning) == ("feature_drift", True, True)
    assert (calm.document["against"], calm.document["is_beyond_limit"]) == (WEEKS[1], False)
    assert (calm.picture or b"").startswith(b"\x89PNG")
    object.__setattr__(test, "numbers", np.asarray(test.numbers) + 3)
    moved = trained_features.compare(lake, WEEKS, test, tmp_path / "moved", is_sound)
    assert not moved.outcome.passed
    assert moved.document["is_beyond_limit"]
    assert set(moved.document["beyond"]) <= set(NUMBERS)


def test_a_model_that_failed_a_check_is_none_to_compare_with(lake: Lake, folder: Path, tmp_path: Path) -> None:
    features = publish_features(lake, WEEKS[1], folder)
    publish_model(lake, WEEKS[1], features, tmp_path, failing="onnx_agrees")
    assert compare(lake, folder, tmp_path / "none").document["against"] is None
    publish_model(lake, WEEKS[2], publish_features(lake, WEEKS[2], folder), tmp_path)
    assert compare(lake, folder, tmp_path / "older").document["against"] == WEEKS[2]
    publish_model(lake, WEEKS[1], features, tmp_path, failing="routed_share")
    assert compare(lake, folder, tmp_path / "sound").document["against"] == WEEKS[1]


def rename(folder: Path) -> None:
    document = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps({**document, "numbers": ["moon", *document["numbers"][1:]]}))


def narrow(folder: Path) -> None:
    np.save(folder / "train.npy", np.load(folder / "train.npy")[:, :-1])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (rename, rf"other features \(without {NUMBERS[0]}, with moon\)"),
        (narrow, r"train\.npy is float32"),
        (lambda folder: (folder / "features.json").unlink(), r"has no features\.json"),
    ],
    ids=["renamed", "narrow", "older"],
)
def test_a_reference_that_cannot_be_compared_makes_the_week_urgent_and_stops_nothing(
    lake: Lake, folder: Path, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    other = write_week(tmp_path / "other", ROWS).features
    spoil(other)
    publish_model(lake, WEEKS[0], publish_features(lake, WEEKS[0], other), tmp_path)
    compared = compare(lake, folder, tmp_path / "reference")
    assert (compared.outcome.passed, compared.outcome.warning, compared.picture) == (False, True, None)
    assert re.search(f"the model of {WEEKS[0]} was trained on cannot be compared: .*{reason}", compared.outcome.reason)
    assert compared.document["against"] == WEEKS[0]
    assert sensors._drifted(compared.document) == compared.outcome.reason
