"""The world model's gate on made-up scores: better than the mixture, not merely as good, and for cold customers no worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.world_model import judgement
from platform_assets.world_model.judgement import HIT_AT_10, NEXT_HIT_AT_10, RECIPROCAL_RANK

ROWS, CUSTOMERS = 3000, 400
LIMITS = judgement.thresholds(1000, 250)
Change = Callable[[dict[str, Any]], None]


def scores(tmp_path: Path, change: Change = lambda columns: None, better: float = 0.05, rows: int = ROWS) -> Path:
    """A candidate whose hidden products stand first a little more often, then changed."""
    draw = np.random.default_rng(7)
    columns: dict[str, Any] = {
        "basket_id": np.arange(rows),
        "cluster": [f"c{number % min(CUSTOMERS, rows // 2)}" for number in range(rows)],
        "slice_customer": [("cold", "warm", "anonymous")[number % 3] for number in range(rows)],
    }
    luck = draw.random(rows)
    for side, share in (("candidate", 0.3 + better), ("baseline", 0.3)):
        ranks = np.where(luck < share, 1 + np.arange(rows) % 10, 50)
        columns[f"{side}_rank"] = ranks
        columns |= {f"{side}_{name}": each for name, each in judgement.from_ranks(ranks).items()}
        columns[f"{side}_{NEXT_HIT_AT_10}"] = (luck < 0.7).astype(float)
    change(columns)
    path = tmp_path / "replay_scores.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def judge(path: Path, limits: Any = LIMITS) -> Any:
    return judgement.judge(path, "v1", "v0", limits, {"world_model/tensor_cache/2008-06-30": "d" * 32})


def test_a_candidate_that_is_better_passes(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path))
    assert verdict.outcome == "pass", verdict.reasons
    assert verdict.digests == {"world_model/tensor_cache/2008-06-30": "d" * 32}
    assert {each.value for each in verdict.slices} == {"cold", "warm", "anonymous"}


def test_the_mixture_itself_is_no_better_than_the_mixture(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path, better=0.0))
    assert verdict.outcome == "inconclusive"
    assert "it must be better" in verdict.reasons[0]
    assert verdict.result(HIT_AT_10).status == "inconclusive"


def test_as_good_with_noise_is_no_pass(tmp_path: Path) -> None:
    def shuffled(columns: dict[str, Any]) -> None:
        columns[f"candidate_{HIT_AT_10}"] = np.random.default_rng(1).permutation(columns[f"baseline_{HIT_AT_10}"])

    assert judge(scores(tmp_path, shuffled)).outcome != "pass"


@pytest.mark.parametrize(("name", "loss"), [(HIT_AT_10, 0.2), (RECIPROCAL_RANK, 0.1), (NEXT_HIT_AT_10, 0.1)])
def test_a_regression_of_any_metric_is_rejected_for_that_reason(tmp_path: Path, name: str, loss: float) -> None:
    def worse(columns: dict[str, Any]) -> None:
        columns[f"candidate_{name}"] = columns[f"candidate_{name}"] - loss

    verdict = judge(scores(tmp_path, worse))
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].startswith(name)


def test_a_loss_within_the_margin_of_the_next_basket_is_no_reason(tmp_path: Path) -> None:
    def slightly(columns: dict[str, Any]) -> None:
        columns[f"candidate_{NEXT_HIT_AT_10}"] = columns[f"candidate_{NEXT_HIT_AT_10}"] - 0.005

    assert judge(scores(tmp_path, slightly)).outcome == "pass"


def test_cold_customers_must_not_lose(tmp_path: Path) -> None:
    def cold_lose(columns: dict[str, Any]) -> None:
        cold = np.asarray(columns["slice_customer"]) == "cold"
        hits = columns[f"baseline_{HIT_AT_10}"] - 0.04 * (np.arange(ROWS) % 2)
        columns[f"candidate_{HIT_AT_10}"] = np.where(cold, hits, columns[f"candidate_{HIT_AT_10}"])

    verdict = judge(scores(tmp_path, cold_lose))
    assert verdict.outcome == "fail"
    assert "customer=cold" in verdict.reasons[0]


def test_few_baskets_are_no_pass_unless_the_thresholds_say_demo(tmp_path: Path) -> None:
    path = scores(tmp_path, rows=600)
    assert judge(path).outcome == "inconclusive"
    limits = judgement.thresholds(300, 100)
    assert limits.name == "demo"
    assert judge(path, limits).outcome == "pass"
    assert "300 rows / 100 customers" in judge(path, limits).label


def test_scores_without_a_column_are_an_error_that_names_it(tmp_path: Path) -> None:
    def without(columns: dict[str, Any]) -> None:
        del columns[f"baseline_{NEXT_HIT_AT_10}"]

    with pytest.raises(ValueError, match=f"no column baseline_{NEXT_HIT_AT_10}"):
        judge(scores(tmp_path, without))


def test_means_are_those_of_the_rows_where_a_metric_is_defined(tmp_path: Path) -> None:
    def more(columns: dict[str, Any]) -> None:
        columns["popularity_rank"] = np.tile([1, 20], ROWS // 2)
        columns["candidate_basket_size_correct"] = [1.0, None, *[0.0] * (ROWS - 2)]

    found = judgement.means(scores(tmp_path, more))
    assert list(found) == ["candidate", "baseline", "popularity"]
    assert found["popularity"] == pytest.approx(
        {"hit_at_1": 0.5, "hit_at_5": 0.5, "hit_at_10": 0.5, "reciprocal_rank": 0.525}
    )
    assert found["candidate"]["basket_size_correct"] == pytest.approx(1 / (ROWS - 1))
    assert found["candidate"]["hit_at_10"] > found["baseline"]["hit_at_10"]
