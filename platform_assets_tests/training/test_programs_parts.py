"""What a training program is made of besides the training: options, the output folder, threads, what it says, its picture."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import psutil
import pytest
import torch

from platform_assets.training import devices, options, program, threads
from platform_assets.training.errors import OutOfMemory, TrainingError, WorkFolderBusy
from platform_assets.training.history import Epoch, Step
from platform_assets.training.memory import explained_memory
from platform_assets.training.output import require_replaceable, whole_folder
from platform_assets.training.plots import loss_plot
from platform_assets.training.progress import Progress
from platform_assets.training.randomness import derive
from platform_assets_tests.training.toy import toy_data, toy_fit


@dataclass(frozen=True)
class Some:
    """Options of every kind."""

    data: tuple[Path, ...]
    """What to read."""
    rate: float = 0.5
    """How fast,
    in 100 % of cases."""
    names: tuple[str, ...] = ("a", "b")
    """Which."""
    quick: bool = False
    """Whether."""
    work: Path | None = None
    """Where."""


def read(*words: str) -> Some:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser, Some)
    return options.read(Some, parser.parse_args(words))


def test_a_dataclass_is_a_command_line() -> None:
    assert read("--data", "x") == Some((Path("x"),))
    given = read("--data", "x", "--data", "y", "--rate", "2", "--names", "c, d", "--quick", "--work", "w")
    assert given == Some((Path("x"), Path("y")), 2.0, ("c", "d"), True, Path("w"))


def test_the_help_is_the_text_under_each_field_with_its_default() -> None:
    parser = argparse.ArgumentParser()
    options.add_arguments(parser, Some)
    shown = " ".join(parser.format_help().split())
    assert "How fast, in 100 % of cases. (default 0.5)" in shown
    assert "Which. (default a,b)" in shown


def test_an_option_without_a_default_is_required() -> None:
    with pytest.raises(SystemExit):
        read("--rate", "2")


def test_an_output_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(IsADirectoryError), whole_folder(target) as folder:
        folder.write_text("a folder is no file")
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with whole_folder(target) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text(text)
        assert (target / "deep" / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_something_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    require_replaceable(tmp_path / "new", "mark")
    require_replaceable(tmp_path, "mark")
    (tmp_path / "letters").touch()
    with pytest.raises(TrainingError, match="holds something else than an earlier output"):
        require_replaceable(tmp_path, "mark")
    (tmp_path / "mark").touch()
    require_replaceable(tmp_path, "mark")


def test_threads_are_what_was_asked_for_or_the_free_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        threads.use_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("platform_assets.training.threads._quota", lambda: 8)
    for busy, free in (([0, 0, 0, 0], 4), ([100, 90, 0, 5], 2), ([100] * 4, 1)):
        monkeypatch.setattr("psutil.cpu_percent", lambda interval, percpu, busy=busy: busy)
        assert threads.free_cores() == free
        assert [threads.share_of_free_cores(count) for count in (1, 2, 3)] == [
            free,
            max(1, free // 2),
            max(1, free // 3),
        ]


def test_progress_names_epoch_step_loss_rate_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress.__init__, "__defaults__", (0.0,))
    lines: list[str] = []
    toy_fit(tmp_path, toy_data([3] * 16), lines=lines)
    assert lines[0].startswith("epoch 1/2, step 1/8: loss ")
    assert all(word in lines[0] for word in ("tokens/s", "left"))
    assert any(line.startswith("epoch 2/2 done: train_loss ") and "val_loss" in line for line in lines)


def test_a_training_that_was_finished_says_no_speed(tmp_path: Path) -> None:
    assert toy_fit(tmp_path, toy_data([3] * 8))[0].per_second > 0
    assert toy_fit(tmp_path, toy_data([3] * 8))[0].per_second == 0


RAN_OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), MemoryError(),
    RuntimeError("CUDA error: out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]  # fmt: skip


@pytest.mark.parametrize("error", RAN_OUT, ids=lambda error: str(error)[:40])
def test_whatever_says_that_memory_ran_out_is_told_with_its_remedy_once(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemory, match=r"^out of memory while it sang: sing softly$") as told,
        explained_memory("elsewhere", "shout"),
        explained_memory("while it sang", "sing softly"),
    ):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("out of order"), OSError(2, "no file")])
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as told, explained_memory("here", "nothing"):
        raise error
    assert told.value is error


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK"])
def test_only_the_first_of_several_processes_speaks_and_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("RANK", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(each, raising=False)
    assert not devices.is_follower()
    monkeypatch.setenv(name, "0")
    assert not devices.is_follower()
    monkeypatch.setenv(name, "1")
    assert devices.is_follower()


def test_every_precision_that_lightning_knows_may_be_named() -> None:
    from lightning.fabric import connector

    kinds = (vars(connector)[f"_PRECISION_INPUT_STR{kind}"] for kind in ("", "_ALIAS"))
    assert set(devices.PRECISIONS) == {"auto", *(name for kind in kinds for name in get_args(kind))}


@pytest.mark.parametrize(
    ("accelerator", "cuda", "auto"),
    [("auto", True, "bf16-mixed"), ("auto", False, "32-true"), ("cpu", True, "32-true"), ("cuda", False, "bf16-mixed")],
)
def test_auto_precision_follows_the_named_accelerator_or_else_the_machine(
    accelerator: str, cuda: bool, auto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    assert devices.precision("auto", accelerator) == auto
    assert devices.precision("16-mixed", accelerator) == "16-mixed"


def test_every_process_of_a_machine_has_a_device_of_its_own_and_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (devices.own_cuda_device(), devices.processes_here(3)) == ("cuda:0", 3)
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (devices.own_cuda_device(), devices.processes_here(1)) == ("cuda:2", 4)


def test_cuda_that_is_asked_for_and_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device here for accelerator cuda: name cpu"):
        toy_fit(tmp_path, toy_data([3] * 4), accelerator="cuda")


def test_a_program_that_finds_its_work_folder_in_use_may_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> dict[str, str]:
        raise WorkFolderBusy("another training works in this folder: here")

    assert program.run(work, (TrainingError,)) == program.TRY_AGAIN == 75
    assert "error: another training works in this folder: here" in capsys.readouterr().err


FOLLOWER = """
import os, subprocess, sys, time
from platform_assets.training import program
if len(sys.argv) > 1:
    sys.exit(program.run(lambda: (print(os.getpid(), flush=True), time.sleep(600))))
os.environ["PLATFORM_STEP_PROCESS"] = str(os.getpid())
subprocess.Popen([sys.executable, __file__, "follow"]).wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone signals the death of a parent")
def test_a_process_that_does_not_speak_to_dagster_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FOLLOWER)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_PIPES")}
    environment["PYTHONPATH"] = str(Path(program.__file__).parents[2])
    first = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert first.stdout
    follower = psutil.Process(int(first.stdout.readline()))
    first.kill()
    first.wait()
    left = psutil.wait_procs([follower], timeout=30)[1]
    for process in left:
        process.kill()
    assert left == []


def test_processes_are_counted_by_torchrun_or_else_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert devices.by_node(3) == (3, 1)
    for name, value in (("LOCAL_WORLD_SIZE", "4"), ("WORLD_SIZE", "8"), ("TORCHELASTIC_RUN_ID", "a")):
        monkeypatch.setenv(name, value)
    assert devices.by_node(3) == (4, 2)


def test_seeds_are_the_same_everywhere_and_differ_by_occasion() -> None:
    assert derive("batches", 0, 1) == 4193841673145638597
    assert len({derive("batches", seed, epoch) for seed in range(30) for epoch in range(30)}) == 900


def test_the_picture_of_the_losses_is_the_same_for_the_same_losses() -> None:
    steps = [Step(3 / (1 + number), 1e-4, 10) for number in range(20)]
    epochs = [Epoch(1.5, 1.4, 1e-4, 10), Epoch(0.3, None, 0.0, 20)]
    first = loss_plot(steps, epochs, "a $ b $")
    assert first == loss_plot(steps, epochs, "a $ b $")
    assert first.startswith(b"\x89PNG")
    assert first != loss_plot(steps, epochs[:1], "a $ b $")
