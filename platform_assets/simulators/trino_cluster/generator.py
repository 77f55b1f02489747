"""The generated log: blocks of rows in the listener's layout, with what was planted in each.

Everything but one block is small: users with a few templates each, and one day's seconds and senders. What does not belong
here: files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np
import pyarrow as pa

from platform_assets.simulators.trino_cluster.costs import Law
from platform_assets.simulators.trino_cluster.layout import ERROR_TYPES, FAILED, FINISHED, SCHEMA, query_id
from platform_assets.simulators.trino_cluster.planted import (
    CPU_LIMIT_SECONDS,
    HURRIED_RUN_LIMIT_SECONDS,
    MEMORY_LIMIT_BYTES,
    MISTAKE,
    MISTAKE_CODES,
    OUTCOMES,
    CostModel,
    Costs,
    Scale,
    planted_law,
    solve_scale,
)
from platform_assets.simulators.trino_cluster.scenario import Scenario, days_of
from platform_assets.simulators.trino_cluster.text_change import TextChange
from platform_assets.simulators.trino_cluster.traffic import Arrival, Habits, Traffic
from platform_assets.simulators.trino_cluster.users import Estate, User, draw_users

ESTATES = (
    Estate("hive", "sales", 1.0), Estate("hive", "marketing", 0.4), Estate("iceberg", "sales_eu", 2.2),
    Estate("iceberg", "finance", 0.7), Estate("hive", "sandbox", 0.1),
)  # fmt: skip
BLOCK_ROWS = 32_768
FEWEST_PILOT_ROWS, MOST_PILOT_ROWS = 8_000, 40_000
_USERS, _FACTORS, _COSTS = range(3)
_HURRIED_SESSION = json.dumps({"query_max_run_time": f"{HURRIED_RUN_LIMIT_SECONDS:.0f}s"})
_MESSAGES = {
    "USER_CANCELED": "Query was canceled by user",
    "EXCEEDED_CPU_LIMIT": f"Exceeded CPU limit of {CPU_LIMIT_SECONDS / 3_600:.2f}h",
    "EXCEEDED_TIME_LIMIT": "Query exceeded the maximum run time limit of its session",
    "EXCEEDED_LOCAL_MEMORY_LIMIT": f"Query exceeded per-node memory limit of {MEMORY_LIMIT_BYTES // 2**30}GB",
}


@dataclass(frozen=True)
class Block:
    """Some rows of one day in the order of time, and what was planted in them."""

    day: int
    rows: pa.Table
    arrivals: list[Arrival]
    costs: Costs


class Generator:
    """Draws what stands still and solves the scale; `blocks` then gives the rows, the same ones every time."""

    def __init__(self, scenario: Scenario, law: Law) -> None:
        self.scenario, self.law, self.days = scenario, planted_law(law), days_of(scenario)
        users = self.draw_users()
        rng = np.random.default_rng([scenario.seed, _FACTORS])
        self.user_factors = scenario.user_spread * rng.standard_normal(len(users))
        self._hurried = np.array([user.role.hurried for user in users])
        self.scale = solve_scale(self._model(Scale(0.0, 0.0)), *self._pilot())
        self.model = self._model(self.scale)

    def draw_users(self) -> list[User]:
        """The users as they are before the first day."""
        scenario = self.scenario
        rng = Random(f"{scenario.seed} {_USERS}")
        return draw_users(rng, scenario.user_count, scenario.days, ESTATES, min(scenario.drift, 2.0))

    def blocks(self) -> Iterator[Block]:
        """All rows, day after day."""
        traffic = self._traffic(self.scenario.rows, self.scenario.seed)
        for day, arrivals in enumerate(traffic.days()):
            rng, number = np.random.default_rng([self.scenario.seed, _COSTS, day]), 0
            while block := list(islice(arrivals, BLOCK_ROWS)):
                costs = self.model.draw(rng, block, day)
                yield Block(day, _table(traffic.users, block, costs, number), block, costs)
                number += len(block)

    def _model(self, scale: Scale) -> CostModel:
        return CostModel(self.scenario, self.law, self.user_factors, self._hurried, scale)

    def _pilot(self) -> tuple[list[list[Arrival]], list[int]]:
        """Another, mostly thinner log of the same users over the same calendar."""
        rows = min(max(self.scenario.rows // 2, FEWEST_PILOT_ROWS), MOST_PILOT_ROWS)
        traffic = self._traffic(rows, self.scenario.seed + 1)
        blocks = [list(arrivals) for arrivals in traffic.days()]
        numbers = [number for number, block in enumerate(blocks) if block]
        return [blocks[number] for number in numbers], numbers

    def _traffic(self, rows: int, seed: int) -> Traffic:
        scenario = self.scenario
        habits = Habits(scenario.repeat_share, scenario.season, scenario.drift, _text_change(scenario))
        return Traffic(self.draw_users(), self.days, rows, seed, habits)


def _text_change(scenario: Scenario) -> TextChange | None:
    if scenario.text_change_day is None:
        return None
    return TextChange(scenario.text_change_day, scenario.text_change_share, scenario.seed)


def _table(users: list[User], arrivals: list[Arrival], costs: Costs, number: int) -> pa.Table:
    """Rows of arrivals; the first is the day's query number `number`."""
    statements, estates = [each.statement for each in arrivals], [each.estate for each in arrivals]
    senders = [users[each.user] for each in arrivals]
    roles = [sender.role for sender in senders]
    codes = _codes(arrivals, costs, number)
    millis = {
        name: np.rint(getattr(costs, f"{name}_seconds") * 1_000).astype(np.int64) for name in ("cpu", "wall", "queued")
    }
    count = len(arrivals)
    columns = {
        "query_id": [query_id(each.second, number + place) for place, each in enumerate(arrivals)],
        "query": [each.text for each in statements],
        "update_type": [each.update_type for each in statements],
        "prepared_query": [each.prepared for each in statements],
        "query_state": [FAILED if code else FINISHED for code in codes],
        "user": [sender.name for sender in senders],
        "user_agent": [role.agent for role in roles],
        "client_info": [role.client_info for role in roles],
        "client_tags_json": ["[]"] * count,
        "source": [role.source for role in roles],
        "catalog": [estate.catalog for estate in estates],
        "schema": [estate.schema for estate in estates],
        "resource_group_id": [f"global.{role.name}" for role in roles],
        "session_properties_json": [_HURRIED_SESSION if role.hurried else "{}" for role in roles],
        "server_address": ["localhost"] * count,
        "server_version": ["476"] * count,
        "environment": ["generated"] * count,
        "query_type": [each.query_type for each in statements],
        "error_code": codes,
        "error_type": [code and ERROR_TYPES[code] for code in codes],
        "failure_message": [
            code and _MESSAGES.get(code, "line 1:8: the statement cannot be analysed") for code in codes
        ],
        "cpu_time_millis": millis["cpu"],
        "wall_time_millis": millis["wall"],
        "queued_time_millis": millis["queued"],
        "peak_memory_bytes": costs.memory_bytes,
        "total_rows": _read_rows(arrivals),
        "output_rows": [None] * count,
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def _codes(arrivals: list[Arrival], costs: Costs, number: int) -> list[str | None]:
    """Error codes; which mistake it was is read off the text, as Trino would."""
    codes: list[str | None] = [OUTCOMES[outcome] for outcome in costs.outcome.tolist()]
    for place in np.flatnonzero(costs.outcome == MISTAKE).tolist():
        codes[place] = _mistake(arrivals[place].statement.text.lower())
    return codes


def _mistake(text: str) -> str:
    marks = ("form ", "custmer_name", "from dwh_", "to_monthname")
    return next((code for mark, code in zip(marks, MISTAKE_CODES, strict=True) if mark in text), MISTAKE_CODES[0])


def _read_rows(arrivals: list[Arrival]) -> np.ndarray:
    """Rows a query reads: the planted size of its schema, and the part of it inside the period."""
    rows = [each.estate.size * each.statement.traits.days * 25_000 for each in arrivals]
    return np.array(rows).astype(np.int64)
