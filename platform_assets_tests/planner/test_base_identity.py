"""Which weights a base model is: changed files and moved branches are other models, and a reference to them is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from platform_assets.planner import base_identity
from platform_assets.planner.base_identity import identify, write_reference
from platform_assets.planner.decoding import load_policy
from platform_assets.planner.language_model import load_base, load_tokenizer
from platform_assets.planner.model_documents import ModelError
from platform_assets_tests.planner.small_model import small_recipes, write_base, write_model_folder

RECIPES = small_recipes(20)
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's model, which no test changes."""
    folder = write_base(tmp_path_factory.mktemp("written"), RECIPES)
    (folder / "base.json").unlink()
    return folder


@pytest.fixture
def model(written: Path, tmp_path: Path) -> Path:
    """A model of one's own."""
    return Path(shutil.copytree(written, tmp_path / "theirs"))


@pytest.fixture
def reference(model: Path, tmp_path: Path) -> Path:
    """A base folder that points to it."""
    write_reference(str(model), "", tmp_path / "reference")
    return tmp_path / "reference"


class Hub:
    """A hub whose branches can be moved."""

    def __init__(self) -> None:
        self.branches: dict[str | None, str | None] = {None: COMMITS[0], "main": COMMITS[0]}
        self.asked = 0

    def model_info(self, model_base: str, revision: str | None, timeout: float) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(sha=self.branches[revision])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read whole."""
    names: list[str] = []
    read = base_identity.sha256_of

    def counted(path: Path) -> str:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(base_identity, "sha256_of", counted)
    return names


def with_another_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("another")


def with_other_weights_of_the_same_size(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def with_a_file_more(folder: Path) -> None:
    (folder / "added_tokens.json").write_text("{}")


def with_a_file_less(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


CHANGES = (with_another_template, with_other_weights_of_the_same_size, with_a_file_more, with_a_file_less)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_folder_is_another_model_and_no_reference_to_the_old_one_loads_it(
    model: Path, reference: Path, change: Callable[[Path], None]
) -> None:
    before = identify(str(model), "")
    load_base(reference)
    change(model)
    assert identify(str(model), "").digest != before.digest
    for load in (load_base, load_tokenizer):
        with pytest.raises(
            ModelError, match=r"was changed since .* Restore the folder, or materialise planner/base_model"
        ):
            load(reference)


def test_a_served_model_refuses_a_changed_base_and_takes_a_restored_one(
    model: Path, reference: Path, tmp_path: Path
) -> None:
    folder, weights = write_model_folder(tmp_path / "model", reference), model / "model.safetensors"
    load_policy(folder)
    kept = weights.read_bytes()
    with_other_weights_of_the_same_size(model)
    with pytest.raises(ModelError, match="Restore the folder"):
        load_policy(folder)
    weights.write_bytes(kept)
    load_policy(folder)


def test_a_folder_that_went_away_is_named(model: Path, reference: Path) -> None:
    shutil.rmtree(model)
    with pytest.raises(ModelError, match=f"model_base {model} is not a folder here: correct the path, or mount it"):
        load_base(reference)


def test_what_is_hidden_or_only_touched_changes_nothing(model: Path, tmp_path: Path) -> None:
    before = identify(str(model), "")
    (model / ".cache").mkdir()
    (model / ".cache" / "seen").write_text("not the model's")
    os.utime(model / "model.safetensors", ns=(1, 1))
    assert identify(str(model), "") == before
    (tmp_path / "link").symlink_to(model)
    assert identify(str(tmp_path / "link"), "main") == before, "by its one absolute name, and without a revision"


def test_a_folder_is_read_once_in_a_process_and_again_when_it_was_changed(
    model: Path, reference: Path, reads: list[str]
) -> None:
    base_identity._DIGESTS.clear()
    identify(str(model), "")
    files = sorted(path.name for path in model.iterdir())
    assert sorted(reads) == files
    load_base(reference)
    write_reference(str(model), "", reference)
    assert sorted(reads) == files
    with_another_template(model)
    identify(str(model), "")
    assert sorted(reads) == sorted([*files, *files])


def test_a_moved_branch_is_another_model_and_a_whole_commit_needs_no_hub(hub: Hub) -> None:
    first = identify("someone/model", "main")
    assert (first.model_base, first.revision) == ("someone/model", COMMITS[0])
    assert identify("someone/model", "") == first, "no revision is the default branch"
    hub.branches["main"] = COMMITS[1]
    second = identify("someone/model", "main")
    assert (second.revision, second.digest != first.digest) == (COMMITS[1], True)
    assert identify("another/model", "main").digest != second.digest
    asked = hub.asked
    assert identify("someone/model", COMMITS[0]) == first
    assert hub.asked == asked


def test_a_hub_that_names_no_commit_is_no_base(hub: Hub) -> None:
    hub.branches["main"] = None
    with pytest.raises(ModelError, match="the hub named no commit"):
        identify("someone/model", "main")


@pytest.mark.parametrize("name", ["pytorch_model.bin", None])
def test_a_folder_without_safetensors_is_refused_before_anything_is_trained(model: Path, name: Any) -> None:
    if name:
        (model / "model.safetensors").rename(model / name)
    else:
        (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="a pickle, which can run code" if name else r"holds no \*.safetensors"):
        identify(str(model), "")
