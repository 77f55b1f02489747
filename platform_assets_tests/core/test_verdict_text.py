"""A verdict's table: it counts what hangs together by its name."""

from __future__ import annotations

import numpy as np
import pytest

from platform_assets.core import verdict_text
from platform_assets.core.comparison import Comparison, Metric, Thresholds
from platform_assets.core.gate import decide

ROWS, CLUSTERS = 60, 30


@pytest.mark.parametrize("cluster", ["household", "customer"])
def test_rows_that_hang_together_are_called_as_the_thresholds_call_them(cluster: str) -> None:
    better = np.linspace(0, 0.1, ROWS)
    compared = Comparison(
        [str(row) for row in range(ROWS)], [f"c{row % CLUSTERS}" for row in range(ROWS)], {"hit": 0.5 + better},
        {"hit": np.full(ROWS, 0.5)},
    )  # fmt: skip
    limits = Thresholds("demo", minimum_rows=50, minimum_clusters=20, cluster=cluster)
    document = decide(compared, [Metric("hit", 0.0)], limits).document()
    lines = list(verdict_text.comparison_lines(document))
    assert lines[0] == f"60 rows, 30 {cluster}s"
    assert lines[3].startswith("| hit | 0.5500 | 0.5000 | +0.0500 | +")
    assert lines[3].endswith(" | 0.0000 | pass |")
    assert f"30 {cluster}s" in lines[4]


def test_requirements_are_a_table_of_their_own_and_older_verdicts_have_none() -> None:
    document = {"rows": 1200, "clusters": 300, "thresholds": {}, "metrics": [], "reasons": ["recall fails: look"]}
    required = [
        {"name": "recall", "status": "fail", "blocks": True, "reason": "", "value": 0.95, "limit": 0.98},
        {"name": "f1", "status": "inconclusive", "blocks": False, "reason": "", "value": None, "limit": 0.85},
    ]
    assert list(verdict_text.comparison_lines({**document, "requirements": required}))[3:] == [
        "", "| requirement | value, or its sure bound | limit | status |", "|---|---:|---:|---|", "| recall | 0.9500 | 0.9800 | fail |",
        "| f1 |  | 0.8500 | inconclusive; does not block |", "- recall fails: look",
    ]  # fmt: skip
    assert list(verdict_text.comparison_lines(document))[3:] == ["- recall fails: look"]


def test_the_requirements_of_an_assets_page_have_their_reasons_whatever_these_hold() -> None:
    required = [
        {"name": "recall", "status": "fail", "blocks": True, "reason": "3 | 9 missed", "value": 0.95, "limit": 0.98},
        {"name": "f1", "status": "inconclusive", "blocks": False, "reason": "no class", "value": None, "limit": 0.85},
    ]
    assert verdict_text.requirements_table(required).splitlines()[1:] == [
        "|---|---|---:|---:|---|", r"| recall | fail | 0.9500 | 0.9800 | 3 \| 9 missed |",
        "| f1 | inconclusive; does not block |  | 0.8500 | no class |",
    ]  # fmt: skip


def test_a_verdict_from_before_clusters_had_names_counts_households() -> None:
    document = {"rows": 1200, "clusters": 300, "thresholds": {}, "metrics": [], "reasons": []}
    assert next(verdict_text.comparison_lines(document)) == "1,200 rows, 300 households"
