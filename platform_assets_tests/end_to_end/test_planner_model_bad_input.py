"""What first-time users get wrong: each fails in the run with its remedy, once where a person must act, else after its retries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest

from platform_assets.core import dataset, packed_model
from platform_assets.core.lake import Lake
from platform_assets.planner import registration
from platform_assets.planner.assets.common import DATASET, REPLAY_SCORES, address
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform
from platform_assets_tests.end_to_end.warm_processes import in_process
from platform_assets_tests.processes import free_port

FIRST, SECOND, _ = WEEKS
NOBODY = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_REGION": "us-east-1"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelPlatform]:
    with model_platform(postgres_server, tmp_path_factory) as found:
        yield found


@pytest.fixture
def aside(platform: ModelPlatform, tmp_path: Path) -> ModelPlatform:
    """The same with a copy of the lake, to spoil."""
    shutil.copytree(platform.settings.lake_url, tmp_path / "lake")
    return platform.with_lake(str(tmp_path / "lake"))


def test_a_dataset_of_another_schema_version_is_refused_by_week(aside: ModelPlatform, tmp_path: Path) -> None:
    revision = aside.current(DATASET, FIRST)
    rows, schema = tmp_path / "training.parquet", json.loads(aside.lake.read_side(revision, dataset.SCHEMA))
    pq.write_table(pq.read_table(aside.lake.fetch(revision, dataset.TRAINING, tmp_path)).slice(1), rows)
    sides = {dataset.SCHEMA: json.dumps({**schema, "schema_version": 99}).encode()}
    Lake(aside.settings.lake_url).publish_table(
        address(DATASET, FIRST), {dataset.TRAINING: rows}, revision.lineage, side_files=sides
    )
    told = aside.train(FIRST)
    assert (told.success, told.attempts) == (False, 1)
    assert "2026-01-09/training.parquet has schema version 99, this code reads" in told.words
    assert "build that week again with this version" in told.words


def test_a_base_model_without_a_chat_template_is_refused_with_what_to_put_beside_it(
    aside: ModelPlatform, tmp_path: Path
) -> None:
    in_process(_write_base_without_template, tmp_path / "base")
    told = aside.train(FIRST, base={"model_base": str(tmp_path / "base")})
    assert (told.success, told.attempts) == (False, 1)
    assert f"the tokenizer of {tmp_path / 'base'} has no chat template" in told.words
    assert "chat_template.jinja" in told.words


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("/no/such/model", "model_base /no/such/model is not a folder here: correct the path, or mount it"),
        ("{empty}", "holds no *.safetensors: give the folder that save_pretrained wrote"),
    ],
)
def test_a_base_model_that_is_not_there_is_named(aside: ModelPlatform, tmp_path: Path, base: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    told = aside.train(FIRST, base={"model_base": base.format(empty=tmp_path / "empty")})
    assert (told.success, told.attempts) == (False, 1)
    assert said in told.words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": "2"}, "no row is left to train on, of 42 in the datasets (dropped: truncated 41"),
        ({"lora_rank": "8"}, "--lora_rank 8 is no option of python -m platform_assets.planner.training"),
        ({"lora_r": "0"}, "--lora_r must be 1 or more, not 0"),
        (
            {"model_base": "/another/base", "revision": "main"},
            "model_base, revision: decided by the week and by planner/base_model",
        ),
    ],
)
def test_options_that_leave_nothing_or_that_nobody_knows_are_named(
    aside: ModelPlatform, options: dict[str, str], said: str
) -> None:
    told = aside.train(FIRST, model={"options": options})
    assert (told.success, told.attempts) == (False, 1)
    assert said in told.words


def test_a_model_without_its_dataset_names_the_week_to_materialise(aside: ModelPlatform, tmp_path: Path) -> None:
    told = aside.with_lake(str(tmp_path / "another")).train(FIRST)
    assert (told.success, told.attempts) == (False, 1)
    assert f"planner/recipes of {FIRST}, which was not published. Materialise it first." in told.words


def test_a_registered_model_whose_files_were_changed_is_not_replayed(platform: ModelPlatform) -> None:
    trained = platform.train(FIRST)
    assert trained.success, trained.words
    source = platform.tracking.client.get_model_version_download_uri(registration.MODEL_NAME, "1")
    base = packed_model.model_folder(Path(urlsplit(source).path)) / "base" / "base.json"
    kept = base.read_text()
    base.write_text(json.dumps({**json.loads(kept), "digest": "of-another"}))
    told = platform.judge(SECOND)
    base.write_text(kept)
    assert (told.success, told.attempts) == (False, 1)
    assert "the files of planner_model 1 have the digest" in told.words
    assert "restore the artefacts of its run, or train the model again" in told.words
    assert platform.lake.current(address(REPLAY_SCORES, SECOND)) is None


def test_services_out_of_reach_are_tried_again_and_named(platform: ModelPlatform) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    store, database = {**NOBODY, "AWS_ENDPOINT_URL": f"http://{nowhere}"}, f"postgresql://nobody@{nowhere}/platform"
    away = replace(platform, settings=replace(platform.settings, warehouse_url=database))
    for other, environment, remedy in (
        (platform.with_lake("s3://lake-bucket/lake"), store, "check AWS_ENDPOINT_URL and that the store runs"),
        (away, {}, "is the server running, and can it be reached from here?"),
    ):
        told = other.train(SECOND, environment=environment)
        assert (told.success, told.attempts) == (False, 4)
        assert remedy in told.words


def _write_base_without_template(folder: Path) -> None:
    from platform_assets_tests.planner.small_model import small_recipes, write_base

    write_base(folder, small_recipes())
    (folder / "base.json").unlink()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    configuration = folder / "tokenizer_config.json"
    content = json.loads(configuration.read_text())
    content.pop("chat_template", None)
    configuration.write_text(json.dumps(content))
