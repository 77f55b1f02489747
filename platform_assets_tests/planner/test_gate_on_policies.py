"""The gate over replays of policies with planted tastes and planted faults: who passes, how often, and for which reason.

Policies without a model, so that a truly equal candidate and a fault of known kind are cheap. What does not belong here: the
gate on made-up scores (`test_judgement`), trained models (`benchmarks.planner_gate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.gate import Verdict
from platform_assets.planner import baselines, judgement
from platform_assets.planner.judgement import ALIGNMENT, OFFLINE, RAW_RESPECT, RESPECT
from platform_assets.planner.plans import Recipe, Request, place
from platform_assets.planner.policies import Proposal
from platform_assets.planner.replay import replay
from platform_assets.planner.replay_inputs import Side
from platform_assets.planner.replay_rows import ReplayRow, Selection
from platform_assets.planner.targets import Target
from platform_assets_tests.planner.plan_samples import book, context, recipe

HOUSEHOLDS, CUISINES, EACH = 600, 8, 5
LIMITS = judgement.thresholds(150, 150)
RECIPES = book(
    *(
        recipe(f"r{cuisine}{number}", cuisine=f"c{cuisine}", foods=("nuts" if number == 0 else "rice",))
        for cuisine in range(CUISINES)
        for number in range(EACH)
    )
)
Tastes = Mapping[str, str]


def draw_tastes(seed: int) -> Tastes:
    """The one cuisine that each household likes."""
    drawn = np.random.default_rng(seed).integers(CUISINES, size=HOUSEHOLDS)
    return {f"h{number}": f"c{cuisine}" for number, cuisine in enumerate(drawn)}


TASTES, EARLIER = draw_tastes(1), draw_tastes(2)


def draw_rows(tastes: Tastes) -> Selection:
    """One accepted plan a household: three meals that it likes and one that is anything, all of them admissible."""
    random, selection = np.random.default_rng(3), Selection()
    for number, (household, liked) in enumerate(tastes.items()):
        excluded = ["nuts"] if number % 3 == 0 else []
        asked = Request(context(household_id=household, excluded=excluded), RECIPES)
        known = [each.id for each in asked.candidates if each.cuisine == liked]
        others = [each.id for each in asked.candidates if each.cuisine != liked]
        eaten = [*random.choice(known, 3, replace=False).tolist(), str(random.choice(others))]
        accepted = Target(place(eaten, asked.context))
        selection.rows.append(ReplayRow(f"p{number}", household, asked, accepted, "logger", False, number % 10 != 0))
    return selection


@dataclass(frozen=True)
class TastePlanner:
    """Plans what the household is thought to like, in an order of its own; careless: whatever the household excludes."""

    tastes: Tastes
    seed: int
    careless: bool = False
    name: str = "taste"

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        return [self._propose(request) for request in requests]

    def _propose(self, request: Request) -> Proposal:
        household = request.context.household.id
        offered: Sequence[Recipe] = list(request.recipes.values()) if self.careless else request.candidates
        ranks = np.random.default_rng([self.seed, int(household[1:])]).permutation(len(offered))
        order = sorted(range(len(offered)), key=lambda at: (offered[at].cuisine != self.tastes[household], ranks[at]))
        ranking = [offered[at] for at in order]
        if self.careless:
            return Proposal(place([each.id for each in ranking[:5]], request.context))
        return baselines.propose(ranking, request)


@dataclass(frozen=True)
class Given(Side):
    """A side whose policy is given."""

    policy: Any = None

    def load(self, batch_size: int = 1) -> Any:
        return self.policy


def replayed(path: Path, candidate: TastePlanner, baseline: TastePlanner) -> pa.Table:
    replay(Given("1", policy=candidate), Given("0", policy=baseline), draw_rows(TASTES), 64, path)
    return pq.read_table(path)


def judge(path: Path, scores: pa.Table) -> Verdict:
    pq.write_table(scores, path)
    return judgement.judge(path, "1", "0", LIMITS, {})


NOW, OTHER, STALE = TastePlanner(TASTES, seed=1), TastePlanner(TASTES, seed=2), TastePlanner(EARLIER, seed=1)
CARELESS = TastePlanner(TASTES, seed=1, careless=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay_scores.parquet"


@pytest.mark.slow
def test_equal_policies_pass_as_often_as_the_verdicts_predict(path: Path) -> None:
    random, draws = np.random.default_rng(0), 60
    # Both ways in turn: on a finite number of households one of the two is a little better.
    tables = [replayed(path, *sides) for sides in ((OTHER, NOW), (NOW, OTHER))]
    verdicts = []
    for draw in range(draws):
        chosen = np.sort(random.choice(HOUSEHOLDS, 150, replace=False))
        verdicts.append(judge(path, tables[draw % 2].take(pa.array(chosen))))
    for name in (ALIGNMENT, OFFLINE):
        results = [each.result(name) for each in verdicts]
        passed = np.mean([each.status == "pass" for each in results])
        predicted = np.mean([each.bounds.chance_equal_passes for each in results if each.bounds])
        assert passed == pytest.approx(predicted, abs=0.15), name


def test_a_policy_of_last_months_tastes_is_rejected_by_alignment(path: Path) -> None:
    verdict = judge(path, replayed(path, STALE, NOW))
    assert verdict.outcome == "fail"
    assert {verdict.result(ALIGNMENT).status, verdict.result(OFFLINE).status} == {"fail"}


def test_a_policy_of_todays_tastes_replaces_last_months(path: Path) -> None:
    assert judge(path, replayed(path, NOW, STALE)).outcome == "pass"


def test_plans_that_nobody_validates_are_rejected_by_constraint_respect(path: Path) -> None:
    scores = replayed(path, CARELESS, NOW)
    served = scores.schema.get_field_index(f"candidate_{RESPECT}")
    proposed = scores.set_column(served, f"candidate_{RESPECT}", scores[f"candidate_{RAW_RESPECT}"])
    verdict = judge(path, proposed)
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].startswith(f"{RESPECT} fails")


def test_a_policy_that_leans_on_the_validator_is_rejected_by_what_it_proposed(path: Path) -> None:
    verdict = judge(path, replayed(path, CARELESS, NOW))
    assert verdict.outcome == "fail"
    assert [each.broken for each in verdict.constraints] == [0]
    assert verdict.result(RAW_RESPECT).status == "fail"
