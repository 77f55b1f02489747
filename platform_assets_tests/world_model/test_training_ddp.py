"""The training as two processes: the same global batches, and the loss of one process, which is the tests' own."""

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

from platform_assets.world_model import training
from platform_assets.world_model.training_options import TrainingOptions
from platform_assets_tests.processes import stop
from platform_assets_tests.world_model.small_cache import write_small_cache
from platform_assets_tests.world_model.small_training import small_options, words

ROOT = Path(__file__).parents[2]


def finish(options: TrainingOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the command to its end; history and metrics."""
    command = [sys.executable, "-m", "platform_assets.world_model.training", *words(options)]
    log = options.output.with_name(f"{options.output.name}.log")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment, start_new_session=True)
    try:
        assert process.wait(400) == 0, log.read_text()[-3000:]
    finally:
        stop(process, by=signal.SIGKILL)
    assert "Warning" not in log.read_text()
    return read(options)


def train_here(options: TrainingOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same without a process of its own."""
    training.train(options)
    return read(options)


def read(options: TrainingOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    history, metrics = (json.loads((options.output / f"{name}.json").read_text()) for name in ("history", "metrics"))
    return history, metrics


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    # The last batch has one basket: a process has none. Labels are unknown in a quarter of the baskets, unevenly by rank.
    cache = write_small_cache(tmp_path / "cache", baskets=(65, 33, 5), longest=12)
    options = small_options(cache, tmp_path / "one", dropout=0.0)
    alone, metrics = train_here(options)
    together, theirs = finish(replace(options, output=tmp_path / "two", devices=2))
    assert [step["targets"] for step in together["steps"]] == [step["targets"] for step in alone["steps"]]
    for name in ("loss", "learning_rate"):
        expected = [step[name] for step in alone["steps"]]
        assert [step[name] for step in together["steps"]] == pytest.approx(expected, rel=1e-4), name
    for name, value in metrics.items():
        assert theirs[name] == pytest.approx(value, rel=1e-3), name
    for ours, other in zip(alone["quick_validation"], together["quick_validation"], strict=True):
        assert other == pytest.approx(ours, rel=1e-3)
    weights = [(tmp_path / name / "network.json").read_text() for name in ("one", "two")]
    assert json.loads(weights[0])["fingerprint"] == json.loads(weights[1])["fingerprint"]
