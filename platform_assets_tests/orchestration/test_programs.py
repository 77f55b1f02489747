"""Programs that assets start: their result, their words and their failures arrive; none outlives a step that is gone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import psutil
import pytest

from platform_assets.core.step import ProgramFailed
from platform_assets.orchestration import programs
from platform_assets.orchestration.failures import is_transient, to_step_failure

PROGRAM = """
import os, signal, sys, time
from platform_assets.core.settings import SettingError
from platform_assets.core.warehouse import Unreachable
from platform_assets.training import program

class Wrong(RuntimeError): ...

def work():
    program.say("half of it is done")
    program.say_by_hand(f"it lies in {os.getcwd()}")
    match sys.argv[1]:
        case "works": return {"rows": 3, "told": os.environ["TOLD"]}
        case "unreachable": raise Unreachable("cannot reach postgresql://db: is the server running?")
        case "setting": raise SettingError("PLATFORM_X is 'y'; write a number")
        case "wrong": raise Wrong("the adapter was made for another base: train again")
        case "bug": raise KeyError("oops")
        case "killed": os.kill(os.getpid(), signal.SIGKILL)
        case "waits":
            open(sys.argv[2], "w").write(str(os.getpid()))
            time.sleep(600)

sys.exit(program.run(work, (Wrong,)))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "some_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    return "some_program"


def start(module: str, words: Sequence[str]) -> tuple[dict | None, BaseException | None, list[str]]:
    """(result, error, log lines) of a program that an asset ran."""
    seen: list = [None, None]

    @dg.asset
    def asset(context: dg.AssetExecutionContext):
        try:
            seen[0] = programs.run_program(context, module, words, {"TOLD": "by the asset"})
        except BaseException as error:
            seen[1] = error
        yield dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([asset], instance=instance)
        lines = [entry.user_message for entry in instance.all_logs(run.run_id)]
    return seen[0], seen[1], lines


def test_a_program_returns_its_result_and_speaks_in_the_runs_log(module: str) -> None:
    result, error, lines = start(module, ["works"])
    assert (result, error) == ({"rows": 3, "told": "by the asset"}, None)
    assert "half of it is done" in lines


def test_where_a_program_wrote_is_told_to_who_runs_it_and_not_to_a_run_that_removes_it(module: str) -> None:
    _, _, lines = start(module, ["works"])
    by_hand = subprocess.run(
        [sys.executable, "-m", module, "works"], capture_output=True, text=True, check=True,
        env={**os.environ, "TOLD": "by hand"},
    )  # fmt: skip
    assert by_hand.stderr.splitlines() == ["half of it is done", f"it lies in {os.getcwd()}"]
    assert not any("it lies in" in line for line in lines)


def test_what_a_later_try_may_mend_is_told_from_what_a_person_must(module: str) -> None:
    _, error, _ = start(module, ["unreachable"])
    assert error is not None
    assert is_transient(error)
    assert "is the server running?" in str(error)
    for word, said in (("setting", "PLATFORM_X"), ("wrong", "another base: train again")):
        _, error, _ = start(module, [word])
        assert isinstance(error, ProgramFailed)
        assert said in str(error)
        failure = to_step_failure(error, retry=0)
        assert isinstance(failure, dg.Failure)
        assert failure.allow_retries is False


@pytest.mark.parametrize(("word", "said"), [("bug", "status 1"), ("killed", "when memory runs out")])
def test_a_program_that_breaks_without_a_word_is_a_failure_that_says_how(module: str, word: str, said: str) -> None:
    _, error, _ = start(module, [word])
    assert isinstance(error, ProgramFailed)
    assert said in str(error)


def test_a_program_dies_with_the_step_that_is_killed(module: str, tmp_path: Path) -> None:
    number = tmp_path / "pid"
    step = (
        "import sys; sys.path.insert(0, '.'); from platform_assets_tests.orchestration.test_programs import start;"
        f"start({module!r}, ['waits', {str(number)!r}])"
    )
    parent = subprocess.Popen([sys.executable, "-c", step], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (number.exists() and number.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    child = psutil.Process(int(number.read_text()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert psutil.wait_procs([child], timeout=30)[1] == []
