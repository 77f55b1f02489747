"""How likely a light query is kept, against the slow way and against what the .sql files compute."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import inclusion, sampling
from platform_assets.query_predictor.documented_keys import BoundarySampling
from platform_assets.query_predictor.inclusion import UNIT

DISTANCES = st.floats(0, 1e6) | st.sampled_from([0.0, 0.4999999, 0.5, 0.75, 0.999, 1.0])
COUNTED = st.dictionaries(st.integers(1, 2 * UNIT), st.integers(1, 10**7), min_size=1, max_size=50)


def kept_by(k: float, counted: dict[int, int]) -> float:
    return sum(queries * min(1.0, k * units / UNIT) for units, queries in counted.items())


@given(COUNTED, st.floats(0.0001, 1.2))
def test_k_makes_the_probabilities_sum_up_to_the_target(counted: dict[int, int], share: float) -> None:
    units, queries = (np.array(values, np.int64) for values in (list(counted), list(counted.values())))
    total = int(queries.sum())
    k = inclusion.solve_k(units, queries, share * total)
    assert kept_by(k, counted) == pytest.approx(min(share, 1) * total, rel=1e-9)
    low, high = 0.0, 2.0 * UNIT  # the slow way: halve until nothing is left between
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if kept_by(middle, counted) < min(share, 1) * total else (low, middle)
    assert kept_by(high, counted) == pytest.approx(kept_by(k, counted), rel=1e-9)
    order = np.random.default_rng(0).permutation(len(units))
    assert inclusion.solve_k(units[order], queries[order], share * total) == k


@given(COUNTED, st.integers(1, 10**6), st.floats(1, 1000), st.floats(0.1, 20))
def test_weights_speak_of_the_queries_as_they_come(
    counted: dict[int, int], heavy: int, cap: float, ratio: float
) -> None:
    units, queries = (np.array(values, np.int64) for values in (list(counted), list(counted.values())))
    found = inclusion.of(units, queries, heavy, BoundarySampling(balance_ratio=ratio, weight_cap=cap))
    assert ((found.probability > 0) & (found.probability <= 1)).all()
    assert found.expected == pytest.approx(min(ratio * heavy, queries.sum()), rel=1e-9)
    expected_weight = heavy * found.heavy_weight + (queries * found.probability * found.weight).sum()
    assert expected_weight == pytest.approx(heavy + found.expected, rel=1e-9)
    ratios = found.weight / found.heavy_weight
    assert ratios == pytest.approx(np.minimum(1 / found.probability, cap))
    if cap >= (1 / found.probability).max():
        assert (queries * found.probability * ratios).sum() == pytest.approx(queries.sum(), rel=1e-9)


def test_the_documented_weights() -> None:
    options = BoundarySampling()
    found = {distance: inclusion.boundary_weight(distance, options) for distance in (0, 0.49, 0.5, 0.75, 0.9, 1, 50)}
    assert found == pytest.approx({0: 1, 0.49: 1, 0.5: 1.025, 0.75: 0.5375, 0.9: 0.245, 1: 0.05, 50: 0.05})


@given(st.floats(0, 1))
def test_a_threshold_takes_its_share_of_all_hashes(probability: float) -> None:
    threshold = inclusion.hash_threshold(probability)
    share = 1.0 if threshold == "g" else int(threshold, 16) / 16**13
    assert share == pytest.approx(probability, abs=16**-13)
    assert (threshold > "f" * 13) == (probability == 1 or share == 1)


@settings(max_examples=10)
@given(st.lists(DISTANCES, min_size=1, max_size=50, unique=True))
def test_the_sql_and_the_formula_agree(distances: list[float]) -> None:
    import duckdb

    from platform_assets.core import transform

    step = transform.load(sampling.SQL / "boundary_weights.sql").steps[0]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE light_queries AS SELECT 'x' AS queryId, unnest(?::DOUBLE[]) AS boundary_distance", [distances]
        )
        connection.execute(
            "CREATE TABLE parameters AS SELECT 2.0::DOUBLE AS max_boost, 0.05::DOUBLE AS min_multiplier, TRUE AS sample_all, "
            "'' AS salt, '' AS fraction_threshold"
        )
        counted = dict(connection.execute(transform.to_duckdb(step.query)).fetchall())
    found = sorted(units for units, queries in counted.items() for _ in range(queries))
    expected = sorted(UNIT * inclusion.boundary_weight(distance, BoundarySampling()) for distance in distances)
    assert found == pytest.approx(expected, abs=0.51)
