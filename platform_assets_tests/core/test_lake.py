"""What is published can be read back, as it was or not at all: on a folder and on two kinds of S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.lake import Address, Corrupt, Input, Lake, LakeError
from platform_assets_tests.core.lake_cases import ADDRESS, TABLE, damage, ids_of, lineage, pointer, publish, write
from platform_assets_tests.lake_stores import Server, open_again

DATASET = Address("planner/dataset", "2026-01-02", "datasets/planner/2026-01-09")


def test_what_was_never_published_is_absent(lake: Lake) -> None:
    assert lake.current(ADDRESS) is None
    with pytest.raises(LakeError, match="no revision abc"):
        lake.revision(ADDRESS, "abc")


def test_a_published_table_can_be_read_back_with_all_that_is_known_about_it(lake: Lake, tmp_path: Path) -> None:
    why = lineage(run_id="run-1", source_watermark="2026-01-03T00:00:00Z")
    done = publish(lake, tmp_path, [1, 2, 3], why, side_files={"profile.json": b"{}"}, expected=None)
    assert (done.previous, done.digest_changed, done.pointer_moved) == (None, True, True)
    found = open_again(lake).current(ADDRESS)
    assert found == done.revision
    assert (found.rows, found.schema, found.lineage) == (3, ({"name": "id", "type": "BIGINT"},), why)
    assert found.as_input() == Input("planner/events", "2026-01-02", found.digest)
    assert found.uri == f"{lake.root}/planner/events/2026-01-02/revisions/{found.digest}"
    assert ids_of(lake, found, tmp_path / "scratch") == [1, 2, 3]
    assert lake.read_side(found, "profile.json") == b"{}"
    with pytest.raises(LakeError, match=r"no file 'other'; it has: events\.parquet, profile\.json"):
        found.file("other")


def test_the_manifest_has_the_documented_keys(lake: Lake, tmp_path: Path) -> None:
    revision = publish(lake, tmp_path, [1]).revision
    manifest = json.loads(pointer(lake))
    documented = {"digest", "algorithm", "rows", "files", "schema", "inputs", "source_rows", "source_watermark"}
    documented |= {"code_version", "run_id", "created_at", "details", "asset", "partition"}
    assert documented <= set(manifest)
    assert manifest["files"][0]["path"] == revision.files[0].path
    assert set(manifest["files"][0]) >= {"path", "size", "sha256"}


def test_the_same_content_for_the_same_reasons_writes_nothing(lake: Lake, tmp_path: Path) -> None:
    first = publish(lake, tmp_path, [1, 2, 3], lineage(run_id="run-1"))
    before = pointer(lake)
    again = publish(lake, tmp_path, [3, 1, 2], lineage(run_id="run-2"))
    assert pointer(lake) == before
    assert (again.revision, again.previous) == (first.revision, first.revision)
    assert (again.digest_changed, again.pointer_moved) == (False, False)


def test_other_side_files_are_published_with_the_same_content(lake: Lake, tmp_path: Path) -> None:
    first = publish(lake, tmp_path, [1, 2, 3], side_files={"summary.md": b"old"})
    again = publish(lake, tmp_path, [1, 2, 3], side_files={"summary.md": b"new"})
    assert (again.digest_changed, again.pointer_moved) == (False, True)
    assert again.revision.file(TABLE) == first.revision.file(TABLE)
    assert lake.read_side(again.revision, "summary.md") == b"new"


def test_other_row_order_and_row_groups_reuse_the_files_and_tell_the_new_reasons(lake: Lake, tmp_path: Path) -> None:
    first = publish(lake, tmp_path, [1, 2, 3], side_files={"profile.json": b"old"}).revision
    other = write(tmp_path / "other.parquet", [3, 2, 1], row_group_size=1, compression="none")
    why = lineage(code_version="2")
    done = lake.publish_table(ADDRESS, {TABLE: other}, why, side_files={"profile.json": b"new"})
    assert (done.digest_changed, done.pointer_moved, done.previous) == (False, True, first)
    assert done.revision.file(TABLE) == first.file(TABLE)
    assert lake.current(ADDRESS) == done.revision
    assert lake.read_side(done.revision, "profile.json") == b"new"
    recorded = lake.revision(ADDRESS, first.digest)
    assert recorded.lineage == first.lineage
    assert lake.read_side(recorded, "profile.json") == b"old"


def test_other_content_is_a_new_revision_and_the_old_one_stays_readable(lake: Lake, tmp_path: Path) -> None:
    old = publish(lake, tmp_path, [1, 2, 3]).revision
    done = publish(lake, tmp_path, [1, 2], expected=old)
    assert (done.previous, done.digest_changed) == (old, True)
    assert ids_of(lake, lake.revision(ADDRESS, old.digest), tmp_path / "scratch") == [1, 2, 3]
    assert ids_of(lake, done.revision, tmp_path / "scratch") == [1, 2]
    back = publish(lake, tmp_path, [1, 2, 3]).revision
    assert back.file(TABLE) == old.file(TABLE)


def test_a_table_without_rows_is_a_revision(lake: Lake, tmp_path: Path) -> None:
    revision = publish(lake, tmp_path, []).revision
    assert (revision.rows, ids_of(lake, revision, tmp_path / "scratch")) == (0, [])
    with pytest.raises(LakeError, match="at least one data file"):
        lake.publish_table(ADDRESS, {}, lineage())


def test_a_model_is_published_by_the_bytes_of_its_files(lake: Lake, tmp_path: Path) -> None:
    weights, config = tmp_path / "weights", tmp_path / "config"
    weights.write_bytes(bytes(range(256)) * 100_000)
    config.write_bytes(b"{}")
    files = {"adapter/weights.bin": weights, "config.json": config}
    first = lake.publish_files(ADDRESS, files, lineage()).revision
    assert (first.rows, first.algorithm) == (None, "sha256-files-v1")
    assert lake.fetch(first, "adapter/weights.bin", tmp_path / "scratch").read_bytes() == weights.read_bytes()
    config.write_bytes(b"[]")
    assert lake.publish_files(ADDRESS, files, lineage()).digest_changed


def test_people_find_copies_at_the_top_and_a_lost_copy_comes_back(lake: Lake, tmp_path: Path) -> None:
    source = {"training.parquet": write(tmp_path / "t.parquet", [1])}
    sides: dict[str, Path | bytes] = {"dataset_summary.md": b"# first"}
    options: dict[str, Any] = {"side_files": sides, "top_copies": ("training.parquet", "dataset_summary.md")}
    lake.publish_table(DATASET, source, lineage(), **options)
    lake.store.put(f"{DATASET.path}/dataset_summary.md", b"#")
    assert not lake.publish_table(DATASET, source, lineage(), **options).pointer_moved
    assert lake.store.read(f"{DATASET.path}/dataset_summary.md") is not None
    assert lake.store.read(f"{DATASET.path}/dataset_summary.md")[0] == b"# first"  # pyright: ignore
    assert lake.store.read(f"{DATASET.path}/training.parquet")[0] == source["training.parquet"].read_bytes()  # pyright: ignore
    assert json.loads(pointer(lake, DATASET))["asset"] == "planner/dataset"


def test_a_truncated_file_is_found_and_publishing_again_mends_it(lake: Lake, tmp_path: Path) -> None:
    revision = publish(lake, tmp_path, [1, 2], side_files={"profile.json": b"{}"}).revision
    damage(lake, revision, TABLE, lambda content: content[:-5])
    with pytest.raises(
        Corrupt, match=r"events\.parquet has .* bytes instead of .* materialise planner/events 2026-01-02 again"
    ):
        lake.fetch(revision, TABLE, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").rglob("*.parquet"))
    mended = publish(lake, tmp_path, [2, 1])
    assert (mended.digest_changed, mended.pointer_moved) == (False, True)
    assert ids_of(lake, mended.revision, tmp_path / "scratch") == [1, 2]


def test_an_altered_or_missing_file_is_found(lake: Lake, tmp_path: Path) -> None:
    sides: dict[str, Path | bytes] = {"profile.json": b"{}"}
    revision = publish(lake, tmp_path, [1, 2], side_files=sides).revision
    damage(lake, revision, TABLE, lambda content: content[:-1] + b"?")
    with pytest.raises(Corrupt, match=r"events\.parquet was altered"):
        lake.fetch(revision, TABLE, tmp_path / "scratch", verify=True)
    damage(lake, revision, "profile.json", lambda content: b"[]")
    with pytest.raises(Corrupt, match=r"profile\.json is altered"):
        lake.read_side(revision, "profile.json")
    gone = replace(revision, files=tuple(replace(file, path=f"{file.path}.gone") for file in revision.files))
    with pytest.raises(Corrupt, match="is missing; remove"):
        lake.fetch(gone, TABLE, tmp_path / "scratch")
    lake.store.put(f"{ADDRESS.path}/manifest.json", b'{"digest": ')
    with pytest.raises(Corrupt, match=r"manifest\.json is not a manifest"):
        lake.current(ADDRESS)


def test_a_fetched_copy_is_kept_and_checked_again_when_asked(moto: Server, monkeypatch, tmp_path: Path) -> None:
    lake, scratch = Lake(moto.use(monkeypatch)), tmp_path / "scratch"
    revision = publish(lake, tmp_path, [1]).revision
    kept = lake.fetch(revision, TABLE, scratch)
    damage(lake, revision, TABLE, lambda content: b"")
    assert lake.fetch(revision, TABLE, scratch, verify=True) == kept
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    with pytest.raises(Corrupt):
        lake.fetch(revision, TABLE, scratch, verify=True)


@pytest.mark.parametrize("url", ["", "s3://", "gs://bucket/lake", "file:///lake"])
def test_an_address_that_is_no_lake_is_refused(url: str) -> None:
    with pytest.raises(LakeError, match="write a folder's path or s3://bucket/prefix"):
        Lake(url)


def test_names_that_could_leave_the_folder_are_refused(folder_lake: Lake, tmp_path: Path) -> None:
    source = write(tmp_path / "t.parquet", [1])
    for name in ("../x", "/x", "a//b", ".hidden", ""):
        with pytest.raises(LakeError, match="no path within the lake"):
            folder_lake.publish_table(ADDRESS, {name: source}, lineage())
        with pytest.raises(LakeError, match="no path within the lake"):
            Address("planner/events", "2026-01-02", name or "..")


def test_importing_the_lake_is_light() -> None:
    program = "import sys, platform_assets.core.lake; print([n for n in sys.argv[1:] if n in sys.modules])"
    heavy = ["duckdb", "boto3", "pandas", "pyarrow", "obstore", "dagster", "torch"]
    found = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
