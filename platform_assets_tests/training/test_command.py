"""A training program's command, whatever it trains: one that knows neither torch nor devices serves as the example."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from platform_assets.core.tracking import DatasetReference, Run
from platform_assets.core.trained_on import TrainedOn
from platform_assets.training import command, record
from platform_assets.training.errors import TrainingError
from platform_assets.training.options import read_words
from platform_assets.training.record import Record, Subject, TrainingResult
from platform_assets.training.work_folder import WorkFolder


@dataclass(frozen=True)
class Trees:
    """Options of a training without epochs."""

    output: Path
    """Where the model folder is written."""
    trees: int = 3
    """How many."""
    work: Path | None = None
    """Where the state is kept."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.trees < 1:
            raise ValueError(f"--trees must be 1 or more, not {self.trees}")


@contextmanager
def opened(options: Trees) -> Iterator[Trees]:
    with WorkFolder.begun(options, "metrics.json"):
        yield options


def subject(inputs: Trees) -> Subject:
    read = TrainedOn([DatasetReference("sample/2026-01-05", "d" * 32, "file:///lake")], {"source": "logs"})
    return Subject(Mock(experiment="trees"), f"trees {inputs.trees}", read, lambda folder: {"trees": inputs.trees})


def train(inputs: Trees, kept: Record, say: command.Say) -> TrainingResult:
    if inputs.trees > 99:
        raise TrainingError("too many trees: plant fewer")
    inputs.output.mkdir()
    metrics = {"trees": inputs.trees}
    (inputs.output / "metrics.json").write_text(json.dumps(metrics))
    say("planted")
    return TrainingResult(inputs.output, f"trees {inputs.trees}", {"trees": inputs.trees}, metrics)


PROGRAM = command.Command("made.up.trees", "Plant trees.", Trees, opened, subject, train)


def test_a_program_without_epochs_or_devices_is_a_command_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(command.program, "run", lambda work, errors: told.append(work()) or 0)
    assert command.run(PROGRAM, ["--output", str(tmp_path / "out"), "--trees", "5"]) == 0
    assert capsys.readouterr().err == f"planted\nwrote {tmp_path / 'out'}\n"
    assert told == [{"folder": str(tmp_path / "out"), "fingerprint": "trees 5", "metrics": {"trees": 5}}]
    assert (tmp_path / "out.work").is_dir()


def test_what_a_person_can_mend_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(PROGRAM, ["--output", str(tmp_path / "out"), "--trees", "100"]) == 1
    assert capsys.readouterr().err == "error: too many trees: plant fewer\n"
    (tmp_path / "letters").touch()
    assert command.run(PROGRAM, ["--output", str(tmp_path)]) == 1
    assert "holds something else than an earlier output" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.run(PROGRAM, ["--output", "x", "--trees", "0"])
    assert "--trees must be 1 or more, not 0" in capsys.readouterr().err


def test_advice_comes_before_what_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    advising = replace(PROGRAM, advised=lambda parsed, given: ["--trees", str(parsed.trees + 4), *given])
    for name, words, trees in (("a", [], 7), ("b", ["--trees", "2"], 2)):
        assert command.run(advising, ["--output", str(tmp_path / name), *words]) == 0
        assert json.loads((tmp_path / name / "metrics.json").read_text()) == {"trees": trees}


def test_the_options_can_be_read_before_the_program_runs() -> None:
    assert read_words(Trees, ["--output", "x", "--trees=4"], "made.up.trees") == Trees(Path("x"), 4)
    with pytest.raises(ValueError, match=r"^--colour red is no option of python -m made\.up\.trees$"):
        read_words(Trees, ["--output", "x", "--colour", "red"], "made.up.trees")
    with pytest.raises(ValueError, match="--trees: invalid int value: 'many'"):
        read_words(Trees, ["--output", "x", "--trees", "many"], "made.up.trees")
    with pytest.raises(ValueError, match="--trees must be 1 or more"):
        read_words(Trees, ["--output", "x", "--trees", "0"], "made.up.trees")


@pytest.mark.parametrize("words", [["--outp", "elsewhere"], ["--tree=4"], ["--wor", "a"]])
def test_an_option_has_its_whole_name_alone(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever decides which options may be given compares names."""
    with pytest.raises(ValueError, match=f"^{' '.join(words)} is no option of"):
        read_words(Trees, ["--output", "x", *words], "made.up.trees")
    with pytest.raises(SystemExit):
        command.run(PROGRAM, ["--output", "x", *words])
    assert f"unrecognized arguments: {' '.join(words)}" in capsys.readouterr().err


def test_an_open_run_is_told_everything_and_one_of_its_own_says_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tracking = Mock(spec=Run), Mock()
    tracking.open_run.return_value = run
    monkeypatch.setattr(record.services, "open_tracking", lambda settings: tracking)
    with record.recording(subject(Trees(tmp_path)), "a run", False, False) as kept:
        kept.on_epoch(2, {"val_loss": 1.0})
        kept.on_quick_validation(30, {"quick_val_loss": 2.0})
        kept.finish(
            TrainingResult(tmp_path, "f", {"trees": 3}, {"trees": 3, "early": True}, rates={"rows_per_second": 9.0})
        )
        assert kept.register(tmp_path) == {}
    assert [(call.args[0], call.kwargs) for call in run.log_metrics.call_args_list] == [
        ({"val_loss": 1.0}, {"step": 2}), ({"quick_val_loss": 2.0}, {"step": 30}),
        ({"final_trees": 3.0, "rows_per_second": 9.0}, {}),
    ]  # fmt: skip
    run.log_parameters.assert_called_once_with({"trees": 3})
    run.log_dataset.assert_not_called()

    with record.recording(subject(Trees(tmp_path)), "a run", True, True) as kept:
        assert (kept.run, kept.registers) == (None, None)


def test_whoever_writes_a_command_without_torch_loads_none() -> None:
    program = "import sys, platform_assets.training.command; print(sorted({'torch', 'lightning', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
