"""Folders in the lake: a command line may name them, and their files lie together whatever the lake did with them."""

from __future__ import annotations

from pathlib import Path

from platform_assets.core.folders import fetch_folder, files_of, folder_digest, local_file, local_folder
from platform_assets.core.lake import Address, Lake, Lineage


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    return {name: path.read_text() for name, path in files_of(folder).items()}


def test_a_published_folder_is_found_by_its_partition_with_all_files_under_their_names(tmp_path: Path) -> None:
    made, lake = write(tmp_path / "made", a="1", deep__b="2"), Lake(str(tmp_path / "lake"))
    revision = lake.publish_files(Address("model", "2026-01-02"), files_of(made), Lineage()).revision
    named = tmp_path / "lake" / revision.address.path
    assert local_file(named, "deep/b").read_text() == "2"
    for folder in (local_folder(named, tmp_path / "linked"), fetch_folder(lake, revision, tmp_path / "fetched" / "x")):
        assert read(folder) == {"a": "1", "deep/b": "2"}
        assert folder_digest(folder) == revision.digest
    assert read(local_folder(named, tmp_path / "linked")) == read(made), "a second process finds the links"


def test_a_path_that_was_not_published_stands_for_itself(tmp_path: Path) -> None:
    made = write(tmp_path / "made", a="1")
    assert local_folder(made, tmp_path / "linked") == made
    assert local_file(made, "a") == made / "a"
    assert local_file(made / "a", "other") == made / "a"
    assert not (tmp_path / "linked").exists()
