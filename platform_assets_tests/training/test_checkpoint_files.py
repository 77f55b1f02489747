"""A checkpoint's file is the old one or the new one, whatever its file system and whenever the kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from platform_assets.training import checkpoints, output
from platform_assets.training.work_folder import BEST, NEWEST
from platform_assets_tests.training.toy import same, toy_data, toy_fit

SHARED_MEMORY = Path("/dev/shm")
ROWS = [1] * 12
FILES = {NEWEST, BEST}


class Killed(BaseException):
    """Not an Exception: nothing may tidy up after it."""


@pytest.fixture(params=["here", "on another file system"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "here":
        yield tmp_path
        return
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def train(work: Path) -> Any:
    return toy_fit(work, toy_data(ROWS), epochs=2, every=1)


# Where a kill comes, and how often that is called for a file: the file is synced, and then its folder.
PLACES: dict[str, tuple[Any, str, int]] = {
    "writing": (torch, "save", 1),
    "syncing": (output, "_sync", 2),
    "replacing": (os, "replace", 1),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("save", [1, 2, 3, 5])
def test_a_kill_while_a_file_is_written_leaves_the_old_state_whole_and_the_training_ends_the_same(
    place: str, save: int, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, undisturbed = train(tmp_path / "undisturbed")
    module, name, calls = PLACES[place]
    real, left = getattr(module, name), (save - 1) * calls

    def dying(*given: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            return real(*given)
        if place == "writing":
            Path(given[1]).write_bytes(b"half of a state")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying)
        # What a kill leaves is what was there without any tidying up.
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        with pytest.raises(Killed):
            train(work)
    for file in FILES & {path.name for path in work.iterdir()}:
        assert torch.load(work / file, weights_only=True)["state_dict"]
    assert any(path.name.endswith(".part") for path in work.iterdir())
    assert same(train(work)[1], undisturbed)
    assert {path.name for path in work.iterdir() if path.is_file()} == FILES


def test_a_state_never_passes_through_another_folder(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError(f"copied: {given}")

    for name in ("copyfile", "copyfileobj", "move"):
        monkeypatch.setattr(shutil, name, refuse)
    train(work)
    assert {path.name for path in work.iterdir()} >= FILES


def test_a_state_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    sync, replace = output._sync, os.replace
    monkeypatch.setattr(output, "_sync", lambda path: (done.append(("sync", path.name)), sync(path)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(("replace", Path(new).name)), replace(old, new)))
    checkpoints.WholeFiles().save_checkpoint({"state_dict": {}}, tmp_path / "work" / NEWEST)
    assert done == [("sync", f".{NEWEST}.part"), ("replace", NEWEST), ("sync", "work")]


def test_what_a_killed_run_had_half_written_is_removed_also_where_it_is_not_written_again(tmp_path: Path) -> None:
    train(tmp_path)
    for name in FILES:
        (tmp_path / f".{name}.part").write_bytes(b"half")
    train(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
