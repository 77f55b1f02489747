"""kill -9 in training, in replay, before the policy version's row and before the verdict: a repetition completes each once.

Also an MLflow that is away, or fails at the registration. What an undisturbed training makes is told by a platform of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from platform_assets.core.registered_model import RegisteredModel
from platform_assets.core.registry import Registry
from platform_assets.core.tracking import Tracking
from platform_assets.planner import replay
from platform_assets.planner.assets import jobs
from platform_assets.planner.assets.common import MODEL, POLICY_VERSION, REPLAY_SCORES, address
from platform_assets_tests.end_to_end.own_services import own_mlflow
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform
from platform_assets_tests.fault_proxy import Fault, FaultProxy
from platform_assets_tests.processes import free_port, wait_for

FIRST, SECOND, _ = WEEKS
# Some twenty steps an epoch, a checkpoint after each: there is a middle.
SLOW = {"epochs": 3, "batch_size": 2, "options": {"threads": "1", "checkpoint_every": "1"}}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelPlatform]:
    with model_platform(postgres_server, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a training that nobody killed."""
    with model_platform(postgres_server, tmp_path_factory) as other:
        told = other.train(FIRST, model=SLOW)
        assert told.success, told.words
        return other.current(MODEL, FIRST).digest


@pytest.fixture(scope="module")
def trained(platform: ModelPlatform, undisturbed: str) -> None:
    """The first week's model, after a kill in its training and one after its registration."""
    config = {"ops": {"planner__model": {"config": SLOW}}}
    with platform.started(jobs.TRAINING, FIRST, config=config, real_programs=True) as (step, _):
        wait_for("a checkpoint", lambda: _left(platform, "newest.ckpt"), 600)
        (program,) = psutil.Process(step.pid).children()
        assert "platform_assets.planner.training" in program.cmdline()
        step.kill()
        step.join()
    wait_for("the end of the program", lambda: not _is_alive(program), 60)
    assert not _left(platform, "best.ckpt"), "an epoch was over"
    assert platform.lake.current(address(MODEL, FIRST)) is None
    assert platform.models == {}

    killed = platform.killed(jobs.TRAINING, FIRST, config=config, before=_die_after_the_registration)
    assert killed == -signal.SIGKILL
    assert platform.current(MODEL, FIRST).digest == undisturbed
    assert (set(platform.models), platform.policy_versions) == ({"1"}, {})
    told = platform.train(FIRST, model=SLOW)
    assert told.success, told.words


def test_a_training_killed_in_an_epoch_and_after_its_registration_is_one_model_and_one_version(
    platform: ModelPlatform, trained: None, undisturbed: str
) -> None:
    assert platform.current(MODEL, FIRST).digest == undisturbed
    assert set(platform.models) == {"1"}
    assert {number: version.status for number, version in platform.policy_versions.items()} == {1: "registered"}
    assert platform.models["1"]["policy_version_id"] == platform.policy_versions[1].id
    run = platform.models["1"]["run_id"]
    history = platform.tracking.client.get_metric_history(run, "val_loss")
    assert [each.step for each in history] == [0, 1, 2], "the run has the epochs from before the kill as well"
    assert not _left(platform, "newest.ckpt"), "what a finished training leaves is removed"


def test_killed_in_replay_and_before_the_verdict_is_recorded_a_week_is_judged_once(
    platform: ModelPlatform, trained: None
) -> None:
    lost = platform.judge(SECOND, in_programs=_die_in_replay)
    assert not lost.success
    assert "platform_assets.planner.replay was killed (SIGKILL), as the system does when memory runs out" in lost.words
    assert platform.lake.current(address(REPLAY_SCORES, SECOND)) is None

    killed = platform.killed(jobs.JUDGEMENT, SECOND, before=_die_before_the_verdict)
    assert killed == -signal.SIGKILL
    scores, verdict = (platform.current(key, SECOND).digest for key in (REPLAY_SCORES, POLICY_VERSION))
    assert platform.rows("SELECT * FROM exp.policy_verdicts") == []
    assert platform.policy_versions[1].status == "registered"

    told = platform.judge(SECOND)
    assert told.success, told.words
    assert [platform.current(key, SECOND).digest for key in (REPLAY_SCORES, POLICY_VERSION)] == [scores, verdict]
    assert platform.rows("SELECT replay_digest, outcome FROM exp.policy_verdicts") == [(scores, "fail")]
    recorded = platform.rows(
        "SELECT status, replay_digest, is_better_than_baseline FROM exp.offline_replay_results ORDER BY created_at"
    )
    assert recorded == [("failed", None, None), ("completed", scores, False)]
    assert platform.policy_versions[1].status == "rejected"
    assert platform.models["1"]["stage"] == "archived"


def test_an_mlflow_that_is_away_or_fails_at_the_registration_is_retried_and_gets_one_whole_version(
    platform: ModelPlatform, tmp_path: Path
) -> None:
    impatient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    away = replace(platform, mlflow_uri=f"http://127.0.0.1:{free_port()}").train(SECOND, environment=impatient)
    assert (away.success, away.attempts) == (False, 4)
    assert "is the server running, and is MLFLOW_TRACKING_URI right?" in away.words
    with own_mlflow(tmp_path / "server") as port, FaultProxy(f"http://127.0.0.1:{port}") as proxy:
        Tracking(proxy.url).create_experiments(None)
        other = replace(platform, mlflow_uri=proxy.url)
        proxy.plan(Fault("unavailable", 1, "POST", "model-versions/create"))
        told = other.train(SECOND, environment=impatient)
        assert told.success, told.words
        assert told.attempts == 2
        assert "does not answer" in told.words
        assert set(other.models) == {"1"}
        assert other.models["1"]["model_digest"] == platform.current(MODEL, SECOND).digest


def _left(platform: ModelPlatform, name: str) -> list[Path]:
    """Files of this name that trainings left."""
    return list(platform.settings.training_folder.rglob(name))


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after_the_registration() -> None:
    RegisteredModel.register_policy_versions = _die  # type: ignore[assignment,method-assign]


def _die_before_the_verdict() -> None:
    Registry.record_verdict = _die  # type: ignore[assignment,method-assign]


def _die_in_replay() -> None:
    """After the candidate's rows, before the baseline's."""
    scored = replay._scored
    replay._scored = lambda name, *others: _die() if name == "baseline" else scored(name, *others)  # type: ignore[assignment]
