"""Days of a generated log as features, a row each query: numbers of texts and sessions as they are made, history all alike."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import text_rows
from platform_assets.query_predictor.context_features import Context, context_features
from platform_assets.query_predictor.features import HISTORICAL_FEATURE_COUNT
from platform_assets.query_predictor.split_features import SplitFeatures
from platform_assets.simulators.trino_cluster import SAMPLE, Scenario
from platform_assets.simulators.trino_cluster.costs import read_law
from platform_assets.simulators.trino_cluster.generator import Block, Generator


def split_by_days(scenario: Scenario, *ends: int) -> list[SplitFeatures]:
    """The days before the first end, those from there to the second, and so on; rows are of every query that is not looked up."""
    parts: list[list[tuple[NDArray[np.float32], str, datetime]]] = [[] for _ in ends]
    for block in Generator(scenario, read_law(SAMPLE)).blocks():
        place = next((number for number, end in enumerate(ends) if block.day < end), None)
        if place is not None:
            parts[place] += _rows(block)
    return [_split(rows) for rows in parts]


def _rows(block: Block) -> list[tuple[NDArray[np.float32], str, datetime]]:
    names = ("query", "update_type", "query_type", "catalog", "schema", "client_info")
    found = []
    for arrival, text, update, kind, *session in zip(
        block.arrivals, *(block.rows[name].to_pylist() for name in names), strict=True
    ):
        if kind == "SELECT" or update:
            created = datetime.fromtimestamp(arrival.second, UTC)
            values, template = _of_text(text)
            history = np.zeros(HISTORICAL_FEATURE_COUNT)
            context = context_features(Context(created, *session))
            found.append((np.concatenate([values, context, history]).astype(np.float32), template, created))
    return found


@lru_cache(maxsize=20_000)
def _of_text(text: str) -> tuple[NDArray[np.float32], str]:
    row = text_rows.text_row(text)
    return np.asarray(row.values), row.template


def _split(rows: list[tuple[NDArray[np.float32], str, datetime]]) -> SplitFeatures:
    numbers, templates, created = zip(*rows, strict=True)
    count, none = len(rows), np.zeros(0, np.float32)
    names = np.array(templates)
    moments = np.array([each.replace(tzinfo=None) for each in created], "datetime64[us]")
    return SplitFeatures(
        "train", np.array(numbers), none, none.astype(np.int32), np.zeros(count + 1, np.int64), 0, np.zeros(count, bool),
        np.ones(count), names, names, moments, np.ones(count, bool),
    )  # fmt: skip
