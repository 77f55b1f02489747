"""The training program as processes: killed for real, and several at once.

What an undisturbed training in one process makes is computed in the process of the tests, which saves its start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets.planner import training
from platform_assets.planner.training_options import TrainingOptions
from platform_assets_tests.planner.training_world import words, write_world
from platform_assets_tests.processes import free_port, stop, wait_for

MODULE = "platform_assets.planner.training"
ROOT = Path(__file__).parents[2]


def start(options: TrainingOptions, *launcher: str, log: Path) -> subprocess.Popen:
    # Torch's threads and hash seeds of their own: neither may decide anything.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    command = [sys.executable, *(launcher or ("-m",)), MODULE, *words(options)]
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment, start_new_session=True)


def finish(options: TrainingOptions, *launcher: str) -> dict[str, Any]:
    """Run to the end; metrics.json."""
    log = options.output.with_name(f"{options.output.name}.log")
    process = start(options, *launcher, log=log)
    try:
        assert process.wait(400) == 0, log.read_text()[-3000:]
    finally:
        stop(process, by=signal.SIGKILL)
    return read_metrics(options)


def train_here(options: TrainingOptions) -> dict[str, Any]:
    """The same without a process of its own."""
    training.train(options)
    return read_metrics(options)


def read_metrics(options: TrainingOptions) -> dict[str, Any]:
    return json.loads((options.output / "metrics.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_and_run_again_it_writes_the_same_model_to_the_bit(tmp_path: Path) -> None:
    # 96 batches an epoch; four a step, so that most kills come in the middle of a step as well.
    options = replace(write_world(tmp_path, [150, 90]), epochs=2, batch_size=2, accumulate=4, checkpoint_every=1)
    undisturbed = replace(options, output=tmp_path / "undisturbed")
    train_here(undisturbed)
    newest, log = tmp_path / "model.work" / "newest.ckpt", tmp_path / "killed.log"
    places = []
    for passed in (3, 30):
        process = start(options, log=log)
        try:
            wait_for("a checkpoint", lambda least=passed: place(newest)[0] >= least, 120, [process])
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not options.output.exists()
        places.append(place(newest))
    finish(options)
    assert all(batches % 320 for _, _, batches in places), "a kill at the end of an epoch shows less"
    assert [epoch for _, epoch, _ in places] == [0, 1]
    assert contents(options.output) == contents(undisturbed.output)


def place(checkpoint: Path) -> tuple[int, int, int]:
    """Optimizer steps, epoch and batches of it that a checkpoint stands at; zeros where there is none."""
    if not checkpoint.exists():
        return 0, 0, 0
    found = torch.load(checkpoint, weights_only=True)
    data = found["TrainingData"]
    return found["global_step"], data["epoch"], data["batches"]


@pytest.mark.slow
def test_two_processes_with_dropout_make_another_model_and_say_so(tmp_path: Path) -> None:
    options = replace(write_world(tmp_path, [54]), batch_size=6, epochs=1)
    assert options.lora_dropout == TrainingOptions.lora_dropout > 0
    together = replace(options, output=tmp_path / "two", devices=2)
    losses = [run(each)["train_loss"] for run, each in ((train_here, options), (finish, together))]
    assert losses[0] != pytest.approx(losses[1], rel=1e-6)
    found = [json.loads((each.output / "planner.json").read_text())["fingerprint"] for each in (options, together)]
    assert found[0] != found[1]
    assert found[1] == json.loads((tmp_path / "two.work" / "run.json").read_text())["fingerprint"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOptions, dict[str, Any]]:
    """Options of a training without chance, and the metrics of one process."""
    # 43 training rows in batches of 6: the last batch has a single row, so that a process has none.
    world = write_world(tmp_path_factory.mktemp("alone"), [54])
    options = replace(world, batch_size=6, accumulate=2, lora_dropout=0.0)
    return options, train_here(options)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["devices", "torchrun"])
def test_two_processes_take_the_same_steps_as_one(
    launcher: str, alone: tuple[TrainingOptions, dict[str, Any]], tmp_path: Path
) -> None:
    options, metrics = alone
    assert metrics["rows_train"] % 6 == 1
    if launcher == "devices":
        together = finish(replace(options, output=tmp_path / "two", devices=2))
    else:
        run = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port()), "-m")
        # Started at once, with threads that the first of them chooses for both.
        together = finish(replace(options, output=tmp_path / "two", threads=0), *run)
    facts = json.loads((tmp_path / "two.work" / "run.json").read_text())["facts"]
    assert facts["threads"] >= 1
    assert "Warning" not in (tmp_path / "two.log").read_text()
    for name in ("loss", "targets", "learning_rate"):
        expected = [step[name] for step in metrics["steps"]]
        assert [step[name] for step in together["steps"]] == pytest.approx(expected, rel=1e-4), name
    assert together["val_loss"] == pytest.approx(metrics["val_loss"], rel=1e-4)
    assert together["val_loss_untuned"] == pytest.approx(metrics["val_loss_untuned"], rel=1e-6)
    assert (tmp_path / "two" / "training_rows.parquet").read_bytes() == (
        options.output / "training_rows.parquet"
    ).read_bytes()
