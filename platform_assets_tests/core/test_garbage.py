"""What the collector takes for garbage: never what a manifest, a kept record, MLflow or the policy registry names."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from platform_assets.commands.__main__ import main
from platform_assets.core.garbage import digests_in
from platform_assets.core.garbage_collection import Collector
from platform_assets.core.lake import Address, Corrupt, Input, Lake, LakeError, Revision
from platform_assets.core.registry import Registry
from platform_assets.core.tracking import DatasetReference, Tracking, TrackingError
from platform_assets.core.warehouse import Warehouse
from platform_assets_tests.core.lake_cases import lineage

NOWHERE = "http://127.0.0.1:9"
WEEK, NOW = timedelta(days=7), timedelta(hours=-1)
SOURCE, DERIVED, MODEL = (Address(f"planner/{name}", "2026-01-02") for name in ("source", "derived", "model"))


def publish(lake: Lake, folder: Path, address: Address, content: str, *made_from: Revision, **details: str) -> Revision:
    source = folder / "file"
    source.write_text(f"{address.asset} {content}")
    inputs = tuple(revision.as_input() for revision in made_from)
    why = lineage(inputs=inputs or (Input("outside", "any", "d1"),), details=details)
    return lake.publish_files(address, {"file": source}, why).revision


def collect(lake: Lake, *named: str, age: timedelta = NOW) -> dict[str, str]:
    """One run; returns digests and what was judged of them."""
    collector = Collector(lake.root, lake.store, age)
    plan = collector.plan(named)
    collector.apply(plan)
    return {item.digest: item.verdict for item in plan.garbage}


def test_only_what_nothing_names_is_condemned_and_deleted_by_a_later_run(lake: Lake, tmp_path: Path) -> None:
    old, new = publish(lake, tmp_path, SOURCE, "old"), publish(lake, tmp_path, SOURCE, "new")
    assert collect(lake) == {old.digest: "condemn"}
    assert lake.read_side(lake.revision(SOURCE, old.digest), "file") == b"planner/source old"
    assert collect(lake, age=WEEK) == {old.digest: "wait"}
    assert collect(lake) == {old.digest: "delete"}
    assert collect(lake) == {}
    assert [entry.key for entry in lake.store.list() if "old" in entry.key or entry.key.endswith("/file")] == [
        f"{SOURCE.path}/{new.files[0].path}"
    ]
    with pytest.raises(LakeError, match="was collected"):
        lake.revision(SOURCE, old.digest)


def test_what_a_pointer_or_a_kept_record_names_is_kept_through_any_number_of_steps(lake: Lake, tmp_path: Path) -> None:
    old_source = publish(lake, tmp_path, SOURCE, "old")
    old_derived = publish(lake, tmp_path, DERIVED, "old", old_source)
    publish(lake, tmp_path, MODEL, "only", old_derived)
    publish(lake, tmp_path, SOURCE, "new")
    publish(lake, tmp_path, DERIVED, "new")
    assert collect(lake) == {}
    publish(lake, tmp_path, MODEL, "another", base_model_digest=old_source.digest)
    judged = collect(lake)
    assert old_source.digest not in judged
    assert judged[old_derived.digest] == "condemn"


def test_what_is_named_from_outside_is_kept_and_with_it_what_it_was_made_from(lake: Lake, tmp_path: Path) -> None:
    old_source = publish(lake, tmp_path, SOURCE, "old")
    old_derived = publish(lake, tmp_path, DERIVED, "old", old_source)
    publish(lake, tmp_path, SOURCE, "new")
    publish(lake, tmp_path, DERIVED, "new")
    assert collect(lake, old_derived.digest) == {}
    assert collect(lake) == {old_source.digest: "condemn", old_derived.digest: "condemn"}
    assert collect(lake, old_derived.digest) == {old_source.digest: "pardon", old_derived.digest: "pardon"}
    assert collect(lake, old_derived.digest) == {}


def test_published_again_a_condemned_revision_must_be_condemned_anew(lake: Lake, tmp_path: Path) -> None:
    old = publish(lake, tmp_path, SOURCE, "old")
    publish(lake, tmp_path, SOURCE, "new")
    assert collect(lake) == {old.digest: "condemn"}
    assert publish(lake, tmp_path, SOURCE, "old").files == old.files
    third = publish(lake, tmp_path, SOURCE, "third")
    assert set(collect(lake).values()) == {"condemn"}
    assert third.digest not in collect(lake, age=WEEK)


def test_old_side_files_dead_writers_files_and_temporary_files_go_once_they_are_old(lake: Lake, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("content")
    for side in (b"first", b"second", b"third"):
        last = lake.publish_files(SOURCE, {"file": source}, lineage(), side_files={"side": side})
    dead, folder = "0" * 32, f"{SOURCE.path}/revisions"
    left = [f"{folder}/{dead}/abc/file", ".probe/1" if "://" in lake.root else ".probe-1", f"{folder}/.abc.part"]
    for key in left:
        lake.store.put(key, b"left")
    before = {entry.key for entry in lake.store.list()}
    assert collect(lake, age=WEEK) == {}
    assert {entry.key for entry in lake.store.list()} == before
    assert collect(lake) == {last.revision.digest: "sweep", dead: "delete"}
    gone = before - {entry.key for entry in lake.store.list()}
    assert set(left) < gone
    assert len(gone) == len(left) + 1, "of the side files, the first is recorded and the third is current"
    for revision in (last.revision, lake.revision(SOURCE, last.revision.digest)):
        assert lake.read_side(revision, "side") in (b"first", b"third")


def test_planning_writes_nothing(lake: Lake, tmp_path: Path) -> None:
    for content in ("old", "new"):
        publish(lake, tmp_path, SOURCE, content)
    before = {entry.key: lake.store.read(entry.key) for entry in lake.store.list()}
    plan = Collector(lake.root, lake.store, NOW).plan(())
    assert [item.verdict for item in plan.garbage] == ["condemn"]
    assert {entry.key: lake.store.read(entry.key) for entry in lake.store.list()} == before


def test_a_manifest_that_cannot_be_read_stops_the_collector(folder_lake: Lake, tmp_path: Path) -> None:
    publish(folder_lake, tmp_path, SOURCE, "old")
    folder_lake.store.put(f"{MODEL.path}/manifest.json", b"{")
    with pytest.raises(Corrupt, match=r"model/2026-01-02/manifest\.json is not a manifest"):
        collect(folder_lake)


def test_everything_mlflow_says_of_runs_and_model_versions_is_looked_through(
    module_empty_postgres_url: str, tmp_path: Path, monkeypatch
) -> None:
    tracking = Tracking(module_empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    tracking.create_experiments(tmp_path)
    digests = [character * 32 for character in "abcdef"]
    with tracking.run("planner_training", "week", {"made_of": f"s3://lake/revisions/{digests[0]}"}) as run:
        run.log_parameters({"dataset_digest": digests[1]})
        run.log_dataset(DatasetReference("planner/week", digests[2], "file:///lake"), "training")
    with tracking.run("planner_training", "deleted", {"digest": digests[3]}) as run:
        pass
    tracking.client.delete_run(run.run_id)
    tracking.client.create_registered_model("planner_model")
    version = tracking.client.create_model_version(
        "planner_model", f"file://{tmp_path}", run.run_id, tags={"x": digests[4]}
    )
    tracking.client.set_model_version_tag("planner_model", version.version, "later", digests[5])
    named = {digest for text in tracking.texts() for digest in digests_in(text)}
    assert set(digests) <= named
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="is the server running"):
        list(Tracking(NOWHERE).texts())


def test_the_command_lists_first_and_deletes_nothing_when_mlflow_or_the_registry_is_gone(
    module_empty_postgres_url: str, postgres_url: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    lake = Lake(tmp_path / "lake")
    old, judged, _ = (publish(lake, tmp_path, SOURCE, content) for content in ("old", "judged", "new"))
    registry = Registry(Warehouse(postgres_url))
    registry.ensure_policy("planner_policy", "the meal planner")
    registry.ensure_version_zero("planner_policy", {"replay_digest": judged.digest})
    mlflow = module_empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1)
    Tracking(mlflow).create_experiments(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PLATFORM_LAKE_URL", lake.root)
    monkeypatch.chdir(tmp_path)

    def command(*options: str, uri: str = mlflow, warehouse: str = postgres_url) -> tuple[int, str]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("PLATFORM_WAREHOUSE_URL", warehouse)
        monkeypatch.setattr(sys, "argv", ["commands", "collect-garbage", *options])
        status, printed = main(), capsys.readouterr()
        return status, printed.out + printed.err

    status, listed = command()
    assert status == 0
    assert f"{SOURCE.path} {old.digest}: unnamed; to be marked now" in listed
    assert "nothing was changed" in listed
    assert command("--apply")[0] == 0
    status, told = command("--apply", "--minimum-age-days", "0", uri=NOWHERE)
    assert (status, "MLflow" in told, "is the server running" in told) == (1, True, True)
    for warehouse, words in (
        ("postgresql://nobody@127.0.0.1:9/app", "is the server running"), (module_empty_postgres_url, "make preflight")
    ):  # fmt: skip
        status, told = command("--apply", "--minimum-age-days", "0", warehouse=warehouse)
        assert (status, words in told) == (1, True)
    assert lake.read_side(lake.revision(SOURCE, old.digest), "file")
    assert "deleted 1 file(s), 18 bytes" in command("--apply", "--minimum-age-days", "0")[1]
    assert lake.read_side(lake.revision(SOURCE, judged.digest), "file"), "the registry names it"
