"""What a replay's command line names: a version of the planner's policy, or an error that says what to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from platform_assets.core.policy_version import PolicyVersion
from platform_assets.core.registry import Registry
from platform_assets.planner import replay, replay_inputs


def version(policy: str, number: int, model_version: str | None = None) -> PolicyVersion:
    return PolicyVersion(
        f"{policy} {number}", "p", policy, number, "model", model_version, {}, "registered", None, None
    )


@pytest.mark.parametrize("known", [None, version("another_policy", 1, "3")])
def test_a_model_that_is_no_version_of_the_planners_policy_is_refused_in_one_line(
    known: PolicyVersion | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    for service in ("open_tracking", "open_warehouse"):
        monkeypatch.setattr(replay_inputs.services, service, lambda settings: Mock())
    monkeypatch.setattr(Registry, "version_of_model", lambda self, name, number: known)
    words = ["--model_name", "other_model", "--model_version", "3", "--dataset", "x", "--output", str(tmp_path / "out")]
    assert replay.main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: other_model 3 is no version of planner_policy: train it with planner/model, or with")
    assert said.count("\n") == 1
