"""The weekly drift check: it fails for a changed world, and not for a roll-out, a filling history or a first week."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.profile import Profile, profile_table
from platform_assets.planner import drift

ROWS = 400


def week(
    folder: Path, seed: int, *, size: float = 3.0, policy: str = "v0", experiment: str | None = None, recents: int = 1
) -> Profile:
    """The profile of a small week; what is not said stays as it always is."""
    chance = random.Random(seed)
    rows = [
        {
            "input": {
                "household": {"id": f"h{chance.random()}", "size": round(chance.gauss(size, 1))},
                "workflow_type": chance.choice(["plan-first", "meal-first"]),
                "recent_plans": [1] * recents,
            },
            "metadata": {"policy_version_id": policy, "experiment_id": experiment, "plan_id": f"p{chance.random()}"},
        }
        for _ in range(ROWS)
    ]
    schema = pa.schema(
        [
            (
                "input",
                pa.struct(
                    [
                        ("household", pa.struct([("id", pa.string()), ("size", pa.int32())])),
                        ("workflow_type", pa.string()),
                        ("recent_plans", pa.list_(pa.int32())),
                    ]
                ),
            ),
            (
                "metadata",
                pa.struct([(name, pa.string()) for name in ("policy_version_id", "experiment_id", "plan_id")]),
            ),
        ]
    )
    path = folder / f"{seed}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return profile_table([path])


@pytest.fixture
def trailing(tmp_path: Path) -> list[Profile]:
    return [week(tmp_path, seed) for seed in (1, 2, 3, 4)]


def test_a_week_like_those_before_it_passes_and_is_drawn(trailing: list[Profile], tmp_path: Path) -> None:
    outcome, pictures = drift.judge_week(trailing, week(tmp_path, 5), "planner/x", warming_up=False)
    assert outcome.passed, outcome.reason
    assert pictures[drift.PICTURE].startswith(b"\x89PNG")


def test_households_of_another_size_fail_and_are_named(trailing: list[Profile], tmp_path: Path) -> None:
    outcome, _ = drift.judge_week(trailing, week(tmp_path, 6, size=5.0), "planner/x", warming_up=False)
    assert not outcome.passed
    assert not outcome.warning
    assert "input.household.size" in outcome.reason


def test_a_roll_out_of_a_policy_or_an_experiment_is_no_drift(trailing: list[Profile], tmp_path: Path) -> None:
    current = week(tmp_path, 7, policy="v1", experiment="e1")
    assert drift.judge_week(trailing, current, "planner/x", warming_up=False)[0].passed


def test_histories_are_judged_only_once_they_are_full(trailing: list[Profile], tmp_path: Path) -> None:
    current = week(tmp_path, 8, recents=4)
    assert drift.judge_week(trailing, current, "planner/x", warming_up=True)[0].passed
    assert not drift.judge_week(trailing, current, "planner/x", warming_up=False)[0].passed


def test_a_first_week_has_nothing_to_drift_from(tmp_path: Path) -> None:
    outcome, pictures = drift.judge_week([], week(tmp_path, 9), "planner/x", warming_up=False)
    assert outcome.passed
    assert pictures == {}
