"""A work folder is one training's, and one program's at a time; the training's other processes wait for its first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from platform_assets.training import work_folder
from platform_assets.training.errors import OtherFingerprint, TrainingError, WorkFolderBusy
from platform_assets.training.work_folder import WorkFolder

HOLD = """
import sys, time
from pathlib import Path
from platform_assets.training.work_folder import WorkFolder
with WorkFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    return WorkFolder(tmp_path / "work")


def test_it_belongs_to_the_training_that_claimed_it_and_keeps_its_facts(work: WorkFolder) -> None:
    assert work.claim("a" * 64, {"threads": 3}) == {"threads": 3}
    assert work.claim("a" * 64, {"threads": 1}) == {"threads": 3}
    assert work.claimed("a" * 64) == {"threads": 3}
    for claim in (lambda: work.claim("b" * 64, {"threads": 1}), lambda: work.claimed("b" * 64)):
        with pytest.raises(OtherFingerprint, match=r"fingerprint aaaaaaaaaaaa, this one has bbbbbbbbbbbb.*--work"):
            claim()
    assert json.loads((work.path / "run.json").read_text())["fingerprint"] == "a" * 64


def test_other_processes_wait_for_what_the_first_decides(work: WorkFolder) -> None:
    first = threading.Timer(0.3, lambda: work.claim("a" * 64, {"threads": 2}))
    first.start()
    assert work.claimed("a" * 64, seconds=20) == {"threads": 2}
    first.join()


def test_a_first_process_that_never_begins_is_told_with_its_remedy(work: WorkFolder) -> None:
    with pytest.raises(TrainingError, match=r"did not begin in .* within 0 s: .*the same --work folder"):
        work.claimed("a" * 64, seconds=0)


def test_a_second_program_is_kept_out_until_the_first_leaves(work: WorkFolder) -> None:
    refused = pytest.raises(WorkFolderBusy, match=r"another training works in this folder: .*work \(process \d+ on ")
    with work.held(), refused, WorkFolder(work.path).held(seconds=0):
        raise AssertionError("it came in")
    with WorkFolder(work.path).held(seconds=0):
        assert (work.path / work_folder.LOCK).exists()


def test_a_training_that_fails_leaves_the_folder_free(work: WorkFolder) -> None:
    with pytest.raises(ZeroDivisionError), work.held():
        raise ZeroDivisionError
    with work.held(seconds=0):
        pass


def test_a_killed_holder_leaves_the_folder_free_and_its_successor_waits_for_that(work: WorkFolder) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(work.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkFolderBusy, match=f"process {holder.pid} on"), work.held(seconds=0.2):
            raise AssertionError("it came in")
        threading.Timer(0.3, holder.kill).start()
        began = time.monotonic()
        with work.held():
            assert time.monotonic() - began < work_folder.HOLDER_SECONDS


def test_a_folder_that_its_holder_removed_is_made_anew_and_held_by_one(work: WorkFolder) -> None:
    with work.held():
        shutil.rmtree(work.path)
    with work.held(seconds=0), pytest.raises(WorkFolderBusy), WorkFolder(work.path).held(seconds=0):
        raise AssertionError("it came in")


def test_of_many_at_once_one_works_at_a_time(work: WorkFolder) -> None:
    inside, seen = 0, []

    def program() -> None:
        nonlocal inside
        with WorkFolder(work.path).held(seconds=30):
            inside += 1
            seen.append(inside)
            time.sleep(0.01)
            inside -= 1
            if len(seen) % 2:
                shutil.rmtree(work.path)

    programs = [threading.Thread(target=program) for _ in range(6)]
    for each in programs:
        each.start()
    for each in programs:
        each.join()
    assert seen == [1] * 6
